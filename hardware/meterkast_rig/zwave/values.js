'use strict';

// What a device measures: one value of Meter or Multilevel Sensor. `read(t)` is pure: simulated time in, a number in
// the value's scale out.

const { CommandClasses: CC } = require('@zwave-js/core');

const CONSUMED = 1;
const PRODUCED = 2;

function meter({ type, scale, read, endpoint = 0, rate = CONSUMED, decimals = 3, rises = false }) {
  return { ccId: CC.Meter, endpoint, type, scale, base: scale, rate, decimals, rises, read };
}

function sensor({ type, read, scale = 0, endpoint = 0, decimals = 2 }) {
  return { ccId: CC['Multilevel Sensor'], endpoint, type, scale, base: scale, decimals, rises: false, read };
}

module.exports = { CONSUMED, PRODUCED, meter, sensor };

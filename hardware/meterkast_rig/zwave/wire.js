'use strict';

// How values go over the air: "precision, scale, size" and a whole number of 1, 2 or 4 bytes. Made here from
// bytes, because the library's own report classes choose the precision by the value (230 has none, 230.1 one)
// while a real meter always sends the same; and because not all of them can be sent.

const { CommandClass } = require('@zwave-js/cc');
const { CommandClasses } = require('@zwave-js/core');
const { Bytes } = require('@zwave-js/shared');

const SIZES = [1, 2, 4];

/** A command from its bytes. */
function raw(controller, ccId, ccCommand, bytes = []) {
  return new CommandClass({ nodeId: controller.ownNodeId, ccId, ccCommand, payload: Bytes.from(bytes) });
}

/**
 * A value as it can be sent: with fewer decimals where it would not fit into 4 bytes, and `size` at least as given.
 * `value` is what the receiver computes from it.
 */
function fit(value, decimals, size = 1) {
  for (let digits = decimals; digits >= 0; digits -= 1) {
    const whole = Math.round(value * 10 ** digits);
    const fits = SIZES.find((n) => n >= size && whole >= -(2 ** (8 * n - 1)) && whole < 2 ** (8 * n - 1));
    if (fits) return { whole, decimals: digits, size: fits, value: whole / 10 ** digits };
  }
  throw new Error(`${value} does not fit into the 4 bytes that Z-Wave has for a value`);
}

function encode({ whole, decimals, size }, scale) {
  const number = new Bytes(size);
  number.writeIntBE(whole, 0, size);
  return [(decimals << 5) | ((scale & 3) << 3) | size, ...number];
}

/** Meter Report, version 3 and later: scales above 3 have their third bit in the first byte. */
function meterReport(controller, { type, scale, rate }, fitted) {
  const first = ((scale & 4) << 5) | (rate << 5) | type;
  return raw(controller, CommandClasses.Meter, 0x02, [first, ...encode(fitted, scale), 0, 0]); // no previous value
}

function sensorReport(controller, { type, scale }, fitted) {
  return raw(controller, CommandClasses['Multilevel Sensor'], 0x05, [type, ...encode(fitted, scale)]);
}

module.exports = { encode, fit, meterReport, raw, sensorReport };

'use strict';

// Air, weight, and sensors that nobody has a place for: the command class Multilevel Sensor.

const { CommandClasses: CC } = require('@zwave-js/core');
const { supported } = require('../capabilities');
const { sensor } = require('../values');
const { chance, wave } = require('../world');

const SENSOR = { generic: 0x21, specific: 0x01 };
const [TEMPERATURE, LIGHT, HUMIDITY, PRESSURE, RAIN, WEIGHT, CO2, LOUDNESS, PM25, VOC, PM10] = [1, 3, 5, 9, 12, 14, 17, 30, 35, 39, 59];

const waving = (who, type, mean, depth, more = {}) => sensor({ type, read: wave([...who, type], mean, depth).at, ...more });

const CYCLE_S = 8 * 3600; // a bin is emptied three times a day
const EMPTY_KG = 1.2;

/** A bin that fills and is emptied: at fixed times that follow from `who`, and by hand. */
function bin(who) {
  const filling = wave([...who, 'filling'], 24 / CYCLE_S, 0.9); // 24 kg a cycle
  const shift = chance(...who, 'cycle') * CYCLE_S;
  const lastEmptying = (t) => Math.floor((t - shift) / CYCLE_S) * CYCLE_S + shift;
  const byHand = { emptied: -Infinity, filled: [] };
  const read = (t) => {
    const since = Math.max(lastEmptying(t), byHand.emptied);
    const extra = byHand.filled.filter(({ at }) => at >= since).reduce((sum, { kg }) => sum + kg, 0);
    return EMPTY_KG + filling.sum(t) - filling.sum(since) + extra;
  };
  const actions = {
    fill: (device, { kg = 10 }) => {
      byHand.filled.push({ at: device.clock.now(), kg });
      return device.report();
    },
    empty: (device) => {
      byHand.emptied = device.clock.now();
      byHand.filled = [];
      return device.report();
    },
  };
  return { read, actions };
}

module.exports = {
  /** What a RESET air monitor measures. */
  air: (who) => ({
    ...SENSOR,
    values: [
      waving(who, TEMPERATURE, 21, 0.08),
      waving(who, HUMIDITY, 45, 0.2),
      waving(who, CO2, 750, 0.4, { decimals: 0 }),
      waving(who, VOC, 0.25, 0.6, { scale: 1, decimals: 3 }), // ppm
      waving(who, PM25, 8, 0.7, { scale: 1 }), // µg/m³
      waving(who, PM10, 14, 0.7, { scale: 1 }),
    ],
  }),

  /** Air without PM10, with light and weight: as many types as fit one device. */
  climate: (who) => ({
    ...SENSOR,
    values: [
      waving(who, TEMPERATURE, 21.5, 0.05),
      waving(who, HUMIDITY, 48, 0.1),
      waving(who, CO2, 700, 0.2, { decimals: 0 }),
      waving(who, PM25, 9, 0.3, { scale: 1 }),
      waving(who, VOC, 0.4, 0.3, { scale: 1, decimals: 3 }),
      waving(who, LIGHT, 320, 0.9, { scale: 1, decimals: 0 }),
      waving(who, WEIGHT, 12.5, 0.1),
    ],
  }),

  /** A bin on a scale, in kg. */
  scale: (who) => {
    const { read, actions } = bin(who);
    return { ...SENSOR, values: [sensor({ type: WEIGHT, read, decimals: 3 })], actions };
  },

  /** °F, inches of mercury, pounds: an American device. */
  fahrenheit: (who) => ({
    ...SENSOR,
    values: [
      waving(who, TEMPERATURE, 70, 0.06, { scale: 1, decimals: 1 }),
      waving(who, PRESSURE, 29.92, 0.02, { scale: 1 }),
      waving(who, WEIGHT, 40, 0.3, { scale: 1 }),
    ],
  }),

  /** Types that have no datatype of their own. */
  noise: (who) => ({
    ...SENSOR,
    values: [waving(who, LOUDNESS, 45, 0.4, { decimals: 1 }), waving(who, RAIN, 1.5, 1, { decimals: 2 })],
  }),

  /** A product that no database knows, with a command class that only its maker knows, and temperatures below zero. */
  unknown: (who) => ({
    generic: 0xff,
    specific: 0x42,
    product: { manufacturerId: 0xfffe, productType: 0xabcd, productId: 0x1234 },
    classes: [supported(CC['Manufacturer Proprietary'], 1)],
    values: [waving(who, TEMPERATURE, -12, 0.5)],
  }),
};

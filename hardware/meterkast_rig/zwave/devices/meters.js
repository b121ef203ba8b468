'use strict';

// Energy, gas, water, heat: everything with the command class Meter.

const { CommandClasses: CC, SecurityClass } = require('@zwave-js/core');
const { supported } = require('../capabilities');
const { CONSUMED, PRODUCED, meter, sensor } = require('../values');
const { chance, sun, wave } = require('../world');

const ELECTRIC = 1;
const GAS = 2;
const WATER = 3;
const HEATING = 4;
const COOLING = 5;
const [KWH, KVAH, W, PULSES, V, A, POWER_FACTOR] = [0, 1, 2, 3, 4, 5, 6]; // scales of electric meters
const [M3, M3_PULSES] = [0, 3]; // scales of gas and water
const METER = { generic: 0x31, specific: 0x01 };
const J_PER_KWH = 3.6e6;

/** A register that begins somewhere between 0 and `most` and rises by `rate.sum / per`. */
function register(who, most, rate, per) {
  const begin = Math.round(chance(...who, 'begin') * most);
  return (t) => begin + rate.sum(t) / per;
}

/** One electric channel: register, power, voltage and current that agree with one another. */
function electric(who, { endpoint = 0, mean_w, scales = [KWH, W, V, A, POWER_FACTOR] }) {
  const power = wave([...who, endpoint, 'power'], mean_w, 0.8);
  const voltage = wave([...who, endpoint, 'voltage'], 230, 0.02);
  const factor = 0.9 + 0.09 * chance(...who, endpoint, 'factor');
  const energy = register([...who, endpoint], 5000, power, J_PER_KWH);
  const all = {
    [KWH]: { read: energy, decimals: 3, rises: true },
    [KVAH]: { read: (t) => energy(t) / factor, decimals: 3, rises: true },
    [W]: { read: power.at, decimals: 3 },
    [PULSES]: { read: (t) => Math.floor(energy(t) * 1000), decimals: 0, rises: true },
    [V]: { read: voltage.at, decimals: 3 },
    [A]: { read: (t) => power.at(t) / voltage.at(t) / factor, decimals: 3 },
    [POWER_FACTOR]: { read: () => factor, decimals: 2 },
  };
  return scales.map((scale) => meter({ type: ELECTRIC, scale, endpoint, rate: CONSUMED, ...all[scale] }));
}

function exported(who, peak_w) {
  const panels = sun(peak_w);
  return [
    meter({ type: ELECTRIC, scale: KWH, rate: PRODUCED, read: register([...who, 'export'], 2000, panels, J_PER_KWH), rises: true }),
    meter({ type: ELECTRIC, scale: W, rate: PRODUCED, read: panels.at }),
  ];
}

/** A volume in m³ counted in pulses of `litres`; `flow` in m³ a second. */
function volume(who, type, litres, flow) {
  const register_m3 = register(who, 3000, flow, 1);
  const pulses = (t) => Math.floor((register_m3(t) * 1000) / litres + 1e-6);
  return {
    m3: meter({ type, scale: M3, read: (t) => (pulses(t) * litres) / 1000, rises: true }),
    pulses: meter({ type, scale: M3_PULSES, read: pulses, decimals: 0, rises: true }),
  };
}

// Means over the day, in m³ a second: 4 m³ of gas and 0.35 m³ of water a day.
const gasFlow = (who) => wave([...who, 'gas'], 4 / 86400, 0.8);
const waterFlow = (who) => wave([...who, 'water'], 0.35 / 86400, 0.8);
/** `pulse` of the water and gas kinds: so many pulses more at once. */
const pulse = (device, { count = 1, litres = 1 }) => {
  for (const value of device.valuesOf(CC.Meter)) value.offset += value.scale === M3_PULSES ? count : (count * litres) / 1000;
  return device.report(device.valuesOf(CC.Meter));
};

function thermalMeter(type) {
  return (who) => {
    const power = wave([...who, 'power'], 1500, 0.8);
    return { ...METER, values: [meter({ type, scale: 0, read: register(who, 9000, power, J_PER_KWH), rises: true })] };
  };
}

module.exports = {
  /** Whole house, with solar panels: Aeotec Home Energy Meter, from the device database. */
  meter: (who) => ({
    ...METER,
    product: { manufacturerId: 0x0086, productType: 0x0002, productId: 0x001c },
    values: [...electric(who, { mean_w: 450 }), ...exported(who, 2500)],
  }),

  /** Three switched and metered sockets. */
  strip: (who) => {
    const outlet = { generic: 0x10, specific: 0x01, classes: [supported(CC['Binary Switch'], 2)] };
    const values = [1, 2, 3].flatMap((endpoint) => electric(who, { endpoint, mean_w: 40 * endpoint, scales: [KWH, W] }));
    return { generic: 0x10, specific: 0x04, classes: [supported(CC['Binary Switch'], 2)], endpoints: [outlet, outlet, outlet], values };
  },

  /** A channel for each phase, with apparent energy. */
  three_phase: (who) => {
    const phase = { ...METER };
    const values = [1, 2, 3].flatMap((endpoint) => electric(who, { endpoint, mean_w: 700, scales: [KWH, KVAH, W, V, A, POWER_FACTOR] }));
    return { ...METER, endpoints: [phase, phase, phase], values };
  },

  /** Joins with S2; in the first network it is there without keys. */
  s2meter: (who) => ({ ...METER, security: [SecurityClass.S2_Unauthenticated], values: electric(who, { mean_w: 300, scales: [KWH, W] }) }),

  /** Gas in m³ and in pulses of 10 L. */
  gas: (who) => {
    const { m3, pulses } = volume(who, GAS, 10, gasFlow(who));
    return { ...METER, values: [m3, pulses], actions: { pulse: (device, args) => pulse(device, { litres: 10, ...args }) } };
  },

  /** Water in m³, temperature and flow. */
  water: (who) => {
    const flow = waterFlow(who);
    const values = [
      volume(who, WATER, 1, flow).m3,
      sensor({ type: 23, read: wave([...who, 'temperature'], 13, 0.15).at, decimals: 2 }),
      sensor({ type: 56, read: (t) => flow.at(t) * 3.6e6, decimals: 1 }), // L/h
    ];
    return { ...METER, values, actions: { pulse } };
  },

  /** Water in pulses and nothing else: what one is worth must be told. */
  water_pulses: (who) => ({ ...METER, values: [volume(who, WATER, 1, waterFlow(who)).pulses], actions: { pulse } }),

  heat: thermalMeter(HEATING),
  cooling: thermalMeter(COOLING),
};

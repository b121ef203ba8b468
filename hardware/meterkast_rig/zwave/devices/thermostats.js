'use strict';

// What keeps a room at a temperature.

const { ThermostatMode, ThermostatSetpointType: Setpoint } = require('@zwave-js/cc');
const { CommandClasses: CC } = require('@zwave-js/core');
const { supported } = require('../capabilities');
const { sensor } = require('../values');
const { wave } = require('../world');

const THERMOSTAT = { generic: 0x08, specific: 0x06 };
const [TEMPERATURE, FAHRENHEIT] = [1, 1];

const modes = (...supportedModes) => supported(CC['Thermostat Mode'], 3, { supportedModes });
const setpoints = (all) => supported(CC['Thermostat Setpoint'], 3, { setpoints: all });
const room = (who, mean, depth, more = {}) => sensor({ type: TEMPERATURE, read: wave([...who, 'room'], mean, depth).at, decimals: 1, ...more });

module.exports = {
  thermostat: (who) => ({
    ...THERMOSTAT,
    classes: [
      modes(ThermostatMode.Off, ThermostatMode.Heat, ThermostatMode.Cool),
      supported(CC['Thermostat Operating State'], 1),
      setpoints({
        [Setpoint.Heating]: { minValue: 5, maxValue: 30, defaultValue: 21, scale: '°C' },
        [Setpoint.Cooling]: { minValue: 16, maxValue: 30, defaultValue: 25, scale: '°C' },
      }),
    ],
    values: [room(who, 20.5, 0.05)],
  }),

  /** An American one: it knows °F alone. */
  thermostat_f: (who) => ({
    ...THERMOSTAT,
    classes: [
      modes(ThermostatMode.Off, ThermostatMode.Heat),
      setpoints({ [Setpoint.Heating]: { minValue: 41, maxValue: 86, defaultValue: 70, scale: '°F' } }),
    ],
    values: [room(who, 69, 0.03, { scale: FAHRENHEIT })],
  }),

  /** On a radiator, on a battery: it sleeps and fetches what it is told when it wakes up. */
  valve: (who) => ({
    ...THERMOSTAT,
    sleeps: true,
    classes: [
      supported(CC.Battery, 1),
      supported(CC['Wake Up'], 2),
      setpoints({ [Setpoint.Heating]: { minValue: 5, maxValue: 30, defaultValue: 19, scale: '°C' } }),
    ],
    values: [room(who, 19.5, 0.08)],
  }),
};

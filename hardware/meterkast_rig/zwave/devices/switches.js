'use strict';

// What can be controlled: switches, dimmer, thermostat, lock.

const { SwitchType, ThermostatMode, ThermostatSetpointType } = require('@zwave-js/cc');
const { CommandClasses: CC, SecurityClass } = require('@zwave-js/core');
const { supported } = require('../capabilities');
const { sensor } = require('../values');
const { wave } = require('../world');

const LOCKED_OR_NOT = { 0x06: [0x01, 0x02, 0x05, 0x06] }; // Access Control: by hand and by keypad

module.exports = {
  /** With Supervision: what was sent counts only when the device confirms it. */
  plug: () => ({ generic: 0x10, specific: 0x01, classes: [supported(CC['Binary Switch'], 2), supported(CC.Supervision, 1)] }),

  /** S0 only; it answers, and reports nothing by itself. */
  s0plug: () => ({ generic: 0x10, specific: 0x01, security: [SecurityClass.S0_Legacy], classes: [supported(CC['Binary Switch'], 2)] }),

  dimmer: () => ({
    generic: 0x11,
    specific: 0x01,
    classes: [supported(CC['Multilevel Switch'], 4, { primarySwitchType: SwitchType['Down/Up'], travelTime: 1000 })],
  }),

  thermostat: (who) => ({
    generic: 0x08,
    specific: 0x06,
    classes: [
      supported(CC['Thermostat Mode'], 3, { supportedModes: [ThermostatMode.Off, ThermostatMode.Heat, ThermostatMode.Cool] }),
      supported(CC['Thermostat Operating State'], 1),
      supported(CC['Thermostat Setpoint'], 3, {
        setpoints: {
          [ThermostatSetpointType.Heating]: { minValue: 5, maxValue: 30, defaultValue: 21, scale: '°C' },
          [ThermostatSetpointType.Cooling]: { minValue: 16, maxValue: 30, defaultValue: 25, scale: '°C' },
        },
      }),
    ],
    values: [sensor({ type: 1, read: wave([...who, 'room'], 20.5, 0.05).at, decimals: 1 })],
  }),

  lock: () => ({
    generic: 0x40,
    specific: 0x03,
    listening: '1000ms',
    classes: [
      supported(CC.Battery, 1),
      supported(CC['Door Lock'], 4),
      supported(CC.Notification, 8, { supportsV1Alarm: false, notificationTypesAndEvents: LOCKED_OR_NOT }),
    ],
  }),
};

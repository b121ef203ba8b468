'use strict';

// What can be switched: plugs, dimmer, lock.

const { SwitchType } = require('@zwave-js/cc');
const { CommandClasses: CC, SecurityClass } = require('@zwave-js/core');
const { supported } = require('../capabilities');

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

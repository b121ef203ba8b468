'use strict';

// Sensors on a battery: they sleep, wake up each wake-up interval, and send what happens at once.

const { BinarySensorType } = require('@zwave-js/cc');
const { CommandClasses: CC } = require('@zwave-js/core');
const { supported } = require('../capabilities');
const { sensor } = require('../values');
const { wave } = require('../world');

const [SMOKE, WATER, DOOR, BURGLAR] = [0x01, 0x05, 0x06, 0x07]; // notification types
const SLEEPING = { generic: 0x07, specific: 0x01, sleeps: true };
const ASLEEP = [supported(CC.Battery, 1), supported(CC['Wake Up'], 2)];

const events = (notificationTypesAndEvents) => supported(CC.Notification, 8, { supportsV1Alarm: false, notificationTypesAndEvents });

module.exports = {
  /** A door contact that also feels water. */
  contact: () => ({
    ...SLEEPING,
    classes: [
      ...ASLEEP,
      supported(CC['Binary Sensor'], 2, { supportedSensorTypes: [BinarySensorType['Door/Window']] }),
      events({ [DOOR]: [0x16, 0x17], [WATER]: [0x01, 0x02] }),
    ],
  }),

  motion: (who) => ({
    ...SLEEPING,
    classes: [...ASLEEP, events({ [BURGLAR]: [0x08] })],
    values: [sensor({ type: 3, scale: 1, read: wave([...who, 'light'], 200, 0.9).at, decimals: 0 })],
  }),

  smoke: () => ({ ...SLEEPING, classes: [...ASLEEP, events({ [SMOKE]: [0x01, 0x02] })] }),

  leak: () => ({ ...SLEEPING, classes: [...ASLEEP, events({ [WATER]: [0x01, 0x02] })] }),

  /** A thermometer that reports when it wakes up. */
  sleeper: (who) => ({ ...SLEEPING, generic: 0x21, classes: ASLEEP, values: [sensor({ type: 1, read: wave([...who, 'room'], 19, 0.1).at, decimals: 1 })] }),
};

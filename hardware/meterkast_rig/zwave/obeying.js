'use strict';

// Whether a device does what it is told: within its range, and unless it was told not to (verb `disobey`).

const { ThermostatSetpointCCSet } = require('@zwave-js/cc/ThermostatSetpointCC');
const { CommandClasses: CC } = require('@zwave-js/core');

const ORDERS = { [CC.Basic]: 0x01, [CC['Binary Switch']]: 0x01, [CC['Multilevel Switch']]: 0x01, [CC['Thermostat Mode']]: 0x01,
  [CC['Thermostat Setpoint']]: 0x01, [CC['Door Lock']]: 0x01, [CC.Configuration]: 0x04, [CC.Meter]: 0x05 };

/** What a device that does not obey answers; the radio acknowledges all the same. */
const ANSWERS = {
  silent: { action: 'stop' }, // nothing
  refuse: { action: 'fail' }, // with Supervision: failed
  lie: { action: 'ok' }, // with Supervision: done
};

const disobeying = {
  handleCC(_controller, node, command) {
    const how = node.state.get('disobeys');
    return how && ORDERS[command?.ccId] === command?.ccCommand ? ANSWERS[how] : undefined;
  },
};

/** The stock mock takes no setpoint above the lowest. */
const setpoint = {
  handleCC(_controller, node, command) {
    if (!(command instanceof ThermostatSetpointCCSet)) return undefined;
    const { setpointType, value, scale } = command;
    const range = node.getCCCapabilities(CC['Thermostat Setpoint'], command.endpointIndex)?.setpoints[setpointType];
    const own = range?.scale === '°F' ? 1 : 0;
    if (!range || scale !== own || value < range.minValue || value > range.maxValue) return { action: 'fail' };
    node.state.set(setpointKey(setpointType), value);
    return { action: 'ok' };
  },
};

/** Where the stock behaviour keeps a setpoint. */
const setpointKey = (type) => `ThermostatSetpoint_setpoint_${type}`;

module.exports = { ANSWERS, obeying: [disobeying, setpoint], setpointKey };

'use strict';

// The answers of the stock mock that belong into the record of what was shown (shown.js); ours are noted where they are made.

const { DoorLockCCOperationGet, DoorLockCCOperationReport } = require('@zwave-js/cc/DoorLockCC');
const { MultilevelSwitchCCGet, MultilevelSwitchCCReport } = require('@zwave-js/cc/MultilevelSwitchCC');
const { ThermostatModeCCGet, ThermostatModeCCReport } = require('@zwave-js/cc/ThermostatModeCC');
const { ThermostatSetpointCCGet, ThermostatSetpointCCReport } = require('@zwave-js/cc/ThermostatSetpointCC');

const SHOWN = [
  [DoorLockCCOperationReport, DoorLockCCOperationGet, ({ currentMode }) => ({ key: 0, value: currentMode })],
  [MultilevelSwitchCCReport, MultilevelSwitchCCGet, ({ currentValue }) => ({ key: 0, value: currentValue })],
  [ThermostatModeCCReport, ThermostatModeCCGet, ({ mode }) => ({ key: 0, value: mode })],
  [ThermostatSetpointCCReport, ThermostatSetpointCCGet, ({ type, value, scale }) => ({ key: type, value, scale, decimals: Number.isInteger(value) ? 0 : 1 })],
];

function recording(shown) {
  return {
    transformResponse(_controller, _node, command, response) {
      let report = response.action === 'sendCC' ? response.cc : undefined;
      while (report?.encapsulated) report = report.encapsulated;
      const [, Get, facts] = SHOWN.find(([Report]) => report instanceof Report) ?? [];
      if (facts) shown.note(report, { endpoint: command.endpointIndex ?? 0, commandClass: report.ccId, decimals: 0, asked: command instanceof Get, ...facts(report) });
      return response;
    },
  };
}

module.exports = { recording };

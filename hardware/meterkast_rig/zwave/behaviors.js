'use strict';

// What the stock mock node does not do, or does wrongly: measured values from the device's model, Battery, Wake Up,
// Association, Notification Get, Binary Sensor, Thermostat Operating State, a switch per endpoint (the stock one keeps
// one state for all), and parameters that change something.

const { ConfigurationCCGet, ConfigurationCCReport, ConfigurationCCSet } = require('@zwave-js/cc/ConfigurationCC');
const { MeterCCGet, MeterCCReset, MultilevelSensorCCGet } = require('@zwave-js/cc');
const { CommandClasses: CC } = require('@zwave-js/core');
const { raw } = require('./wire');

const PERIOD_PARAMETER = 111; // reporting interval in seconds: the number that the best known energy meters use
const u24 = (number) => [(number >> 16) & 255, (number >> 8) & 255, number & 255];
const deviceOf = (node) => node.state.get('device');
const send = (cc) => ({ action: 'sendCC', cc });

/** A behaviour for one command class, by command number. */
function answers(ccId, commands) {
  return {
    handleCC(controller, node, command) {
      if (command?.ccId !== ccId) return undefined;
      return commands[command.ccCommand]?.({ controller, node, command, endpoint: command.endpointIndex ?? 0 });
    },
  };
}

const measured = {
  handleCC(_controller, node, command) {
    const device = deviceOf(node);
    const endpoint = command?.endpointIndex ?? 0;
    if (command instanceof MeterCCGet) {
      const values = device.valuesOf(CC.Meter, endpoint);
      const scale = command.scale ?? values[0]?.scale;
      const ofScale = values.filter((value) => value.scale === scale);
      const rate = command.rateType ?? ofScale[0]?.rate;
      const value = ofScale.find((each) => each.rate === rate) ?? ofScale[0];
      return value && send(device.reportOf(value, { asked: true, rate }));
    }
    if (command instanceof MeterCCReset) {
      device.resetMeter(endpoint, command.targetValue === undefined ? undefined : command);
      return { action: 'ok' };
    }
    if (command instanceof MultilevelSensorCCGet) {
      const values = device.valuesOf(CC['Multilevel Sensor'], endpoint);
      const value = values.find((each) => each.type === command.sensorType) ?? values[0];
      return value && send(device.reportOf(value, { asked: true }));
    }
    return undefined;
  },
};

const battery = answers(CC.Battery, {
  0x02: ({ node }) => {
    const level = node.state.get('battery') ?? 100;
    return send(deviceOf(node).stateOf({ ccId: CC.Battery, command: 0x03, bytes: [level], key: 0, value: level, asked: true }));
  },
});

const binarySwitch = answers(CC['Binary Switch'], {
  0x01: ({ node, command, endpoint }) => {
    node.state.set(`switch/${endpoint}`, command.targetValue);
    return { action: 'ok' };
  },
  0x02: ({ node, endpoint }) => {
    const value = node.state.get(`switch/${endpoint}`) ? 0xff : 0;
    const bytes = [value, value, 0];
    return send(deviceOf(node).stateOf({ ccId: CC['Binary Switch'], command: 0x03, bytes, key: 0, value, endpoint, asked: true }));
  },
});

const binarySensor = answers(CC['Binary Sensor'], {
  0x02: ({ node, command }) => {
    const supported = node.getCCCapabilities(CC['Binary Sensor'])?.supportedSensorTypes ?? [];
    const key = supported.includes(command.sensorType) ? command.sensorType : supported[0];
    const value = node.state.get(`binary/${key}`) ? 0xff : 0;
    return send(deviceOf(node).stateOf({ ccId: CC['Binary Sensor'], command: 0x03, bytes: [value, key], key, value, asked: true }));
  },
});

// The newest event of a type, else "idle": without an answer each interview waits for time-outs.
const notification = answers(CC.Notification, {
  0x04: ({ node, command }) => {
    const type = command.notificationType || 0;
    const value = node.state.get(`event/${type}`) ?? 0;
    const bytes = [0, 0, 0, 0xff, type, value, 0];
    return send(deviceOf(node).stateOf({ ccId: CC.Notification, command: 0x05, bytes, key: type, value, asked: true }));
  },
});

const association = answers(CC.Association, {
  0x01: ({ node, command }) => setLifeline(node, [...lifeline(node), ...command.nodeIds]),
  0x02: ({ node, controller }) => send(raw(controller, CC.Association, 0x03, [1, 5, 0, ...lifeline(node)])),
  0x04: ({ node, command }) => setLifeline(node, lifeline(node).filter((id) => !(command.nodeIds ?? []).includes(id))),
  0x05: ({ controller }) => send(raw(controller, CC.Association, 0x06, [1])),
});

function lifeline(node) {
  return node.state.get('lifeline') ?? [];
}

function setLifeline(node, ids) {
  node.state.set('lifeline', [...new Set(ids)]);
  return { action: 'ok' };
}

const operatingState = answers(CC['Thermostat Operating State'], {
  0x02: ({ node }) => {
    const value = node.state.get('operating') ?? 0;
    return send(deviceOf(node).stateOf({ ccId: CC['Thermostat Operating State'], command: 0x03, bytes: [value], key: 0, value, asked: true }));
  },
});

const wakeUp = answers(CC['Wake Up'], {
  0x04: ({ node, command }) => {
    deviceOf(node).setWakeUp(command.wakeUpInterval);
    node.state.set('wakeDestination', command.controllerNodeId);
    return { action: 'ok' };
  },
  0x05: ({ node, controller }) => {
    const bytes = [...u24(deviceOf(node).wake_up_s), node.state.get('wakeDestination') ?? 0];
    return send(raw(controller, CC['Wake Up'], 0x06, bytes));
  },
  0x08: ({ node }) => {
    deviceOf(node).radio.sleep();
    return { action: 'ok' };
  },
  0x09: ({ controller }) => send(raw(controller, CC['Wake Up'], 0x0a, [...u24(60), ...u24(86400), ...u24(3600), ...u24(60)])),
});

// Answers for every parameter (a known product is asked for all that its entry in the device database lists), of the
// size in which it was set; setting PERIOD_PARAMETER changes how often the device reports.
const configuration = {
  handleCC(controller, node, command) {
    if (command instanceof ConfigurationCCSet) {
      const { parameter } = command;
      const value = command.resetToDefault ? undefined : Number(command.value);
      node.state.set(`parameter/${parameter}`, value === undefined ? undefined : { value, size: command.valueSize });
      if (parameter === PERIOD_PARAMETER && value > 0) deviceOf(node).setPeriod(value);
      return { action: 'ok' };
    }
    if (command instanceof ConfigurationCCGet) {
      const { parameter } = command;
      const known = node.getCCCapabilities(CC.Configuration)?.parameters?.find((each) => each['#'] === parameter);
      const is = node.state.get(`parameter/${parameter}`) ?? { value: known?.defaultValue ?? 0, size: known?.valueSize ?? 1 };
      if (parameter === PERIOD_PARAMETER) is.value = deviceOf(node).period_s;
      return send(new ConfigurationCCReport({ nodeId: controller.ownNodeId, parameter, value: is.value, valueSize: is.size }));
    }
    return undefined;
  },
};

const behaviors = [measured, battery, binarySwitch, binarySensor, notification, association, operatingState, wakeUp, configuration];

module.exports = { PERIOD_PARAMETER, behaviors };

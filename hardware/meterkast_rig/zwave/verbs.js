'use strict';

// What can be done to the network by hand, over the control port: {name: {args, does, work(network, args)}}.

const { randomBytes } = require('node:crypto');
const { CommandClasses: CC } = require('@zwave-js/core');
const { ZWaveProtocolCCNodeInformationFrame } = require('@zwave-js/cc/ZWaveProtocolCC');
const { createMockZWaveRequestFrame } = require('@zwave-js/testing');
const { dskOf } = require('./joining');
const { ANSWERS, setpointKey } = require('./obeying');
const { convertible } = require('./units');
const { encode, fit, raw } = require('./wire');

const UNKNOWN_CLASS = 0xe7; // not given out by the Z-Wave Alliance
const [BATTERY_LOW, BATTERY_FULL] = [0xff, 100];
const GARBAGE_BYTES = 64;

const on = (work) => (network, args) => work(network.device(args.id), args, network);
const later = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** The value named by {key} or the first: key as in the record of what was shown; {endpoint} too. */
function valueOf(device, { key, endpoint }) {
  const keyOf = (value) => (value.ccId === CC.Meter ? (value.type << 16) | (value.scale << 8) | value.rate : value.type);
  const value = device.values.find((each) => (key === undefined || keyOf(each) === key) && (endpoint === undefined || each.endpoint === endpoint));
  if (!value) throw new Error(`node ${device.id} (${device.kind}) has no such value; keys: ${device.values.map(keyOf).join(', ')}`);
  return value;
}

async function flood(device, { count = 500, per_s = 500 }) {
  const began = performance.now();
  for (let n = 0; n < count; n += 1) {
    const due = began + (n * 1000) / per_s;
    if (due > performance.now()) await later(due - performance.now());
    await device.show(device.values[n % device.values.length]);
  }
  return { sent: count, seconds: (performance.now() - began) / 1000 };
}

async function join(network, { kind, id, classes }) {
  const node = await network.joining.join(async (replaces) => (await network.make({ kind, id: replaces ?? id, classes })).node);
  return node ? described(node) : { queued: true };
}

function described(node) {
  const dsk = dskOf(node);
  return { id: node.id, dsk, pin: dsk.slice(0, 5) };
}

async function smartMake(network, { kind, id, classes }) {
  const { node } = await network.make({ kind, id, classes });
  network.smart = node;
  return described(node);
}

async function smartOn(network) {
  if (!network.smart) throw new Error('make one first: smart_make');
  await network.joining.announce(network.smart);
}

function nodeInformation(device) {
  const { node, id } = device;
  const supportedCCs = [...node.implementedCCs.keys()].filter((each) => each !== CC.Basic);
  const frame = new ZWaveProtocolCCNodeInformationFrame({ nodeId: id, ...node.capabilities, supportedCCs, controlledCCs: [] });
  return node.sendToController(createMockZWaveRequestFrame(frame, { ackRequested: false }));
}

function notify(device, { type, event }) {
  device.node.state.set(`event/${type}`, event);
  const bytes = [0, 0, 0, 0xff, type, event, 0]; // no parameters
  return device.tell({ ccId: CC.Notification, command: 0x05, bytes, key: type, value: event });
}

function binary(device, { value, type = 10 }) {
  device.node.state.set(`binary/${type}`, value);
  const level = value ? 0xff : 0;
  return device.tell({ ccId: CC['Binary Sensor'], command: 0x03, bytes: [level, type], key: type, value: level });
}

function button(device, { value, endpoint = 0 }) {
  device.node.state.set(`switch/${endpoint}`, value);
  const level = value ? 0xff : 0;
  return device.tell({ ccId: CC['Binary Switch'], command: 0x03, bytes: [level, level, 0], key: 0, value: level, endpoint });
}

function dim(device, { value }) {
  device.node.state.set('MultilevelSwitch_currentValue', value); // where the stock behaviour keeps it
  return device.tell({ ccId: CC['Multilevel Switch'], command: 0x03, bytes: [value, value, 0], key: 0, value });
}

function operating(device, { state }) {
  device.node.state.set('operating', state);
  return device.tell({ ccId: CC['Thermostat Operating State'], command: 0x03, bytes: [state], key: 0, value: state });
}

function setpoint(device, { value, type = 1 }) {
  const range = device.node.getCCCapabilities(CC['Thermostat Setpoint'])?.setpoints[type];
  if (!range) throw new Error(`node ${device.id} (${device.kind}) has no setpoint ${type}`);
  device.node.state.set(setpointKey(type), value);
  const fitted = fit(value, 1);
  const scale = range.scale === '°F' ? 1 : 0;
  return device.tell({ ccId: CC['Thermostat Setpoint'], command: 0x03, bytes: [type, ...encode(fitted, scale)], key: type, value: fitted.value });
}

function disobey({ node }, { on: disobeys = true, how = 'silent' }) {
  if (!Object.hasOwn(ANSWERS, how)) throw new Error(`no way to disobey "${how}"; there are: ${Object.keys(ANSWERS).join(', ')}`);
  node.state.set('disobeys', disobeys ? how : undefined);
}

function battery(device, { level = BATTERY_FULL }) {
  if (level !== BATTERY_LOW) device.node.state.set('battery', level);
  return device.tell({ ccId: CC.Battery, command: 0x03, bytes: [level], key: 0, value: level });
}

/** Whatever fits on the air but hardly into anything else: largest, smallest, most decimals, zero, negative. */
async function extremes(device, args) {
  const value = valueOf(device, args);
  const given = [
    { value: 2147483647, decimals: 0 }, { value: -2147483648, decimals: 0 }, { value: 1.2345678, decimals: 7 },
    { value: 214.7483647, decimals: 7 }, { value: -0.0000001, decimals: 7 }, { value: 0, decimals: 0, size: 4 }, { value: -1, decimals: 0 },
  ];
  for (const each of given) await device.show(value, each);
}

function jump(device, args) {
  const value = valueOf(device, args);
  value.offset += args.by;
  return device.show(value);
}

async function rescale(device, { type, scale }) {
  const changed = device.values.filter((each) => (type === undefined || each.type === type) && convertible(each, scale));
  if (!changed.length) throw new Error(`node ${device.id} (${device.kind}) measures nothing that has a scale ${scale}`);
  for (const value of changed) value.scale = scale;
  await device.report(changed);
}

const verbs = {
  list: { args: '', does: 'all devices', work: (network) => network.list() },
  shown: { args: 'after', does: 'what the devices showed, after record number `after`', work: (network, { after = 0 }) => network.shown.after(after) },
  report: { args: 'id', does: 'send all values now', work: on((device) => device.report()) },
  quiet: { args: 'id, on', does: 'stop reporting, still answer', work: on((device, { on: quiet = true }) => void (device.quiet = quiet)) },
  slow: { args: 'id, ms', does: 'answer that much later', work: on((device, { ms }) => void (device.radio.slowMs = ms)) },
  // the radio
  dead: { args: 'id', does: 'neither hear nor send', work: on((device) => void (device.radio.mode = 'dead')) },
  alive: { args: 'id', does: 'hear and send again', work: on((device) => void (device.radio.mode = device.sleeps ? 'asleep' : 'on')) },
  wake: { args: 'id', does: 'wake up, report, and listen until nothing comes any more', work: on((device) => device.wake()) },
  sleep: { args: 'id', does: 'go back to sleep at once', work: on((device) => device.radio.sleep()) },
  // what happens at a device
  battery: { args: 'id, level', does: 'report the battery, in %', work: on(battery) },
  battery_low: { args: 'id', does: 'warn of a low battery', work: on((device) => battery(device, { level: BATTERY_LOW })) },
  notify: { args: 'id, type, event', does: 'send a notification; event 0 is "idle"', work: on(notify) },
  binary: { args: 'id, value, type', does: 'a binary sensor changes (type 10: door)', work: on(binary) },
  button: { args: 'id, value, endpoint', does: 'switched by hand', work: on(button) },
  dim: { args: 'id, value', does: 'dimmed by hand, 0 to 99', work: on(dim) },
  operating: { args: 'id, state', does: 'a thermostat idles (0), heats (1) or cools (2)', work: on(operating) },
  setpoint: { args: 'id, value, type', does: 'turned by hand to that temperature, in its own unit (type 1: heating)', work: on(setpoint) },
  disobey: { args: 'id, on, how', does: 'acknowledge orders and not carry them out; with Supervision: "silent", "refuse", "lie"', work: on(disobey) },
  nif: { args: 'id', does: 'its button: an unasked node information frame', work: on(nodeInformation) },
  reset: { args: 'id, endpoint', does: 'set its registers to 0 at the device', work: on((device, { endpoint = 0 }) => device.resetMeter(endpoint)) },
  pulse: { args: 'id, count', does: 'so many pulses more (gas, water, water_pulses)', work: on(own('pulse')) },
  fill: { args: 'id, kg', does: 'throw that much into the bin (scale)', work: on(own('fill')) },
  empty: { args: 'id', does: 'empty the bin (scale)', work: on(own('empty')) },
  parameters: { args: 'id', does: 'configuration parameters that were set', work: on(parametersOf) },
  // values that are wrong
  wrong: { args: 'id, by, key, endpoint', does: 'a register jumps and stays there', work: on(jump) },
  spike: { args: 'id, value, decimals, key, endpoint', does: 'one report with this value', work: on((device, args) => device.show(valueOf(device, args), { value: args.value, decimals: args.decimals })) },
  extremes: { args: 'id, key, endpoint', does: 'one report of each extreme that the air can carry', work: on(extremes) },
  unit: { args: 'id, scale, type', does: 'measure in another scale from now on; zwave-js drops meter reports in scales that were not announced', work: on(rescale) },
  flood: { args: 'id, count, per_s', does: 'that many reports as fast as that', work: on(flood) },
  unknown_cc: { args: 'id', does: 'a command of a class that nobody knows', work: on((device) => device.radio.send(raw(device.node.controller, UNKNOWN_CLASS, 0x03, [1, 2, 3, 4]))) },
  raw: { args: 'id, cc, command, hex', does: 'any command, also a malformed one', work: on((device, { cc, command, hex = '' }) => device.radio.send(raw(device.node.controller, cc, command, Buffer.from(hex, 'hex')))) },
  // joining and leaving
  join: { args: 'kind, id, classes', does: 'a new device joins, now or when the controller adds or replaces', work: join },
  leave: { args: 'id', does: 'a device leaves, in exclusion mode', work: (network, { id }) => network.joining.leave(id) },
  leave_stranger: { args: '', does: 'a device of another network leaves that one', work: (network) => network.joining.leave(0) },
  smart_make: { args: 'kind, id, classes', does: 'make a Smart Start device, switched off', work: smartMake },
  smart_on: { args: '', does: 'switch it on', work: smartOn },
  // the stick
  unplug: { args: '', does: 'pull the stick out', work: (network) => network.port.unplug() },
  plug: { args: '', does: 'and put it back', work: async (network) => void (await network.port.plug()) },
  freeze: { args: 'on', does: 'the stick takes everything and says nothing', work: (network, { on: frozen = true }) => void (network.port.frozen = frozen) },
  garbage: { args: 'hex', does: 'these bytes on the serial line, else random ones', work: garbage },
  reboot: { args: 'ms', does: 'out, and back after `ms`', work: reboot },
};

function garbage(network, { hex }) {
  network.port.garbage(hex === undefined ? randomBytes(GARBAGE_BYTES) : Buffer.from(hex, 'hex'));
}

function own(name) {
  return (device, args) => {
    if (!device.actions[name]) throw new Error(`node ${device.id} (${device.kind}) cannot ${name}`);
    return device.actions[name](device, args);
  };
}

function parametersOf({ node }) {
  const set = [...node.state].filter(([name, is]) => typeof name === 'string' && name.startsWith('parameter/') && is);
  return Object.fromEntries(set.map(([name, { value }]) => [name.slice('parameter/'.length), value]));
}

async function reboot(network, { ms = 2000 }) {
  network.port.unplug();
  await later(ms);
  await network.port.plug();
}

module.exports = { verbs };

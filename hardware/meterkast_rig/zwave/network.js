'use strict';

// The stick's controller and its devices.

const { SecurityClass } = require('@zwave-js/core');
const { FunctionType } = require('@zwave-js/serial');
const { Bytes } = require('@zwave-js/shared');
const { MockController, MockNode, getDefaultSupportedFunctionTypes } = require('@zwave-js/testing');
const { createDefaultMockControllerBehaviors, createDefaultMockNodeBehaviors } = require('zwave-js/Testing');
const { forwarding, persistent } = require('./air');
const { behaviors } = require('./behaviors');
const { Device } = require('./device');
const { failedNodes } = require('./failed_nodes');
const { moreFunctions } = require('./functions');
const { Joining, dskOf } = require('./joining');
const { keyExchange } = require('./key_exchange');
const { describe } = require('./kinds');
const { Nvm } = require('./nvm');
const { obeying } = require('./obeying');
const { recording } = require('./recording');
const { SerialPort } = require('./serial_port');
const { Session } = require('./session');
const { Shown } = require('./shown');

const PATIENCE_MS = 10_000; // zwave-js waits that long for a step of the S2 key exchange
const FORGET_MS = 5000;
// A stick that is known, of a maker whose sticks zwave-js asks nothing of its own (an Aeotec is waited for 10 s).
const CAPABILITIES = { manufacturerId: 0x027a, productType: 0x0001, productId: 0x000d }; // Zooz ZST10-700

class Network {
  /** `options`: {clock, seed, period_s, tx_delay_ms, home_id, keys: {name: hex}}. */
  static async create(options) {
    const network = new Network(options);
    await network._begin();
    return network;
  }

  constructor({ clock, seed, period_s, tx_delay_ms, home_id, keys }) {
    Object.assign(this, { clock, seed, period_s, _txDelay: tx_delay_ms, _homeId: home_id, _keys: keys });
    this.session = new Session();
    this.shown = new Shown(clock);
    this.port = new SerialPort(this.session, () => this._newHost());
  }

  async _begin() {
    // The mock controller must hold the driver's keys, or its nodes take no part in S2.
    const securityKeys = Object.fromEntries(Object.entries(this._keys).filter(([name]) => name in SecurityClass).map(([name, hex]) => [name, Bytes.from(hex, 'hex')]));
    const controller = await MockController.create({ homeId: this._homeId, ownNodeId: 1, mockPort: this.port, securityKeys });
    this.controller = controller;
    persistent(controller, this.session);
    this.joining = new Joining(controller, this.session);
    const functions = moreFunctions(this, new Nvm(controller, (network) => this._restore(network)));
    Object.assign(controller.capabilities, CAPABILITIES, {
      supportedFunctionTypes: [
        ...getDefaultSupportedFunctionTypes(), ...functions.supported, FunctionType.RemoveFailedNode, FunctionType.ReplaceFailedNode,
      ],
    });
    controller.defineBehavior(...createDefaultMockControllerBehaviors());
    controller.defineBehavior(this.joining.behavior(), failedNodes(this.joining), functions.behavior, forwarding(this.shown, this.session));
    // The mock keeps every frame for assertions: forget them, or memory grows for ever.
    setInterval(() => this._forget(), FORGET_MS).unref();
  }

  _newHost() {
    this.controller.state.clear();
    this.joining.reset();
  }

  _forget() {
    this.controller.clearReceivedHostMessages();
    for (const node of this.controller.nodes.values()) {
      node.clearReceivedControllerFrames();
      node.clearSentControllerFrames();
    }
  }

  /** Make a device without adding it. `options`: {kind, id, classes, period_s, wake_up_s}. */
  async make({ kind, id, classes, period_s = this.period_s, wake_up_s }) {
    const { spec, capabilities } = describe(kind, id, this.seed, { period_s, classes });
    const node = await MockNode.create({ id, controller: this.controller, capabilities: { ...capabilities, txDelay: this._txDelay } });
    patient(node);
    node.defineBehavior(...createDefaultMockNodeBehaviors());
    node.defineBehavior(...obeying, ...behaviors, keyExchange, recording(this.shown));
    const { clock, session, shown } = this;
    const device = new Device({ node, kind, spec, clock, session, shown, period_s, wake_up_s });
    return device;
  }

  /** A device that was in the network all along. */
  async add(options) {
    const classes = options.classes ?? []; // without keys: nobody exchanged any
    const device = await this.make({ ...options, classes });
    if (this.controller.nodes.has(device.id)) throw new Error(`node ${device.id} is there twice`);
    this.controller.addNode(device.node);
    device.start();
    return device;
  }

  /** No devices any more. */
  clear() {
    for (const node of [...this.controller.nodes.values()]) this.joining.gone(node);
  }

  /** The network that a backup was made of takes the place of this one; keys are not in it. */
  async _restore({ homeId, devices }) {
    this.clear();
    const { controller } = this;
    for (const each of [controller, controller.encodingContext, controller.parsingContext]) each.homeId = homeId;
    for (const device of devices) await this.add(device);
  }

  device(id) {
    const node = this.controller.nodes.get(id);
    if (!node) throw new Error(`no node ${id}; there are: ${[...this.controller.nodes.keys()].join(', ')}`);
    return node.state.get('device');
  }

  list() {
    return [...this.controller.nodes.values()].map((node) => {
      const { id, kind, radio, period_s, wake_up_s, sleeps } = node.state.get('device');
      const dsk = dskOf(node);
      return { id, kind, radio: radio.mode, sleeps, period_s, wake_up_s, dsk, pin: dsk.slice(0, 5) };
    });
  }
}

/** The mock's S2 steps give up after 1 s, which a loaded machine needs: let them wait as long as the host does. */
function patient(node) {
  const expect = node.expectControllerFrame.bind(node);
  node.expectControllerFrame = (predicate, options) => expect(predicate, { ...options, timeout: PATIENCE_MS });
}

module.exports = { Network };

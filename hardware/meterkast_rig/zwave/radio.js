'use strict';

// A device's radio: whether it hears and answers, and how it sends something by itself.

const { MultiChannelCCCommandEncapsulation, Security2CC, Security2CCNonceGet, Security2CCNonceReport } = require('@zwave-js/cc');
const { CommandClasses } = require('@zwave-js/core');
const { createMockZWaveRequestFrame } = require('@zwave-js/testing');
const { hasKeys } = require('./key_exchange');
const { raw } = require('./wire');

const NONCE_MS = 2000;
const AWAKE_MS = 10_000; // a battery device that hears nothing for so long goes back to sleep by itself

class Radio {
  constructor(node, session) {
    this._node = node;
    this._session = session;
    this._synchronised = -1; // the host's session number with which S2 nonces were agreed
    this._askingUntil = 0;
    this._queue = Promise.resolve();
    this.slowMs = 0;
    this.mode = 'on';
    node.defineBehavior(this._behavior());
  }

  /** "on" answers; "dead" and "asleep" neither acknowledge nor answer. A sleeping device can still send. */
  set mode(mode) {
    this._mode = mode;
    this._node.autoAckControllerFrames = mode === 'on';
  }

  get mode() {
    return this._mode;
  }

  _behavior() {
    return {
      handleCC: (_controller, _node, command) => {
        if (this._mode !== 'on') return { action: 'stop' };
        this._heardAt = performance.now();
        // The host answers an S2 frame that it cannot decode with a new nonce: agree anew with the next report.
        const unasked = performance.now() > this._askingUntil;
        if (command instanceof Security2CCNonceReport && command.SOS && unasked) this._synchronised = -1;
        return undefined;
      },
      transformResponse: async (_controller, _node, _command, response) => {
        if (this.slowMs) await new Promise((resolve) => setTimeout(resolve, this.slowMs));
        return response;
      },
    };
  }

  /** Send a command by itself, after all before it; nothing happens without a host, as with a real stick. */
  send(command, endpoint = 0) {
    const sending = this._queue.then(() => this._send(command, endpoint));
    this._queue = sending.catch(() => {});
    return sending;
  }

  async _send(command, endpoint) {
    const { controller } = this._node;
    if (!this._session.connected || this._session.quiet || this._mode === 'dead') return;
    if (controller.nodes.get(this._node.id) !== this._node) return; // it was removed meanwhile
    const inner = endpoint
      ? new MultiChannelCCCommandEncapsulation({ nodeId: controller.ownNodeId, endpointIndex: endpoint, destination: 0, encapsulated: command })
      : command;
    await this._transmit(await this._encrypted(inner));
  }

  async _encrypted(command) {
    const node = this._node;
    if (!hasKeys(node)) return command;
    if (this._synchronised !== this._session.number) await this._synchronise();
    // Name the class: by default the mock takes the highest key it was given, not the one the driver granted.
    const securityClass = node.encodingContext.getHighestSecurityClass(node.id);
    return Security2CC.encapsulate(command, node.id, node.securityManagers, { securityClass });
  }

  // A new host process knows no nonces; the stock mock would go on with the old ones.
  async _synchronise() {
    const node = this._node;
    const number = this._session.number;
    this._askingUntil = performance.now() + NONCE_MS;
    node.securityManagers.securityManager2.deleteNonce(node.controller.ownNodeId);
    const answered = node.expectControllerFrame(({ payload }) => payload instanceof Security2CCNonceReport && payload.SOS, { timeout: NONCE_MS });
    await this._transmit(new Security2CCNonceGet({ nodeId: node.controller.ownNodeId }));
    await answered;
    this._synchronised = number;
  }

  _transmit(command) {
    // Without ackRequested: false this would reject when the host is away.
    return this._node.sendToController(createMockZWaveRequestFrame(command, { ackRequested: false }));
  }

  /** Wake up, say so, and stay awake as long as there is something to hear. */
  async wake() {
    this.mode = 'on';
    this._heardAt = performance.now();
    clearInterval(this._watch);
    this._watch = setInterval(() => {
      if (performance.now() - this._heardAt > AWAKE_MS) this.sleep();
    }, 1000).unref();
    await this.send(raw(this._node.controller, CommandClasses['Wake Up'], 0x07));
  }

  sleep() {
    clearInterval(this._watch);
    if (this._mode === 'on') this.mode = 'asleep';
  }

  stop() {
    clearInterval(this._watch);
    this._mode = 'dead';
  }
}

module.exports = { Radio };

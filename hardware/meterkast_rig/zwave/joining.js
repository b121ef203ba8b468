'use strict';

// Joining and leaving, told WHEN: the stock controller only adds a node that was queued before, and never removes one.

const { CommandClasses, dskFromString, nwiHomeIdFromDSK } = require('@zwave-js/core');
const { FunctionType, MessageType } = require('@zwave-js/serial');
const {
  AddNodeStatus, AddNodeToNetworkRequest, AddNodeToNetworkRequestStatusReport, AddNodeType, RemoveNodeFromNetworkRequest,
  RemoveNodeFromNetworkRequestStatusReport, RemoveNodeStatus, RemoveNodeType,
} = require('@zwave-js/serial/serialapi');
const { send } = require('./functions');

const STEP_MS = 20; // between two reports of one process
const KEY_EXCHANGE_TX_MS = 10; // with less the mock sends its next S2 step before the host is done with the last
const SMART_START_NOTICE = 0x85;
const REPLACE_STARTED = 0x03; // of ReplaceFailedNode
const REPLACE_DONE = 0x04;
const pause = () => new Promise((resolve) => setTimeout(resolve, STEP_MS));

class Joining {
  constructor(controller, session) {
    this._controller = controller;
    this._session = session;
    this.reset();
  }

  /** A new host knows nothing of what the one before began. */
  reset() {
    this.mode = 'idle'; // idle, listening (Smart Start), adding, replacing, removing, busy
    this._callbackId = 0;
    this._queue = [];
    this._joined = undefined;
    this._replaces = undefined;
  }

  behavior() {
    return {
      onHostMessage: async (_controller, message) => {
        if (message instanceof AddNodeToNetworkRequest) await this._add(message);
        else if (message instanceof RemoveNodeFromNetworkRequest) await this._remove(message);
        else return undefined;
        return true;
      },
    };
  }

  async _add({ addNodeType, callbackId }) {
    if (addNodeType === AddNodeType.SmartStartListen) {
      this.mode = 'listening';
      return;
    }
    if (addNodeType === AddNodeType.Stop) {
      await this._stopAdding(callbackId);
      return;
    }
    if (addNodeType === AddNodeType.SmartStartDSK && this._announced) this._queue.push(this._announced);
    this._announced = undefined;
    this._session.quiet = true;
    this.mode = 'adding';
    this._callbackId = callbackId;
    await this._added(AddNodeStatus.Ready);
    void this._next();
  }

  async _stopAdding(callbackId) {
    const done = this._joined;
    // After a join the quiet lasts until the interview begins: keys are exchanged now.
    if (done === undefined) this._session.quiet = false;
    this.mode = 'idle';
    this._joined = undefined;
    if (!callbackId) return;
    this._callbackId = callbackId;
    await this._added(AddNodeStatus.Done, { nodeId: done ?? 0 });
  }

  async _remove({ removeNodeType, callbackId }) {
    this._callbackId = callbackId;
    this.mode = removeNodeType === RemoveNodeType.Stop ? 'idle' : 'removing';
    // "Failed" is what the driver takes as "stopped, nothing removed".
    if (callbackId) await this._removed(this.mode === 'idle' ? RemoveNodeStatus.Failed : RemoveNodeStatus.Ready);
  }

  /** Press the button of a new device: it joins now, or as soon as the controller begins to add. `make` makes it. */
  join(make) {
    this._queue.push(make);
    return this._next();
  }

  /** Switch a new Smart Start device on: it announces itself, and the driver adds it by its DSK. */
  async announce(node) {
    this._announced = () => node;
    const home = nwiHomeIdFromDSK(dskFromString(dskOf(node)));
    const { basicDeviceClass, genericDeviceClass, specificDeviceClass } = node.capabilities;
    const classes = [...node.implementedCCs.keys()].filter((each) => each !== CommandClasses.Basic);
    const bytes = [SMART_START_NOTICE, 0, 0, ...home, classes.length, basicDeviceClass, genericDeviceClass, specificDeviceClass, ...classes];
    await send(this._controller, MessageType.Request, FunctionType.ApplicationUpdateRequest, bytes);
  }

  /** The host wants node `id` replaced by the next device that joins. */
  async replace(id, callbackId) {
    this._session.quiet = true;
    this._callbackId = callbackId;
    this._replaces = id;
    this.mode = 'replacing';
    await send(this._controller, MessageType.Request, FunctionType.ReplaceFailedNode, [callbackId, REPLACE_STARTED]);
    void this._next();
  }

  async _next() {
    if (!['adding', 'replacing'].includes(this.mode) || !this._queue.length) return undefined;
    const replacing = this.mode === 'replacing';
    this.mode = 'busy';
    const node = await this._queue.shift()(replacing ? this._replaces : undefined);
    this._quietUntilInterview(node);
    if (replacing) await this._takePlace(node);
    else await this._appear(node);
    return node;
  }

  async _appear(node) {
    const { basicDeviceClass, genericDeviceClass, specificDeviceClass } = node.capabilities;
    const supportedCCs = [...node.implementedCCs].filter(([, { isSupported, version }]) => isSupported && version > 0).map(([each]) => each);
    await pause();
    await this._added(AddNodeStatus.NodeFound);
    await pause();
    await this._added(AddNodeStatus.AddingSlave, {
      nodeInfo: { nodeId: node.id, basicDeviceClass, genericDeviceClass, specificDeviceClass, supportedCCs },
    });
    await pause();
    this._controller.addNode(node);
    this._joined = node.id;
    await this._added(AddNodeStatus.ProtocolDone);
  }

  async _takePlace(node) {
    const old = this._controller.nodes.get(node.id);
    old?.state.get('device').stop();
    await pause();
    this._controller.addNode(node);
    this.mode = 'idle';
    await send(this._controller, MessageType.Request, FunctionType.ReplaceFailedNode, [this._callbackId, REPLACE_DONE]);
  }

  // The interview begins with a Version command; its own reports start with it too.
  _quietUntilInterview(node) {
    let begun = false;
    const { txDelay } = node.capabilities;
    node.capabilities.txDelay = Math.max(txDelay, KEY_EXCHANGE_TX_MS);
    node.defineBehavior({
      handleCC: (_controller, self, command) => {
        if (begun || command?.ccId !== CommandClasses.Version) return;
        begun = true;
        this._session.quiet = false;
        self.capabilities.txDelay = txDelay;
        self.state.get('device').start();
      },
    });
  }

  /** Press the button of a device while the controller removes; `id` 0 is a device of another network. */
  async leave(id) {
    if (this.mode !== 'removing') throw new Error('the controller is not in exclusion mode');
    const node = this._controller.nodes.get(id);
    if (id && !node) throw new Error(`no node ${id}`);
    this.mode = 'busy';
    await this._removed(RemoveNodeStatus.NodeFound);
    await pause();
    await this._removed(RemoveNodeStatus.RemovingSlave, { nodeId: id });
    await pause();
    if (node) this.gone(node);
    await this._removed(RemoveNodeStatus.Done, { nodeId: id });
  }

  gone(node) {
    node.state.get('device').stop();
    this._controller.removeNode(node);
  }

  _added(status, more = {}) {
    return this._controller.sendMessageToHost(new AddNodeToNetworkRequestStatusReport({ callbackId: this._callbackId, status, ...more }));
  }

  _removed(status, more = {}) {
    return this._controller.sendMessageToHost(new RemoveNodeFromNetworkRequestStatusReport({ callbackId: this._callbackId, status, ...more }));
  }
}

/** A device's DSK; the stock `node.dsk` is one byte off, so the PIN it shows is refused. */
function dskOf(node) {
  const key = node.ecdhKeyPair.publicKey;
  const groups = [];
  for (let at = 0; at < 16; at += 2) groups.push(String((key[at] << 8) | key[at + 1]).padStart(5, '0'));
  return groups.join('-');
}

module.exports = { Joining, dskOf };

'use strict';

// The stick's own memory: what a backup reads and a restore writes, as a 700-series stick has it (NVM3), so that zwave-js
// can read and convert it. Which kind of device each node is stands in the part that is the maker's own.

const { jsonToNVM, nvmToJSON } = require('@zwave-js/nvmedit');
const { NodeType, RFRegion } = require('@zwave-js/core');

const SIZE = 0xc000;
const PIECE = 200; // most bytes of one answer: a frame has at most 255
const [OPEN, READ, WRITE, CLOSE] = [0, 1, 2, 3];
const [OK, END_OF_FILE] = [0x00, 0xff];
const SDK = '7.17.2';
const OWN_CLASS = { genericDeviceClass: 0x02, specificDeviceClass: 0x01 }; // a static controller

class Nvm {
  /** `restored({homeId, devices})` is called when the host has written another network; `devices` as `add` takes them. */
  constructor(controller, restored) {
    this._controller = controller;
    this._restored = restored;
    this._image = undefined;
    this._changed = false;
  }

  /** Answer one NVMOperations request: [operation, length, offset (2), data …] to [status, length, offset (2), data …]. */
  async answer([operation, length = 0, high = 0, low = 0, ...data]) {
    const offset = high * 256 + low;
    if (operation === OPEN) {
      this._image = await imageOf(this._controller);
      return reply(OK, SIZE, []);
    }
    if (operation === CLOSE) {
      if (this._changed) await this._take();
      return reply(OK, 0, []);
    }
    this._image ??= await imageOf(this._controller);
    const end = Math.min(offset + Math.min(length, PIECE), SIZE);
    const status = end >= SIZE ? END_OF_FILE : OK;
    if (operation === READ) return reply(status, offset, this._image.subarray(offset, end));
    if (operation === WRITE) {
      this._image.set(data.slice(0, end - offset), offset);
      this._changed = true;
    }
    return reply(status, offset, []);
  }

  async _take() {
    this._changed = false;
    const { controller } = await nvmToJSON(this._image);
    const devices = JSON.parse(Buffer.from(controller.applicationData, 'hex').toString('utf8').replace(/\0+$/, ''));
    await this._restored({ homeId: Number.parseInt(controller.homeId, 16), devices });
  }
}

function reply(status, offset, bytes) {
  return [status, bytes.length, offset >> 8, offset & 0xff, ...bytes];
}

function imageOf(controller) {
  const nodes = [...controller.nodes.values()];
  const last = Math.max(controller.ownNodeId, ...controller.nodes.keys());
  const neighbors = [controller.ownNodeId, ...controller.nodes.keys()];
  const own = nodeOf(controller.ownNodeId, { ...OWN_CLASS, isListening: true, isFrequentListening: false, supportsSecurity: false }, neighbors);
  return jsonToNVM({
    format: 4,
    controller: {
      protocolVersion: SDK,
      applicationVersion: SDK,
      homeId: `0x${controller.homeId.toString(16).padStart(8, '0')}`,
      nodeId: controller.ownNodeId,
      lastNodeId: last,
      staticControllerNodeId: controller.ownNodeId,
      sucLastIndex: 0xff,
      controllerConfiguration: 0x2c,
      sucUpdateEntries: [],
      maxNodeId: last,
      reservedId: 0,
      systemState: 0,
      rfConfig: { rfRegion: RFRegion.Europe, txPower: 0, measured0dBm: 0, enablePTI: null, maxTXPower: null, nodeIdType: null },
      preferredRepeaters: [],
      isListening: true,
      optionalFunctionality: true,
      ...OWN_CLASS,
      commandClasses: { includedInsecurely: [], includedSecurelyInsecureCCs: [], includedSecurelySecureCCs: [] },
      applicationData: Buffer.from(JSON.stringify(nodes.map(described))).toString('hex'),
    },
    nodes: Object.fromEntries([[controller.ownNodeId, own], ...nodes.map((node) => [node.id, nodeOf(node.id, node.capabilities, neighbors)])]),
    lrNodes: {},
  }, SDK);
}

function described(node) {
  const { kind, id, period_s, wake_up_s } = node.state.get('device');
  return { kind, id, period_s, wake_up_s };
}

function nodeOf(id, { isListening, isFrequentListening, supportsSecurity, genericDeviceClass, specificDeviceClass }, neighbors) {
  return {
    isVirtual: false,
    isListening,
    isFrequentListening,
    isRouting: true,
    supportedDataRates: [40000, 100000],
    protocolVersion: 3,
    optionalFunctionality: true,
    nodeType: genericDeviceClass === OWN_CLASS.genericDeviceClass ? NodeType.Controller : NodeType['End Node'],
    supportsSecurity,
    supportsBeaming: true,
    genericDeviceClass,
    specificDeviceClass,
    neighbors: neighbors.filter((each) => each !== id),
    sucUpdateIndex: 0xfe,
    appRouteLock: false,
    routeSlaveSUC: false,
    sucPendingUpdate: false,
    pendingDiscovery: false,
    lwr: null,
    nlwr: null,
  };
}

module.exports = { Nvm };

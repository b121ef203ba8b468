'use strict';

// Functions of the serial API that the stock mock controller lacks, by their bytes: most of their requests cannot be
// parsed by the library (only a stick needs that). Each gets the request's payload and returns its answers:
// {response: [bytes], callback: [bytes]}; both may be missing.

const { FunctionType, Message, MessageHeaders, MessageType } = require('@zwave-js/serial');
const { Bytes } = require('@zwave-js/shared');

const DATA_AT = 4; // start, length, type, function, data …, checksum
const NODE_MASK_BYTES = 29;
const [TRANSMIT_OK, TRANSMIT_NO_ACK] = [0x00, 0x01];
const [NEIGHBORS_STARTED, NEIGHBORS_DONE, NEIGHBORS_FAILED] = [0x21, 0x22, 0x23];
const LITTLE_NOISE_DBM = 0x9f; // -97 as one signed byte

function table(network, nvm) {
  const { controller } = network;
  const reachable = (id) => (controller.nodes.get(id)?.state.get('device').radio.mode ?? 'dead') === 'on';
  const acknowledged = (id) => (reachable(id) ? TRANSMIT_OK : TRANSMIT_NO_ACK);
  return {
    [FunctionType.NVMOperations]: async (request) => ({ response: await nvm.answer(request) }),
    [FunctionType.SetRFReceiveMode]: () => ({ response: [1] }),
    [FunctionType.GetBackgroundRSSI]: () => ({ response: [LITTLE_NOISE_DBM, LITTLE_NOISE_DBM, LITTLE_NOISE_DBM] }),
    [FunctionType.IsFailedNode]: ([id]) => ({ response: [controller.nodes.get(id)?.state.get('device').radio.mode === 'dead' ? 1 : 0] }),
    [FunctionType.GetRoutingInfo]: ([id]) => ({ response: neighbors(controller, id) }),
    [FunctionType.RequestNodeNeighborUpdate]: ([id, callback]) => ({
      callbacks: [[callback, NEIGHBORS_STARTED], [callback, reachable(id) ? NEIGHBORS_DONE : NEIGHBORS_FAILED]],
    }),
    [FunctionType.DeleteReturnRoute]: ([id, callback]) => ({ response: [1], callbacks: [[callback, acknowledged(id)]] }),
    [FunctionType.AssignReturnRoute]: ([id, , callback]) => ({ response: [1], callbacks: [[callback, acknowledged(id)]] }),
    [FunctionType.HardReset]: ([callback]) => {
      network.clear();
      return { callbacks: [[callback]] };
    },
  };
}

/** Everybody hears everybody, as a bit mask of node numbers. */
function neighbors(controller, id) {
  const mask = new Array(NODE_MASK_BYTES).fill(0);
  for (const other of [controller.ownNodeId, ...controller.nodes.keys()]) {
    if (other !== id) mask[(other - 1) >> 3] |= 1 << ((other - 1) & 7);
  }
  return mask;
}

function moreFunctions(network, nvm) {
  const functions = table(network, nvm);
  return {
    supported: Object.keys(functions).map(Number),
    behavior: {
      async onHostData(controller, data) {
        const answer = data.length > DATA_AT && data[2] === MessageType.Request && functions[data[3]];
        if (!answer) return false;
        const functionType = data[3];
        controller.sendHeaderToHost(MessageHeaders.ACK);
        // Not awaited: the host's acknowledgements come through the loop that called this.
        void (async () => {
          const { response, callbacks = [] } = await answer([...data.subarray(DATA_AT, -1)]);
          if (response) await send(controller, MessageType.Response, functionType, response);
          for (const each of callbacks) await send(controller, MessageType.Request, functionType, each);
        })();
        return true;
      },
    },
  };
}

function send(controller, type, functionType, bytes) {
  return controller.sendMessageToHost(new Message({ type, functionType, payload: Bytes.from(bytes) }));
}

module.exports = { moreFunctions, send };

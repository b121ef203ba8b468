'use strict';

// Removing and replacing a node that failed: the stock mock says that its hardware cannot.

const { FunctionType, MessageHeaders, MessageType } = require('@zwave-js/serial');
const { RemoveFailedNodeRequest } = require('@zwave-js/serial/serialapi');
const { send } = require('./functions');

const [STARTED, NOT_FOUND] = [0x00, 0x08];
const [NODE_OK, REMOVED] = [0x00, 0x01];

function failedNodes(joining) {
  const dead = (node) => node?.state.get('device').radio.mode !== 'on';

  return {
    /** By its bytes: the library cannot parse this request. */
    async onHostData(controller, data) {
      if (data[2] !== MessageType.Request || data[3] !== FunctionType.ReplaceFailedNode) return false;
      const [id, callbackId] = [data[4], data[5]];
      controller.sendHeaderToHost(MessageHeaders.ACK);
      void (async () => {
        const node = controller.nodes.get(id);
        await send(controller, MessageType.Response, FunctionType.ReplaceFailedNode, [node ? STARTED : NOT_FOUND]);
        if (!node) return;
        if (dead(node)) await joining.replace(id, callbackId);
        else await send(controller, MessageType.Request, FunctionType.ReplaceFailedNode, [callbackId, NODE_OK]);
      })();
      return true;
    },

    async onHostMessage(controller, message) {
      if (!(message instanceof RemoveFailedNodeRequest)) return undefined;
      const node = controller.nodes.get(message.failedNodeId);
      await send(controller, MessageType.Response, FunctionType.RemoveFailedNode, [node ? STARTED : NOT_FOUND]);
      if (!node) return true;
      const gone = dead(node);
      if (gone) joining.gone(node);
      await send(controller, MessageType.Request, FunctionType.RemoveFailedNode, [message.callbackId, gone ? REMOVED : NODE_OK]);
      return true;
    },
  };
}

module.exports = { failedNodes };

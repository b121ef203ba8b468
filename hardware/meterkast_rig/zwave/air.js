'use strict';

// From the air to the host: one frame at a time, each waiting for the host's acknowledgement like a real stick.
// The stock mock sends whatever is ready; two S2 frames could then overtake one another and break their nonces.

const { CommandClass } = require('@zwave-js/cc');
const { ZWaveProtocolCC } = require('@zwave-js/cc/ZWaveProtocolCC');
const { ApplicationCommandRequest } = require('@zwave-js/serial/serialapi');
const { MockZWaveFrameType } = require('@zwave-js/testing');

// As a real stick: a frame that is not acknowledged is sent again. zwave-js takes what follows noise on the line for the
// rest of a frame, as long as the noise announced, and has no time-out for it.
const ACKNOWLEDGED_WITHIN_MS = 1600;
const ATTEMPTS = 4;

function forwarding(shown, session) {
  let encoding = Promise.resolve();
  let sending = Promise.resolve();

  function encode(controller, node, command) {
    const message = new ApplicationCommandRequest({ command });
    message.getNodeId = () => node.id;
    return message.serialize({ nodeIdType: controller.encodingContext.nodeIdType, ...node.encodingContext });
  }

  async function send(controller, node, command, data) {
    for (let n = 0; n < ATTEMPTS && session.connected; n += 1) {
      const at = Date.now();
      controller.mockPort.emitData(data);
      try {
        await controller.expectHostACK(ACKNOWLEDGED_WITHIN_MS);
      } catch {
        continue;
      }
      const facts = shown.noteOf(command);
      if (facts) shown.sent(node.id, facts, at);
      return;
    }
  }

  return {
    onNodeFrame(controller, node, frame) {
      const command = frame.payload;
      if (frame.type !== MockZWaveFrameType.Request || !(command instanceof CommandClass)) return undefined;
      if (command instanceof ZWaveProtocolCC) return undefined; // not for applications: the stock behaviours know these
      // Encoded at once, in order: S2 encrypts here, with the keys and nonces of this moment.
      const data = encoding.then(() => encode(controller, node, command));
      encoding = data.catch(() => {});
      sending = sending.then(async () => send(controller, node, command, await data)).catch((error) => console.error(`node ${node.id}: ${error.message}`));
      return sending.then(() => true);
    },
  };
}

/** What the stick itself says is sent again too; without an answer the stock mock would stay busy for ever. */
function persistent(controller, session) {
  const send = controller.sendMessageToHost.bind(controller);
  controller.sendMessageToHost = async (message, node) => {
    for (let n = 0; n < ATTEMPTS && session.connected; n += 1) {
      try {
        return await send(message, node);
      } catch (error) {
        if (!/ACK/.test(error.message)) throw error;
      }
    }
    return undefined;
  };
}

module.exports = { forwarding, persistent };

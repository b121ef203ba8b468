'use strict';

// A device's side of the S2 key exchange, where the stock mock is not like a device: it says which keys it was granted
// once, at once. The host ignores that until a person has typed the PIN (and zwave-js loses one after an exchange that
// was broken off: it still waits for it there). A device says it again and again.

const {
  ECDHProfiles, KEXSchemes, Security2CC, Security2CCKEXFail, Security2CCKEXSet, Security2CCNetworkKeyReport, Security2CCNonceGet,
  Security2CCNonceReport, Security2CCPublicKeyReport,
} = require('@zwave-js/cc');
const { computePRK, deriveSharedECDHSecret, deriveTempKeys } = require('@zwave-js/core');
const { createMockZWaveRequestFrame } = require('@zwave-js/testing');

const AGAIN_MS = 3000; // a device: 10 s
const GIVE_UP_MS = 240_000; // as a device
const HANDSHAKE = 1; // the stock mock's stage between its public key and the host's word that all is agreed
const STAGE = 'Security2_bootstrapState';
const KEYS = 'S2 keys';

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms).unref());

/** Whether the device got a key when it joined: without one nothing that it says is encrypted. */
const hasKeys = (node) => node.state.has(KEYS);

const keyExchange = {
  async handleCC(controller, node, command) {
    if (!node.securityManagers.securityManager2) return undefined;
    if (command instanceof Security2CCNetworkKeyReport) node.state.set(KEYS, true);
    if (command instanceof Security2CCKEXFail) {
      node.state.delete(STAGE);
      node.state.delete(KEYS);
      return { action: 'stop' };
    }
    if (!(command instanceof Security2CCPublicKeyReport && command.includingNode)) return undefined;
    await agree(controller, node, command.publicKey);
    void confirm(controller, node).catch((error) => console.error(`node ${node.id}: ${error.message}`));
    return { action: 'stop' };
  },
};

async function agree(controller, node, publicKey) {
  const { privateKey, publicKey: own } = node.ecdhKeyPair;
  const secret = await deriveSharedECDHSecret({ publicKey, privateKey });
  const { tempKeyCCM, tempPersonalizationString } = await deriveTempKeys(await computePRK(secret, publicKey, own));
  const keys = { keyCCM: tempKeyCCM, personalizationString: tempPersonalizationString };
  node.securityManagers.securityManager2.tempKeys.set(controller.ownNodeId, keys);
}

/** Say which keys were granted until the host has understood it, or the exchange is over. */
async function confirm(controller, node) {
  const until = performance.now() + GIVE_UP_MS;
  const goesOn = () => node.state.get(STAGE)?.stage === HANDSHAKE && controller.nodes.get(node.id) === node && performance.now() < until;
  while (goesOn()) {
    if (await nonce(controller, node) && goesOn()) await transmit(node, Security2CC.encapsulate(echo(controller, node), node.id, node.securityManagers));
    await pause(AGAIN_MS);
  }
}

async function nonce(controller, node) {
  node.securityManagers.securityManager2.deleteNonce(controller.ownNodeId);
  const answered = node.expectControllerFrame(({ payload }) => payload instanceof Security2CCNonceReport && payload.SOS);
  await transmit(node, new Security2CCNonceGet({ nodeId: controller.ownNodeId }));
  return answered.then(() => true, () => false);
}

function echo(controller, node) {
  return new Security2CCKEXSet({
    nodeId: controller.ownNodeId,
    echo: true,
    selectedKEXScheme: KEXSchemes.KEXScheme1,
    selectedECDHProfile: ECDHProfiles.Curve25519,
    permitCSA: false,
    grantedKeys: node.state.get(STAGE).grantedKeys,
  });
}

async function transmit(node, command) {
  if (node.state.get('device').radio.mode !== 'on') return;
  await node.sendToController(createMockZWaveRequestFrame(command, { ackRequested: false }));
}

module.exports = { hasKeys, keyExchange };

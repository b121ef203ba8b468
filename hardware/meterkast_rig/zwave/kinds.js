'use strict';

// The kinds of device. A kind is a function of `who` = [seed, node] that returns what the device is:
//   generic, specific   device class
//   product             {manufacturerId, productType, productId}: a row of zwave-js' device database; else unknown
//   listening           true, false or "1000ms" (a lock that listens once a second)
//   sleeps              true: wakes up by itself each wake-up interval and reports then
//   classes             command classes beyond the common ones and those that follow from `values`
//   endpoints           classes of endpoints 1, 2, …
//   values              what it measures: meter(…) and sensor(…) of values.js
//   actions             verbs of its own: {name: (device, args) => …}
//   security            security classes it asks for when it joins and none are named

const { SecurityClass } = require('@zwave-js/core');
const { capabilitiesOf } = require('./capabilities');

const kinds = {
  ...require('./devices/meters'),
  ...require('./devices/sensors'),
  ...require('./devices/switches'),
  ...require('./devices/thermostats'),
  ...require('./devices/battery'),
};

/** What a device of a kind is, and its capabilities for MockNode. */
function describe(kind, id, seed, { period_s, classes }) {
  if (!Object.hasOwn(kinds, kind)) throw new Error(`no kind "${kind}"; there are: ${Object.keys(kinds).join(', ')}`);
  const spec = kinds[kind]([seed, id]);
  const security = classes ? classes.map(securityClass) : (spec.security ?? []);
  return { spec, capabilities: capabilitiesOf(spec, security, period_s) };
}

function securityClass(name) {
  if (!(name in SecurityClass)) throw new Error(`no security class "${name}"; there are: S2_AccessControl, S2_Authenticated, S2_Unauthenticated, S0_Legacy`);
  return SecurityClass[name];
}

/** "kind:id,kind:id" as a list of {kind, id}. */
function parseDevices(text) {
  return text.split(',').filter((part) => part.trim()).map((part) => {
    const [kind, id] = part.trim().split(':');
    if (!Number.isInteger(Number(id)) || Number(id) < 2 || Number(id) > 232) throw new Error(`"${part}": write kind:node, node 2 to 232`);
    return { kind, id: Number(id) };
  });
}

module.exports = { describe, parseDevices };

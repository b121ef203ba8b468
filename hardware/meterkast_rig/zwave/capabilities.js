'use strict';

// From what a device is (kinds.js) to what MockNode wants to know of it.

const { CommandClasses: CC, SecurityClass } = require('@zwave-js/core');
const { ccCaps } = require('@zwave-js/testing');
const { PERIOD_PARAMETER } = require('./behaviors');
const { scalesOf } = require('./units');

const supported = (ccId, version, more = {}) => ccCaps({ ccId, version, isSupported: true, ...more });
const COMMON = [supported(CC.Version, 2), supported(CC['Manufacturer Specific'], 1), supported(CC.Association, 2), supported(CC['Z-Wave Plus Info'], 2)];
const OPEN = [CC['Z-Wave Plus Info'], CC['Security 2'], CC.Security, CC.Supervision]; // usable before there are keys
const distinct = (items) => [...new Set(items)];

function capabilitiesOf(spec, security, period_s) {
  const reports = spec.values?.length && !spec.sleeps;
  const root = [
    ...COMMON,
    ...(spec.classes ?? []),
    ...ofValues(spec.values ?? [], 0),
    ...(spec.endpoints ? [supported(CC['Multi Channel'], 4)] : []),
    ...(reports ? [configuration(period_s)] : []),
  ];
  const endpoints = (spec.endpoints ?? []).map((endpoint, n) => [...(endpoint.classes ?? []), ...ofValues(spec.values ?? [], n + 1)]);
  const secure = (classes) => (security.length ? classes.map((each) => ({ ...each, secure: !OPEN.includes(each.ccId) })) : classes);
  return {
    ...spec.product,
    genericDeviceClass: spec.generic,
    specificDeviceClass: spec.specific ?? 1,
    isListening: !spec.sleeps && typeof spec.listening !== 'string',
    isFrequentListening: typeof spec.listening === 'string' ? spec.listening : false,
    supportsSecurity: security.length > 0,
    securityClasses: new Set(security),
    commandClasses: secure([...root, ...securityCommands(security, root)]),
    ...(spec.endpoints && {
      endpoints: endpoints.map((commandClasses, n) => ({
        genericDeviceClass: spec.endpoints[n].generic ?? spec.generic,
        specificDeviceClass: spec.endpoints[n].specific ?? 1,
        commandClasses: secure(commandClasses),
      })),
    }),
  };
}

/** Meter and Multilevel Sensor of an endpoint, from its values; the root of a multi-endpoint device shows its first. */
function ofValues(values, endpoint) {
  const here = (ccId) => {
    const all = values.filter((value) => value.ccId === ccId);
    const there = all.filter((value) => value.endpoint === endpoint);
    return there.length || endpoint ? there : all.filter((value) => value.endpoint === 1);
  };
  const [meters, sensors] = [here(CC.Meter), here(CC['Multilevel Sensor'])];
  const classes = [];
  if (meters.length) {
    classes.push(supported(CC.Meter, 5, {
      meterType: meters[0].type,
      supportedScales: distinct(meters.map((value) => value.scale)),
      supportedRateTypes: distinct(meters.map((value) => value.rate)),
      supportsReset: true,
    }));
  }
  if (sensors.length) {
    const bySensor = Object.fromEntries(sensors.map((value) => [value.type, { supportedScales: scalesOf(value) }]));
    classes.push(supported(CC['Multilevel Sensor'], 11, { sensors: bySensor }));
  }
  return classes;
}

function configuration(period_s) {
  const parameter = { '#': PERIOD_PARAMETER, valueSize: 4, name: 'Reporting interval in seconds', minValue: 1, maxValue: 86400, defaultValue: period_s };
  return supported(CC.Configuration, 4, { parameters: [parameter] });
}

function securityCommands(security, root) {
  if (!security.length) return [];
  const S2 = security.some((each) => each !== SecurityClass.S0_Legacy);
  const classes = S2 ? [supported(CC['Security 2'], 1), supported(CC.Supervision, 1)] : [];
  if (security.includes(SecurityClass.S0_Legacy)) classes.push(supported(CC.Security, 1));
  return classes.filter((each) => !root.some((other) => other.ccId === each.ccId));
}

module.exports = { capabilitiesOf, supported };

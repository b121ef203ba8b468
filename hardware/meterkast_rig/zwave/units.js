'use strict';

// Other scales of a value, for a device that changes its unit at run time. A value is computed in the scale that its
// kind gave it (`base`) and shown in `scale`.

const { CommandClasses: CC } = require('@zwave-js/core');

const TEMPERATURES = [1, 11, 23, 24, 34, 62, 63, 64, 65, 72, 73];
const FAHRENHEIT = (value) => value * 1.8 + 32;
const times = (factor) => (value) => value * factor;

/** From the first scale (°C, kg, m³, …) to another; others keep their number, as a device with a wrong scale does. */
const FROM_FIRST = {
  [CC['Multilevel Sensor']]: { 8: { 1: times(0.2953) }, 14: { 1: times(2.204622622) }, 6: { 1: times(2.236936) } },
  [CC.Meter]: { 2: { 1: times(35.3146667) }, 3: { 1: times(35.3146667), 2: times(264.172052) } },
};
for (const type of TEMPERATURES) FROM_FIRST[CC['Multilevel Sensor']][type] = { 1: FAHRENHEIT };

function converted(value, number) {
  if (value.scale === value.base || value.base !== 0) return number;
  return FROM_FIRST[value.ccId]?.[value.type]?.[value.scale]?.(number) ?? number;
}

/** Whether a value can be shown in that scale: in its own, or in one that is known how to convert to. */
function convertible({ ccId, type, base }, scale) {
  return scale === base || (base === 0 && scale in (FROM_FIRST[ccId]?.[type] ?? {}));
}

/** Scales that a value can have: a driver drops reports of a sensor in a scale that the device did not announce. */
function scalesOf({ ccId, type, scale, base }) {
  const others = base === 0 ? Object.keys(FROM_FIRST[ccId]?.[type] ?? {}).map(Number) : [];
  return [scale, ...others];
}

module.exports = { converted, convertible, scalesOf };

'use strict';

// The world that the devices measure: pure functions of who asks (seed, node, what) and of simulated time,
// so that anyone can compute again what a device showed. Times are Unix seconds of the simulated clock.

const EPOCH_S = Date.UTC(2024, 0, 1) / 1000; // registers count from here: a year or two of use when shown
const DAY_S = 86400;

/** Evenly spread in [0, 1), always the same for the same words. */
function chance(...who) {
  let hash = 0x811c9dc5; // FNV-1a, then two rounds of mixing: neighbours must differ in every bit
  for (const letter of who.join('/')) hash = Math.imul(hash ^ letter.codePointAt(0), 0x01000193);
  for (const factor of [0x7feb352d, 0x846ca68b]) hash = Math.imul(hash ^ (hash >>> 15), factor);
  return ((hash ^ (hash >>> 16)) >>> 0) / 2 ** 32;
}

// Three waves of unrelated lengths; their heights add up to 1.
const WAVES = [[DAY_S, 0.5], [5077, 0.3], [653, 0.2]];

/** A value that goes up and down around `mean`, by at most `depth` × `mean`; `sum` is its exact integral since EPOCH_S. */
function wave(who, mean, depth) {
  const parts = WAVES.map(([length, height], n) => ({ w: (2 * Math.PI) / length, height, phase: 2 * Math.PI * chance(...who, n) }));
  const swing = (t) => parts.reduce((sum, { w, height, phase }) => sum + height * Math.sin(w * t + phase), 0);
  const swung = (t) => parts.reduce((sum, { w, height, phase }) => sum - (height / w) * Math.cos(w * t + phase), 0);
  return {
    at: (t) => mean * (1 + depth * swing(t)),
    sum: (t) => mean * (t - EPOCH_S + depth * (swung(t) - swung(EPOCH_S))),
  };
}

/** Solar panels: a half sine from 6 to 18 h UTC, `peak` at noon; `sum` is its exact integral since EPOCH_S. */
function sun(peak) {
  const morning = DAY_S / 4;
  const length = DAY_S / 2;
  const daylight = (t) => Math.min(Math.max((t % DAY_S) - morning, 0), length);
  const wholeDay = (2 * length) / Math.PI;
  return {
    at: (t) => peak * Math.sin((Math.PI * daylight(t)) / length),
    sum: (t) => peak * (Math.floor((t - EPOCH_S) / DAY_S) * wholeDay + (length / Math.PI) * (1 - Math.cos((Math.PI * daylight(t)) / length))),
  };
}

module.exports = { chance, sun, wave };

'use strict';

// The fault switches of switches.json, and the seeded chances they ask for.

const SWITCHES = require('./switches.json');

const CHOICES = { refuse: ['connect'], answer_key: ['message_id', 'id', 'mixed'] };

class BadFault extends Error {}

/** Value of one switch from text or JSON; null means off. Throws BadFault. */
function faultValue(name, value) {
  const known = Object.prototype.hasOwnProperty.call(SWITCHES, name);
  if (!known) throw new BadFault(`no fault switch '${name}'; there are: ${Object.keys(SWITCHES).join(', ')}`);
  const { kind } = SWITCHES[name];
  if (value === null) return off(kind);
  const text = String(value).trim();
  if (kind === 'bool') {
    if (['true', '1', 'yes', 'on'].includes(text.toLowerCase())) return true;
    if (['false', '0', 'no', 'off'].includes(text.toLowerCase())) return false;
    throw new BadFault(`fault '${name}' is true or false, not '${text}'`);
  }
  if (kind === 'text') {
    if (text && CHOICES[name] && !CHOICES[name].includes(text)) {
      throw new BadFault(`fault '${name}' is one of ${CHOICES[name].join(', ')}, not '${text}'`);
    }
    if (text && name === 'poison' && Number.isNaN(Date.parse(text))) {
      throw new BadFault(`fault 'poison' is a reading_time, not '${text}'`);
    }
    return text;
  }
  const number = text === '' || typeof value === 'boolean' ? NaN : Number(text);
  if (!(number >= 0 && number < Infinity) || (kind === 'probability' && number > 1)) {
    const wanted = kind === 'probability' ? 'chance from 0 to 1' : 'number of seconds';
    throw new BadFault(`fault '${name}' is a ${wanted}, not '${text}'`);
  }
  return number;
}

function off(kind) {
  if (kind === 'bool') return false;
  return kind === 'text' ? '' : 0;
}

/** `lost_acks=0.1,refuse_auth` to an object. */
function parseFaults(text) {
  const values = {};
  for (const part of text.split(',').map((piece) => piece.trim()).filter(Boolean)) {
    const at = part.indexOf('=');
    const name = at < 0 ? part : part.slice(0, at).trim();
    values[name] = faultValue(name, at < 0 ? true : part.slice(at + 1));
  }
  return values;
}

class Faults {
  constructor(text, seed) {
    this.seed = seed;
    this.values = Object.fromEntries(Object.entries(SWITCHES).map(([name, { kind }]) => [name, off(kind)]));
    Object.assign(this.values, parseFaults(text));
    this.restart();
  }

  /** Set the switches named, leave the others; all or nothing. */
  set(changes) {
    if (changes === null || typeof changes !== 'object' || Array.isArray(changes)) {
      throw new BadFault('faults are a JSON object of switches');
    }
    const checked = Object.entries(changes).map(([name, value]) => [name, faultValue(name, value)]);
    Object.assign(this.values, Object.fromEntries(checked));
  }

  restart() {
    this.state = this.seed >>> 0;
  }

  // mulberry32: Math.random() cannot be seeded, and a run must be repeatable.
  random() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let t = this.state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  /** Whether the fault happens this time. A switch at 0 draws nothing, so it does not shift the others. */
  chance(name) {
    return this.values[name] > 0 && this.random() < this.values[name];
  }

  coin() {
    return this.random() < 0.5;
  }
}

module.exports = { BadFault, Faults };

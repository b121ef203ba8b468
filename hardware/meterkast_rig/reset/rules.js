'use strict';

// What a message must be, by "RESET API V2.1 for Data Providers" (the section is named at each rule).
// Pure: a message and the monitors known so far go in, what it means comes out, or Refused is thrown with
// words that say what is wrong and where.

// "Monitors - Create", tables of included_parameters: parameter and its available units.
const UNITS = {
  air: { pm2p5: ['ug/m3'], tvoc: ['mg/m3', 'ppb'], co2: ['ppm'], temp: ['C'], rh: ['%RH'], pm10: ['ug/m3'] },
  water: { water_flow: ['L'], water_temp: ['C'], tds: ['ppm'], orp: ['mv'], ph: ['ph'] },
  energy: { power_consumption: ['kWh'] },
  circularity: { bin_weight: ['kg'] },
};

// "Event - Readings", tables of readings: required = true. A parameter the monitor does not measure is not asked for.
const REQUIRED = {
  air: ['pm2p5', 'tvoc', 'co2', 'temp', 'rh'],
  water: ['water_flow', 'water_temp'],
  energy: ['power_consumption'],
  circularity: ['bin_weight'],
};

// "For water_flow, reading needs to be a cumulative counter", likewise power_consumption.
const CUMULATIVE = ['water_flow', 'power_consumption'];

const MAX_READING_TIMES = 48; // "one message maxes out at 48 readings (one days worth)"

class Refused extends Error {
  constructor(message, code = '10400') {
    super(message);
    this.code = code;
  }
}

/**
 * A `monitors` message.
 * @param message what came with the event
 * @param {Map<string, object>} monitors monitors by connection_id
 * @param {boolean} refuseRecreate whether create of an existing monitor is an error (the document does not say)
 * @returns {object} the monitor as it stands after the message
 */
function checkMonitor(message, monitors, { refuseRecreate = false } = {}) {
  fields(message, 'message', ['message_type', 'message_id', 'data'], []);
  const type = message.message_type;
  if (type !== 'create' && type !== 'modify') refuse('message_type', `must be "create" or "modify", not ${show(type)}`);
  const { data } = message;
  if (type === 'create') fields(data, 'data', ['connection_id', 'module', 'meta'], ['label', 'channels']);
  else {
    if (isObject(data) && 'module' in data) refuse('data.module', 'modify does not have a module');
    fields(data, 'data', ['connection_id', 'meta'], ['label', 'channels']);
  }
  text(data.connection_id, 'data.connection_id');
  if ('label' in data) string(data.label, 'data.label');
  const known = monitors.get(data.connection_id);
  if (type === 'modify' && !known) {
    refuse('data.connection_id', `no monitor ${show(data.connection_id)}; create it first`);
  }
  if (type === 'create' && known && refuseRecreate) {
    refuse('data.connection_id', `monitor ${show(data.connection_id)} exists already`);
  }
  const module = type === 'create' ? checkModule(data.module, known) : known.module;
  checkMeta(data.meta, module);
  return {
    connection_id: data.connection_id,
    module,
    label: 'label' in data ? data.label : known ? known.label : null,
    meta: data.meta,
    channels: checkChannels(data.channels, module, known),
    messages: (known ? known.messages : 0) + 1,
  };
}

function checkModule(module, known) {
  if (typeof module !== 'string' || !Object.prototype.hasOwnProperty.call(UNITS, module)) {
    const modules = Object.keys(UNITS).join(', ');
    refuse('data.module', `must be one of ${modules} (lower case, as in the samples), not ${show(module)}`);
  }
  if (known && known.module !== module) refuse('data.module', `was ${known.module} and cannot become ${module}`);
  return module;
}

function checkMeta(meta, module) {
  fields(meta, 'data.meta', ['monitor_detail', 'included_parameters'], []);
  const detail = meta.monitor_detail;
  const where = 'data.meta.monitor_detail';
  const names = ['monitor_brand', 'monitor_sku', 'monitor_serial_id'];
  fields(detail, where, names, ['last_monitor_calibration_date']);
  for (const name of names) text(detail[name], `${where}.${name}`);
  if ('last_monitor_calibration_date' in detail) {
    instant(detail.last_monitor_calibration_date, `${where}.last_monitor_calibration_date`);
  }
  checkParameters(meta.included_parameters, module);
}

function checkParameters(parameters, module) {
  const where = 'data.meta.included_parameters';
  if (!isObject(parameters)) refuse(where, 'must be an object');
  if (Object.keys(parameters).length === 0) refuse(where, 'names no parameter');
  for (const [name, definition] of Object.entries(parameters)) {
    const units = Object.prototype.hasOwnProperty.call(UNITS[module], name) ? UNITS[module][name] : null;
    if (!units) {
      const valid = Object.keys(UNITS[module]).join(', ');
      refuse(`${where}.${name}`, `is not a parameter of module ${module} (${valid})`);
    }
    fields(definition, `${where}.${name}`, ['unit'], []);
    if (!units.includes(definition.unit)) {
      refuse(`${where}.${name}.unit`, `must be ${units.join(' or ')}, not ${show(definition.unit)}`);
    }
  }
  if (module === 'energy' && !('power_consumption' in parameters)) refuse(`${where}.power_consumption`, 'is required');
}

// "all energy, water, and circularity monitors will need at least one channel"; "Do not include if the module is Air";
// "The channel_id needs to be unique and immutable for this monitor."
function checkChannels(channels, module, known) {
  if (module === 'air') {
    if (channels !== undefined) refuse('data.channels', 'must not be included for module air');
    return [];
  }
  if (channels === undefined && known) return known.channels;
  if (!Array.isArray(channels) || channels.length === 0) {
    refuse('data.channels', `module ${module} needs an array of at least one channel`);
  }
  const ids = new Set();
  channels.forEach((channel, index) => {
    const where = `data.channels[${index}]`;
    fields(channel, where, ['channel_id'], ['channel_label']);
    text(channel.channel_id, `${where}.channel_id`);
    if ('channel_label' in channel) string(channel.channel_label, `${where}.channel_label`);
    if (ids.has(channel.channel_id)) refuse(`${where}.channel_id`, `${show(channel.channel_id)} is there twice`);
    ids.add(channel.channel_id);
  });
  const gone = known ? known.channels.find((channel) => !ids.has(channel.channel_id)) : undefined;
  if (gone) refuse('data.channels', `channel_id is immutable: ${show(gone.channel_id)} is missing`);
  return channels;
}

/**
 * A `readings` message.
 * @param message what came with the event
 * @param {Map<string, object>} monitors monitors by connection_id
 * @returns {object[]} one entry per value: {connection_id, reading_time, end_ms, parameter, channel, value, emptying};
 *   channel is null for air; emptying is 0 but for the second and later bin_weight of one channel and half-hour.
 */
function checkReadings(message, monitors) {
  fields(message, 'message', ['message_id', 'data'], []);
  const { data } = message;
  fields(data, 'data', ['connection_id', 'readings'], []);
  text(data.connection_id, 'data.connection_id');
  const monitor = monitors.get(data.connection_id);
  // "A monitor must be created first before data can be pushed."
  if (!monitor) refuse('data.connection_id', `no monitor ${show(data.connection_id)}; create it first`);
  if (!Array.isArray(data.readings) || data.readings.length === 0) refuse('data.readings', 'must be an array of readings');

  const seen = new Map(); // end_ms to the number of readings of that half-hour
  const entries = [];
  data.readings.forEach((reading, index) => {
    const where = `data.readings[${index}]`;
    const end = checkReadingFields(reading, where, monitor);
    seen.set(end, (seen.get(end) || 0) + 1);
    if (seen.get(end) > 1 && monitor.module !== 'circularity') {
      refuse(`${where}.reading_time`, `${reading.reading_time} is in this message twice`);
    }
    entries.push(...checkValues(reading, where, monitor, end));
  });
  if (seen.size > MAX_READING_TIMES) {
    refuse('data.readings', `${seen.size} reading times; one message maxes out at ${MAX_READING_TIMES}`);
  }
  numberEmptyings(entries);
  return entries;
}

function checkReadingFields(reading, where, monitor) {
  const declared = Object.keys(monitor.meta.included_parameters);
  const required = declared.filter((name) => REQUIRED[monitor.module].includes(name));
  if (!isObject(reading)) refuse(where, 'must be an object');
  for (const name of Object.keys(reading)) {
    if (!['connection_id', 'reading_time'].includes(name) && !declared.includes(name)) {
      refuse(`${where}.${name}`, `is not declared in included_parameters of monitor ${show(monitor.connection_id)}`);
    }
  }
  fields(reading, where, ['connection_id', 'reading_time', ...required], declared);
  if (reading.connection_id !== monitor.connection_id) {
    const [wanted, given] = [show(monitor.connection_id), show(reading.connection_id)];
    refuse(`${where}.connection_id`, `must be exactly data.connection_id ${wanted}, not ${given}`);
  }
  return onTheHalfHour(reading.reading_time, `${where}.reading_time`);
}

function checkValues(reading, where, monitor, end) {
  const entries = [];
  const base = { connection_id: monitor.connection_id, reading_time: reading.reading_time, end_ms: end };
  for (const parameter of Object.keys(monitor.meta.included_parameters)) {
    if (!(parameter in reading)) continue;
    const given = reading[parameter];
    if (monitor.module === 'air') {
      checkValue(given, `${where}.${parameter}`);
      entries.push({ ...base, parameter, channel: null, value: given, emptying: 0 });
      continue;
    }
    if (!Array.isArray(given)) refuse(`${where}.${parameter}`, 'must be an array of {channel_id, reading}');
    const ids = new Set();
    given.forEach((item, index) => {
      const spot = `${where}.${parameter}[${index}]`;
      fields(item, spot, ['channel_id', 'reading'], []);
      text(item.channel_id, `${spot}.channel_id`);
      if (!monitor.channels.some((channel) => channel.channel_id === item.channel_id)) {
        refuse(`${spot}.channel_id`, `${show(item.channel_id)} is not a channel of monitor ${show(monitor.connection_id)}`);
      }
      if (ids.has(item.channel_id)) refuse(`${spot}.channel_id`, `${show(item.channel_id)} is there twice`);
      ids.add(item.channel_id);
      checkValue(item.reading, `${spot}.reading`);
      entries.push({ ...base, parameter, channel: item.channel_id, value: item.reading, emptying: 0 });
    });
  }
  if (entries.length === 0) refuse(where, 'holds no value at all');
  return entries;
}

// "an additional bin_weight array for the max weight before every emptying of the bins": JSON has no duplicate
// keys, so the only place for it is a further reading of the same half-hour.
function numberEmptyings(entries) {
  const counts = new Map();
  for (const entry of entries) {
    const key = JSON.stringify([entry.end_ms, entry.parameter, entry.channel]);
    entry.emptying = counts.get(key) || 0;
    counts.set(key, entry.emptying + 1);
  }
}

// "String/Float"; "if there is no data for a parameter, you can use null, a blank string, or "None"".
function checkValue(value, where) {
  if (value === null || value === '' || value === 'None') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  if (typeof value === 'string' && /^[+-]?\d+(\.\d+)?([eE][+-]?\d+)?$/.test(value)) return;
  refuse(where, `must be a number, a number as a string, null, "" or "None", not ${show(value)}`);
}

/** The value as a number, or null when missing, for comparison. */
function plain(value) {
  return value === null || value === '' || value === 'None' ? null : Number(value);
}

// yyyy-mm-ddThh:mm:ss[.mmm]±hh:mm
const TIME = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{3}))?([+-])(\d\d):(\d\d)$/;

/** Epoch milliseconds of a stamp, or Refused. */
function instant(stamp, where) {
  const parts = typeof stamp === 'string' ? TIME.exec(stamp) : null;
  if (!parts) refuse(where, `must be ISO 8601 yyyy-mm-ddThh:mm:ss[.mmm]±hh:mm, not ${show(stamp)}`);
  const [year, month, day, hour, minute, second] = parts.slice(1, 7).map(Number);
  const date = new Date(Date.UTC(year, month - 1, day));
  const dateExists = date.getUTCMonth() === month - 1 && date.getUTCDate() === day;
  const offset = Number(parts[9]) * 60 + Number(parts[10]);
  if (!dateExists || hour > 23 || minute > 59 || second > 59 || Number(parts[10]) > 59 || offset > 14 * 60) {
    refuse(where, `${show(stamp)} is no date and time that exists`);
  }
  return Date.parse(stamp);
}

// "reading_time must be set to exactly XX:00:00 or exactly XX:30:00", on the wall clock the stamp is written in.
function onTheHalfHour(stamp, where) {
  const end = instant(stamp, where);
  const parts = TIME.exec(stamp);
  if (!['00', '30'].includes(parts[5]) || parts[6] !== '00' || (parts[7] || '000') !== '000') {
    refuse(where, `must be exactly on :00:00 or :30:00, not ${show(stamp)}`);
  }
  return end;
}

/** Exactly the documented fields, none missing. */
function fields(object, where, required, optional) {
  if (!isObject(object)) refuse(where, `must be an object, not ${show(object)}`);
  for (const name of required) if (!(name in object)) refuse(`${where}.${name}`, 'is required');
  for (const name of Object.keys(object)) {
    if (!required.includes(name) && !optional.includes(name)) refuse(`${where}.${name}`, 'is not in the document');
  }
}

function text(value, where) {
  if (typeof value !== 'string' || value.trim() === '') refuse(where, `must be a string that is not blank, not ${show(value)}`);
}

function string(value, where) {
  if (typeof value !== 'string') refuse(where, `must be a string, not ${show(value)}`);
}

function isObject(value) {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function show(value) {
  const shown = JSON.stringify(value);
  return shown === undefined ? 'nothing' : shown.slice(0, 80);
}

function refuse(where, what) {
  throw new Refused(`${where}: ${what}`);
}

module.exports = { CUMULATIVE, Refused, checkMonitor, checkReadings, instant, isObject, plain, text };

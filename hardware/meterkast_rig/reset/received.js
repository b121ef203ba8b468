'use strict';

// What the stand-in received, and what a provider should not have done: other values for a slot, half-hours
// out of order, counters that fell.

const { CUMULATIVE, plain } = require('./rules');

const MAX_LISTED = 1000; // of refusals and the like: enough to read, and a client gone wild does not fill memory

class Received {
  constructor() {
    this.clear();
  }

  clear() {
    this.monitors = new Map();
    this.slots = new Map();
    this.series = new Map(); // monitor, parameter and channel: newest value, for the page and for falls
    this.newest = new Map(); // connection_id to the newest half-hour received
    this.messageIds = new Set();
    this.sequence = 0;
    this.counts = { auth: 0, monitors: 0, readings: 0 };
    this.answers = {};
    this.lost = { messages: 0, answers: 0 };
    this.connections = 0;
    this.disconnects = {};
    this.refused = [];
    this.conflicts = [];
    this.outOfOrder = [];
    this.falls = [];
  }

  /** Store the values of one accepted message (as checkReadings returns them). */
  store(entries, messageId) {
    for (const entry of entries) {
      this.sequence += 1;
      const key = JSON.stringify([entry.connection_id, entry.end_ms, entry.parameter, entry.channel, entry.emptying]);
      const slot = this.slots.get(key);
      if (slot) this.again(slot, entry, messageId);
      else this.slots.set(key, { ...entry, count: 1, seq: this.sequence });
    }
    for (const entry of entries) this.watch(entry);
  }

  again(slot, entry, messageId) {
    slot.count += 1;
    if (plain(slot.value) === plain(entry.value)) return;
    const { connection_id, reading_time, parameter, channel, value } = entry;
    const was = slot.value;
    const [seq, message_id] = [this.sequence, messageId];
    list(this.conflicts, { connection_id, reading_time, parameter, channel, value, was, seq, message_id });
    slot.value = value; // taken as an update of the same slot, newest wins
  }

  watch(entry) {
    const { connection_id, reading_time, end_ms, parameter, channel, value } = entry;
    const key = JSON.stringify([connection_id, parameter, channel]);
    const last = this.series.get(key);
    if (last && end_ms < last.end_ms) return;
    const number = plain(value);
    const counted = CUMULATIVE.includes(parameter);
    if (counted && last && number !== null && last.number !== null && end_ms > last.end_ms && number < last.number) {
      list(this.falls, { connection_id, reading_time, parameter, channel, value, was: last.value, since: last.reading_time });
    }
    const keep = number === null && last ? { number: last.number, value: last.value } : { number, value };
    this.series.set(key, { connection_id, parameter, channel, reading_time, end_ms, ...keep });
  }

  /** Note half-hours that come before newer ones of their monitor; call before store. */
  order(entries) {
    const noted = new Set();
    for (const { connection_id, reading_time, end_ms, parameter, channel, emptying } of entries) {
      const newest = this.newest.get(connection_id);
      const known = this.slots.has(JSON.stringify([connection_id, end_ms, parameter, channel, emptying]));
      if (newest && end_ms < newest.end_ms && !known && !noted.has(end_ms)) {
        noted.add(end_ms);
        list(this.outOfOrder, { connection_id, reading_time, after: newest.reading_time });
      }
      if (!newest || end_ms > newest.end_ms) this.newest.set(connection_id, { end_ms, reading_time });
    }
  }

  answered(code) {
    this.answers[code] = (this.answers[code] || 0) + 1;
  }

  refuse(event, messageId, code, message) {
    list(this.refused, { event, message_id: messageId ?? null, code, message });
  }

  disconnected(reason) {
    this.disconnects[reason] = (this.disconnects[reason] || 0) + 1;
  }

  /**
   * Everything, as GET /received.json gives it (there `faults` is added). `seq` counts values in order of arrival.
   *
   *   messages      {auth, monitors, readings}: events that came, whatever became of them
   *   answers       {code: how many were sent}
   *   lost          {messages, answers}: by a fault switch, or because the connection had gone
   *   monitors      {connection_id: {connection_id, module, label, meta, channels, messages}}
   *   readings      [{connection_id, reading_time, end_ms, parameter, channel, value, emptying, count, seq}], one a slot
   *   conflicts     [{connection_id, reading_time, parameter, channel, value, was, seq, message_id}]: another value for a slot
   *   out_of_order  [{connection_id, reading_time, after}]: a new half-hour, older than one its monitor had sent
   *   falls         [{connection_id, reading_time, parameter, channel, value, was, since}]: a cumulative counter fell
   *   refused       [{event, message_id, code, message}]
   */
  asJson() {
    return {
      platform: 'RESET',
      messages: this.counts,
      answers: this.answers,
      lost: this.lost,
      connections: this.connections,
      disconnects: this.disconnects,
      monitors: Object.fromEntries(this.monitors),
      readings: [...this.slots.values()],
      conflicts: this.conflicts,
      out_of_order: this.outOfOrder,
      falls: this.falls,
      refused: this.refused,
    };
  }
}

function list(items, item) {
  items.push(item);
  if (items.length > MAX_LISTED) items.shift();
}

module.exports = { Received };

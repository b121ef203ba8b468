'use strict';

// What the devices showed: every value that really went to the host, in order.

const MOST = 200_000; // newest kept: some 60 MB, hours of the busiest test
const SLACK = 20_000; // removed at once, so that removing costs nothing

class Shown {
  constructor(clock) {
    this._clock = clock;
    this._records = [];
    this._notes = new WeakMap();
    this._newest = 0;
  }

  /** Say what a command shows, before it is sent. */
  note(command, facts) {
    this._notes.set(command, { ...facts, sim_s: facts.sim_s ?? this._clock.now() });
    return command;
  }

  /** The note of a command or of what it encapsulates; undefined if it shows nothing. */
  noteOf(command) {
    for (let inner = command; inner; inner = inner.encapsulated) {
      const facts = this._notes.get(inner);
      if (facts) return facts;
    }
    return undefined;
  }

  /** The host has it. */
  sent(node, facts, realMs) {
    this._newest += 1;
    this._records.push({ n: this._newest, node, asked: false, ...facts, real_ms: realMs });
    if (this._records.length > MOST + SLACK) this._records.splice(0, SLACK);
  }

  /** The records after number `after`, oldest first. */
  after(after) {
    const first = this._records.length ? this._records[0].n : 1;
    return this._records.slice(Math.max(0, after + 1 - first));
  }
}

module.exports = { Shown };

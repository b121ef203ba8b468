'use strict';

// One simulated device: its values, when it reports them, and what was done to it by hand.

const { CommandClasses: CC } = require('@zwave-js/core');
const { Radio } = require('./radio');
const { converted } = require('./units');
const { fit, meterReport, raw, sensorReport } = require('./wire');

const LEAST_REAL_MS = 20; // between two rounds of reports, whatever period and speed say
const MOST_TIMER_MS = 2 ** 31 - 1; // of setTimeout; a longer wait is done in parts
const LEAST_AWAKE_MS = 5000; // between two wake-ups: a driver needs some seconds to empty its queue

class Device {
  /** `spec` is what a kind returned (kinds.js); `period_s` in simulated seconds. */
  constructor({ node, kind, spec, clock, session, shown, period_s, wake_up_s }) {
    Object.assign(this, { id: node.id, node, kind, clock, shown });
    this.values = (spec.values ?? []).map((value) => ({ ...value, offset: 0 }));
    this.actions = spec.actions ?? {};
    this.radio = new Radio(node, session);
    this.quiet = false;
    this._timers = {};
    this.sleeps = spec.sleeps ?? false;
    this.period_s = period_s;
    this.wake_up_s = wake_up_s ?? 3600;
    if (this.sleeps) this.radio.mode = 'asleep';
    node.state.set('device', this);
  }

  start() {
    this._started = true;
    if (this.sleeps) this._repeat('waking', () => this.wake_up_s, LEAST_AWAKE_MS, () => this.wake());
    else if (this.values.length) this._repeat('reporting', () => this.period_s, LEAST_REAL_MS, () => this.report());
  }

  stop() {
    this._stopped = true;
    for (const timer of Object.values(this._timers)) clearTimeout(timer);
    this.radio.stop();
  }

  // At whole periods of simulated time, each node a little after the other: not all in one instant. Period 0: never.
  _repeat(name, period, leastMs, work) {
    clearTimeout(this._timers[name]);
    this._timers[name] = undefined;
    const every = period();
    if (this._stopped || !(every > 0)) return;
    const now = this.clock.now();
    const next = (Math.floor(now / every) + 1) * every + (this.id % 16) * (every / 32);
    const wait = Math.max(leastMs, this.clock.realMs(next - now));
    const timer = setTimeout(async () => {
      try {
        if (wait <= MOST_TIMER_MS) await work();
      } catch (error) {
        console.error(`node ${this.id}: ${error.message}`);
      }
      if (this._timers[name] === timer) this._repeat(name, period, leastMs, work); // else it was set anew meanwhile
    }, Math.min(wait, MOST_TIMER_MS));
    timer.unref();
    this._timers[name] = timer;
  }

  /** A new reporting period from now on. */
  setPeriod(period_s) {
    this.period_s = period_s;
    if (this._started) this.start();
  }

  setWakeUp(wake_up_s) {
    this.wake_up_s = wake_up_s;
    if (this._started) this.start();
  }

  async wake() {
    if (this.radio.mode === 'dead') return;
    await this.radio.wake();
    await this.report();
  }

  /** Send all values. */
  async report(values = this.values) {
    if (this.quiet) return;
    for (const value of values) await this.show(value);
  }

  /** Send one value; `given` overrides what it measures and how it is encoded: {value, decimals, size}. */
  show(value, given = {}) {
    return this.radio.send(this.reportOf(value, given), value.endpoint);
  }

  /** A value as a report, noted for the record. */
  reportOf(value, { asked = false, rate = value.rate, ...given } = {}) {
    const sim_s = this.clock.now();
    const fitted = fit(given.value ?? this.reading(value, sim_s), given.decimals ?? value.decimals, given.size);
    const { controller } = this.node;
    const meter = value.ccId === CC.Meter;
    const report = meter ? meterReport(controller, { ...value, rate }, fitted) : sensorReport(controller, value, fitted);
    return this.shown.note(report, {
      endpoint: value.endpoint,
      commandClass: value.ccId,
      key: meter ? (value.type << 16) | (value.scale << 8) | rate : value.type,
      scale: value.scale,
      value: fitted.value,
      decimals: fitted.decimals,
      sim_s,
      asked,
    });
  }

  /** What a value measures at simulated time `t`, in its scale, before rounding. */
  reading(value, t) {
    return converted(value, value.read(t) + value.offset);
  }

  /** Send a state that is no measured value: {ccId, command, bytes, key, value}. */
  tell({ ccId, command, bytes, key, value, endpoint = 0 }) {
    return this.radio.send(this.stateOf({ ccId, command, bytes, key, value, endpoint }), endpoint);
  }

  stateOf({ ccId, command, bytes, key, value, endpoint = 0, asked = false }) {
    return this.shown.note(raw(this.node.controller, ccId, command, bytes), { endpoint, commandClass: ccId, key, value, decimals: 0, asked });
  }

  /** The values of a command class at an endpoint; the root of a multi-endpoint device shows its first endpoint. */
  valuesOf(ccId, endpoint = 0) {
    const all = this.values.filter((value) => value.ccId === ccId);
    const there = all.filter((value) => value.endpoint === endpoint);
    return there.length || endpoint ? there : all.filter((value) => value.endpoint === 1);
  }

  /** Set the registers back: all at `endpoint`, or the one named, to `target`. */
  resetMeter(endpoint, one) {
    for (const value of this.valuesOf(CC.Meter, endpoint).filter((each) => each.rises)) {
      if (one && (value.scale !== one.scale || value.rate !== one.rateType)) continue;
      value.offset = (one?.targetValue ?? 0) - value.read(this.clock.now());
    }
  }
}

module.exports = { Device };

'use strict';

// What is known of the host (the driver): whether one is connected, and whether a device is joining just now.

const QUIET_MS = 30_000; // a join that stalls must not silence the network for ever

class Session {
  constructor() {
    this.connected = false;
    this.number = 0; // counts hosts: a new one knows no nonces of the one before
    this._quietUntil = 0;
  }

  begin() {
    this.connected = true;
    this.number += 1;
    this._quietUntil = 0;
  }

  end() {
    this.connected = false;
  }

  /** While a device joins all others keep silent: the S2 key exchange gives up after 1 s without an answer. */
  set quiet(on) {
    this._quietUntil = on ? performance.now() + QUIET_MS : 0;
  }

  get quiet() {
    return performance.now() < this._quietUntil;
  }
}

module.exports = { Session };

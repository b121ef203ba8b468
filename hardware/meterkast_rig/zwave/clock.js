'use strict';

// Simulated time: begins at `startMs` and runs `speed` times as fast as real time.

class SimulatedClock {
  constructor(speed, startMs) {
    this.speed = speed;
    this._startMs = startMs;
    this._began = performance.now();
  }

  /** Unix seconds of the simulated clock. */
  now() {
    return (this._startMs + (performance.now() - this._began) * this.speed) / 1000;
  }

  /** Real milliseconds that so many simulated seconds take. */
  realMs(simulatedS) {
    return (simulatedS * 1000) / this.speed;
  }
}

module.exports = { SimulatedClock };

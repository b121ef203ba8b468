'use strict';

// The stick's own memory: what a backup reads and a restore writes. Its content follows from the network; it is no
// image that another stick could use (zwave-js copies images of unknown form byte by byte).

const SIZE = 0x3000; // 12 KiB, as a 700-series stick has; zwave-js asks in pieces
const PIECE = 200; // most bytes of one answer: a frame has at most 255
const [OPEN, READ, WRITE, CLOSE] = [0, 1, 2, 3];
const [OK, END_OF_FILE] = [0x00, 0xff];

class Nvm {
  constructor(controller) {
    this._controller = controller;
    this._written = new Map();
  }

  /** The whole content: a head line with home id and nodes, then a pattern; over it whatever was written. */
  image() {
    const home = this._controller.homeId.toString(16);
    const head = JSON.stringify({ home, nodes: [...this._controller.nodes.keys()] });
    const image = Buffer.alloc(SIZE, 0xff);
    for (let at = 0; at < SIZE; at += 1) image[at] = (at * 31) & 0xff;
    image.write(`${head}\n`);
    for (const [at, byte] of this._written) image[at] = byte;
    return image;
  }

  /** Answer one NVMOperations request: [operation, length, offset (2), data …] to [status, length, offset (2), data …]. */
  answer([operation, length = 0, high = 0, low = 0, ...data]) {
    const offset = high * 256 + low;
    if (operation === OPEN) return this._reply(OK, SIZE, []);
    if (operation === CLOSE) return this._reply(OK, 0, []);
    if (operation === READ) {
      const bytes = this.image().subarray(offset, Math.min(offset + Math.min(length, PIECE), SIZE));
      return this._reply(offset + bytes.length >= SIZE ? END_OF_FILE : OK, offset, bytes);
    }
    if (operation === WRITE) data.slice(0, length).forEach((byte, n) => this._written.set(offset + n, byte));
    return this._reply(offset + length >= SIZE ? END_OF_FILE : OK, offset, []);
  }

  _reply(status, offset, bytes) {
    return [status, bytes.length, offset >> 8, offset & 0xff, ...bytes];
  }
}

module.exports = { Nvm };

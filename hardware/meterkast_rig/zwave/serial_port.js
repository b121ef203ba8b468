'use strict';

// The stick's serial port as TCP (zwave-js opens tcp://host:port like a serial port), and what can happen to it:
// pulled out, frozen, garbage. It is the `mockPort` of the mock controller, which wants exactly one frame per chunk.

const net = require('node:net');

const START_OF_FRAME = 0x01; // the only one that is more than one byte (ACK, NAK and CAN are one)
const SHORTEST_FRAME = 5;

class SerialPort {
  constructor(session, onNewHost) {
    this._session = session;
    this._onNewHost = onNewHost;
    this._socket = null;
    this._server = null;
    this.frozen = false;
    this.readable = new ReadableStream({
      start: (controller) => {
        this._frames = controller;
      },
    });
  }

  /** Listen on `port` (0: a free one) of loopback; resolves to the port. */
  plug(port = this.port) {
    if (this._server) return Promise.resolve(this.port);
    this._server = net.createServer((socket) => this._connected(socket));
    this._server.maxConnections = 1; // like a serial port: one program at a time
    return new Promise((resolve, reject) => {
      this._server.once('error', reject);
      this._server.listen(port, '127.0.0.1', () => {
        this.port = this._server.address().port;
        resolve(this.port);
      });
    });
  }

  /** As if pulled out of its socket: the connection breaks, new ones are refused. */
  unplug() {
    this._server?.close();
    this._server = null;
    this._socket?.resetAndDestroy();
  }

  /** Write bytes to the host that are no frame of ours. */
  garbage(bytes) {
    this._socket?.write(bytes);
  }

  /** For the mock controller. */
  emitData(data) {
    if (!this.frozen) this._socket?.write(data);
  }

  _connected(socket) {
    this._socket = socket;
    socket.setNoDelay(true);
    this._onNewHost();
    this._session.begin();
    socket.on('error', () => {}); // "close" follows
    socket.on('close', () => {
      if (this._socket !== socket) return;
      this._socket = null;
      this._session.end();
    });
    let rest = Buffer.alloc(0);
    socket.on('data', (data) => {
      rest = this._split(Buffer.concat([rest, data]));
    });
  }

  // TCP joins and splits what was written; returns what is not a whole frame yet.
  _split(data) {
    let at = 0;
    while (at < data.length) {
      const framed = data[at] === START_OF_FRAME;
      if (framed && data.length - at < 2) break;
      const length = framed ? Math.max(data[at + 1] + 2, SHORTEST_FRAME) : 1;
      if (data.length - at < length) break;
      if (!this.frozen) this._frames.enqueue(data.subarray(at, at + length));
      at += length;
    }
    return data.subarray(at);
  }
}

module.exports = { SerialPort };

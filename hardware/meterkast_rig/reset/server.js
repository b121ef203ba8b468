'use strict';

// A stand-in for the RESET Cloud: Socket.IO 4.1.2, namespace /v2, events auth, monitors and readings, answered by
// the events auth, ack and errors. Checks by rules.js, records in received.js, misbehaves by faults.js.
//
//   node server.js --port 8069 --client-id demo --client-secret demo --faults "lost_acks=0.1" --seed 1

const http = require('node:http');
const { parseArgs } = require('node:util');
const { Server } = require('socket.io');
const { BadFault, Faults } = require('./faults');
const { page } = require('./page');
const { Received } = require('./received');
const { Refused, checkMonitor, checkReadings, instant, isObject, text } = require('./rules');

const API_VERSION = 'v2';
const MAX_CONTROL_BYTES = 64 * 1024;
const PORTAL = '<!doctype html><title>Guest network</title><form><button>I accept the terms</button></form>';

const options = readOptions();
const faults = readFaults(options);
const received = new Received();
const authenticated = new WeakSet();
let thaw = null; // while frozen: a promise of the end
let endFreeze = () => {};

const server = http.createServer(control);
const io = new Server(server, {
  serveClient: false,
  pingInterval: options.pingInterval * 1000,
  pingTimeout: options.pingTimeout * 1000,
  allowRequest: (request, answer) => {
    const portal = faults.chance('portal');
    if (portal) welcome(request.socket);
    else if (faults.values.refuse) request.socket.destroy();
    answer(null, !portal && !faults.values.refuse);
  },
});

// ---- the socket ----

io.of('/v2').on('connection', (socket) => {
  received.connections += 1;
  // "Without it, the socket connection will automatically close."
  const unauthenticated = setTimeout(() => {
    if (!authenticated.has(socket)) socket.disconnect(true);
  }, options.authTimeout * 1000);
  socket.on('disconnect', (reason) => {
    clearTimeout(unauthenticated);
    received.disconnected(reason);
  });
  for (const event of ['auth', 'monitors', 'readings']) {
    // A Socket.IO callback, were there one, is the last argument; RESET answers by event and never calls it.
    socket.on(event, (...given) => {
      const args = given.filter((arg) => typeof arg !== 'function');
      received.counts[event] += 1;
      take(socket, event, args.length === 1 ? args[0] : args).catch((error) => console.error(error));
    });
  }
});

async function take(socket, event, message) {
  if (thaw) await thaw;
  if (faults.values.slow) await sleep(faults.values.slow * 1000);
  if (event === 'auth') {
    auth(socket, message);
    return;
  }
  if (faults.chance('lost_messages')) {
    received.lost.messages += 1;
    return;
  }
  const cutBefore = faults.chance('disconnect') ? faults.coin() : null;
  if (cutBefore === true) {
    received.lost.messages += 1;
    cut(socket);
    return;
  }
  const answer = process10500(socket, event, message);
  if (cutBefore === false) {
    received.lost.answers += 1;
    cut(socket);
    return;
  }
  if (faults.values.late_acks) await sleep(faults.values.late_acks * 1000);
  send(socket, message, answer);
}

function auth(socket, message) {
  if (faults.values.silent_auth) return;
  const good =
    !faults.values.refuse_auth &&
    isObject(message) &&
    message.client_id === options.clientId &&
    message.client_secret === options.clientSecret;
  const code = good ? '10200' : '10401';
  received.answered(code);
  if (good) authenticated.add(socket);
  else {
    authenticated.delete(socket);
    received.refuse('auth', null, code, 'Authentication failed.');
  }
  socket.emit('auth', versioned({ code, message: good ? 'Authentication succeeded.' : 'Authentication failed.' }));
  if (!good) socket.disconnect();
}

/** Process one message; with the 10500 fault half are processed, and all of those say they were not. */
function process10500(socket, event, message) {
  if (!faults.chance('error_10500')) return processed(socket, event, message);
  if (faults.coin()) processed(socket, event, message);
  return { code: '10500', message: 'Internal Server Error' };
}

function processed(socket, event, message) {
  const messageId = isObject(message) ? message.message_id : undefined;
  try {
    if (!authenticated.has(socket)) throw new Refused('authenticate first', '10401');
    if (!isObject(message)) throw new Refused(`${event} takes exactly one JSON object`);
    text(messageId, 'message.message_id');
    // "The message_id should be unique at all times from the data provider".
    if (received.messageIds.has(messageId)) throw new Refused(`message.message_id: ${messageId} was used before`);
    received.messageIds.add(messageId);
    refuseByFault(message);
    accept(event, message);
    return { code: '10200', ack: true };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    received.refuse(event, messageId, error.code, error.message);
    return { code: error.code, message: error.message };
  }
}

function accept(event, message) {
  if (event === 'monitors') {
    const monitor = checkMonitor(message, received.monitors, { refuseRecreate: faults.values.refuse_recreate });
    received.monitors.set(monitor.connection_id, monitor);
    return;
  }
  const entries = checkReadings(message, received.monitors);
  received.order(entries);
  received.store(entries, message.message_id);
}

function refuseByFault(message) {
  const { refuse_monitor: monitor, poison } = faults.values;
  const data = isObject(message.data) ? message.data : {};
  if (monitor && data.connection_id === monitor) throw new Refused(`data.connection_id: monitor ${monitor} is refused`);
  if (!poison || !Array.isArray(data.readings)) return;
  const at = Date.parse(poison);
  for (const [index, reading] of data.readings.entries()) {
    const where = `data.readings[${index}].reading_time`;
    if (isObject(reading) && instant(reading.reading_time, where) === at) {
      throw new Refused(`${where}: ${reading.reading_time} is refused`);
    }
  }
}

function send(socket, message, answer) {
  if (faults.chance('stray_errors')) socket.emit('errors', versioned({ code: '10400', message: 'stray error' }));
  if (faults.chance('lost_acks') || !socket.connected) {
    received.lost.answers += 1;
    return;
  }
  const { answer_key: wanted } = faults.values;
  const key = wanted === 'mixed' ? (faults.coin() ? 'id' : 'message_id') : wanted || 'message_id';
  const full = versioned({ ...answer, [key]: isObject(message) ? message.message_id : undefined });
  const times = faults.chance('duplicate_acks') ? 2 : 1;
  received.answered(answer.code);
  for (let n = 0; n < times; n += 1) socket.emit(answer.ack ? 'ack' : 'errors', full);
}

function versioned(answer) {
  return faults.values.no_api_version ? answer : { ...answer, api_version: API_VERSION };
}

// Half by a Socket.IO disconnect, half by a TCP reset: a client sees two different ends.
function cut(socket) {
  if (faults.coin()) socket.disconnect();
  else socket.request.socket.resetAndDestroy();
}

/** What a captive portal answers to whatever it is asked. */
function welcome(socket) {
  socket.end(`HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: ${PORTAL.length}\r\nConnection: close\r\n\r\n${PORTAL}`);
}

// ---- HTTP beside it ----

function control(request, response) {
  const route = `${request.method} ${request.url.split('?')[0]}`;
  if (route === 'GET /') return reply(response, 200, page(received, faults), 'text/html; charset=utf-8');
  if (route === 'GET /received.json') return json(response, 200, { ...received.asJson(), faults: faults.values });
  if (route === 'GET /faults') return json(response, 200, faults.values);
  if (route === 'POST /faults') return body(request, response, (data) => setFaults(response, data));
  if (route === 'POST /reset-state') {
    received.clear();
    faults.restart();
    return json(response, 200, {});
  }
  return reply(response, 404, 'There is /, /received.json, /faults, /reset-state, and Socket.IO at namespace /v2.\n', 'text/plain');
}

function setFaults(response, data) {
  try {
    const changes = JSON.parse(data);
    faults.set(changes);
    startFaults(changes);
    json(response, 200, faults.values);
  } catch (error) {
    if (!(error instanceof BadFault || error instanceof SyntaxError)) throw error;
    json(response, 400, { error: error.message });
  }
}

/** Faults that begin at the moment they are set. */
function startFaults(changes) {
  if ('freeze' in changes) freeze(faults.values.freeze);
  if (faults.values.refuse) io.of('/v2').sockets.forEach((socket) => socket.disconnect(true));
}

function freeze(forSeconds) {
  endFreeze();
  if (!forSeconds) return;
  thaw = new Promise((resolve) => {
    endFreeze = () => {
      thaw = null;
      faults.values.freeze = 0;
      clearTimeout(timer);
      endFreeze = () => {};
      resolve();
    };
  });
  const timer = setTimeout(() => endFreeze(), forSeconds * 1000);
}

function body(request, response, done) {
  const parts = [];
  let size = 0;
  request.on('data', (part) => {
    size += part.length;
    if (size > MAX_CONTROL_BYTES) request.destroy();
    else parts.push(part);
  });
  request.on('end', () => done(Buffer.concat(parts).toString('utf8')));
}

function json(response, status, data) {
  reply(response, status, `${JSON.stringify(data)}\n`, 'application/json');
}

function reply(response, status, content, type) {
  response.writeHead(status, { 'Content-Type': type, 'Cache-Control': 'no-store' });
  response.end(content);
}

// ---- start and stop ----

function readOptions() {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '8069' },
      host: { type: 'string', default: '127.0.0.1' },
      'client-id': { type: 'string', default: 'demo' },
      'client-secret': { type: 'string', default: 'demo' },
      faults: { type: 'string', default: '' },
      seed: { type: 'string', default: '0' },
      'auth-timeout': { type: 'string', default: '30' },
      'ping-interval': { type: 'string', default: '25' }, // this and the next: Socket.IO 4.1.2's own
      'ping-timeout': { type: 'string', default: '20' },
      'end-with-stdin': { type: 'boolean', default: false },
    },
  });
  return {
    port: Number(values.port),
    host: values.host,
    clientId: values['client-id'],
    clientSecret: values['client-secret'],
    faults: values.faults,
    seed: Number(values.seed),
    authTimeout: Number(values['auth-timeout']),
    pingInterval: Number(values['ping-interval']),
    pingTimeout: Number(values['ping-timeout']),
    endWithStdin: values['end-with-stdin'],
  };
}

function readFaults({ faults: given, seed }) {
  try {
    return new Faults(given, seed);
  } catch (error) {
    if (!(error instanceof BadFault)) throw error;
    console.error(error.message);
    return process.exit(2);
  }
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function stop() {
  io.close();
  process.exit(0);
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);
if (options.endWithStdin) process.stdin.on('end', stop).resume(); // the launcher died: do not stay behind

server.on('error', (error) => {
  console.error(`cannot listen on ${options.host}:${options.port}: ${error.message}`);
  process.exit(1);
});
server.listen(options.port, options.host, () => {
  startFaults(faults.values);
  console.log(`listening on http://${options.host}:${server.address().port}/v2`);
});

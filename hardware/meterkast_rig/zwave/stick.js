'use strict';

// A simulated Z-Wave stick and network: tcp://127.0.0.1:PORT for zwave-js, and a control port. See __init__.py.

const fs = require('node:fs');
const { parseArgs } = require('node:util');
const { serveControl } = require('./control');
const { SimulatedClock } = require('./clock');
const { parseDevices } = require('./kinds');
const { Network } = require('./network');

function readOptions() {
  const text = (value) => ({ type: 'string', default: value });
  const { values } = parseArgs({
    options: {
      port: text('5555'),
      control: text('5556'),
      devices: text(''), // kind:node,kind:node
      seed: text('1'),
      speed: text('1'),
      start: text(''), // Unix milliseconds; empty: now
      'period-s': text('300'),
      'tx-delay-ms': text('0'),
      'home-id': text('7e570001'),
      keys: text(''), // path of {name: 32 hex digits}
      'end-with-stdin': { type: 'boolean', default: false },
    },
  });
  const keys = values.keys ? JSON.parse(fs.readFileSync(values.keys, 'utf8')) : {};
  return {
    port: Number(values.port),
    control: Number(values.control),
    devices: parseDevices(values.devices),
    endWithStdin: values['end-with-stdin'],
    network: {
      clock: new SimulatedClock(Number(values.speed), values.start ? Number(values.start) : Date.now()),
      seed: Number(values.seed),
      period_s: Number(values['period-s']),
      tx_delay_ms: Number(values['tx-delay-ms']),
      home_id: Number.parseInt(values['home-id'], 16),
      keys,
    },
  };
}

async function main() {
  const options = readOptions();
  const stop = () => process.exit(0);
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, stop);
  if (options.endWithStdin) process.stdin.on('end', stop).resume(); // the launcher died: do not stay behind
  const network = await Network.create(options.network);
  for (const device of options.devices) await network.add(device);
  const port = await network.port.plug(options.port);
  const control = await serveControl(network, options.control);
  console.log(`listening on tcp://127.0.0.1:${port} http://127.0.0.1:${control}`);
}

// A frame that the host does not acknowledge (it ended just now) rejects inside the mock; that must not end the stick.
process.on('unhandledRejection', (reason) => console.error(`stick: ${reason?.message ?? reason}`));

main().catch((error) => {
  console.error(error.message);
  process.exit(2);
});

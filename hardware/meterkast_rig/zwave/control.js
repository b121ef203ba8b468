'use strict';

// The control port: POST /verb with a JSON object of its arguments, JSON back; GET / lists the verbs. Loopback only.

const http = require('node:http');
const { verbs } = require('./verbs');

const MOST_BYTES = 65_536;

/** Serve the verbs on `port` (0: a free one); resolves to the port. */
function serveControl(network, port) {
  const server = http.createServer(async (request, response) => {
    try {
      const name = new URL(request.url, 'http://localhost').pathname.slice(1);
      if (!name) return reply(response, 200, help());
      if (!Object.hasOwn(verbs, name)) return reply(response, 404, { error: `no verb "${name}"; there are: ${Object.keys(verbs).join(', ')}` });
      const args = await argumentsOf(request);
      return reply(response, 200, (await verbs[name].work(network, args)) ?? {});
    } catch (error) {
      return reply(response, 400, { error: error.message });
    }
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server.address().port));
  });
}

async function argumentsOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > MOST_BYTES) throw new Error(`more than ${MOST_BYTES} bytes`);
    parts.push(part);
  }
  return parts.length ? JSON.parse(Buffer.concat(parts).toString('utf8')) : {};
}

function help() {
  return Object.fromEntries(Object.entries(verbs).map(([name, { args, does }]) => [name, args ? `{${args}}: ${does}` : does]));
}

function reply(response, status, data) {
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  response.end(`${JSON.stringify(data)}\n`);
}

module.exports = { serveControl };

// Who may talk to the server, and about what: one gateway, no browser, no command that reaches beyond Z-Wave.
import { ZWaveErrorCodes } from "zwave-js";

/** WebSocket close codes; 4000-4999 are for applications. */
export const TAKEN = 4009;
export const BROWSER = 4003;

// A gateway that stopped answering (frozen, not dead) gives its place up after two of these.
const PING_MS = 10_000;
// A third of all messages would be statistics, which nobody looks at so often.
const STATISTICS_MS = 60_000;
// The largest message in use is a stick's memory to be restored, in base64; ws takes 100 MiB by default.
const LARGEST_MESSAGE = 16 * 1024 * 1024;

const REFUSED = new Map([
  ["update_log_config", "it writes files at any path; use the launcher's --log-level"],
  ["driver.update_log_config", "it writes files at any path; use the launcher's --log-level"],
  ["driver.update_options", "the launcher sets the options"],
  ["driver.hard_reset", "it deletes the whole network"],
  ["driver.shutdown", "the system starts and stops this service"],
  ["driver.enter_bootloader", "the stick stops working until it is flashed"],
  ["driver.enable_statistics", "nothing is sent to others"],
  ["driver.enable_error_reporting", "nothing is sent to others"],
  ["driver.check_for_config_updates", "this service does not use the internet"],
  ["driver.install_config_update", "this service does not use the internet"],
  ["controller.get_available_firmware_updates", "this service does not use the internet"],
  ["controller.get_all_available_firmware_updates", "this service does not use the internet"],
  ["zniffer.init", "it opens any serial port"],
]);

/**
 * Guard `server` (ZwavejsServer 3.10.2); to be called at its event "listening", before anybody can connect.
 *
 * `sockets.addSocket` and `wsServer` are inside of the server: its version is pinned, and tests hold this.
 */
export function guard(server, say) {
  server.wsServer.options.maxPayload = LARGEST_MESSAGE;
  server.wsServer.removeAllListeners("connection");
  let client = null;
  server.wsServer.on("connection", (socket, request) => {
    socket.on("error", () => {}); // "close" follows and is enough
    if (request.headers.origin !== undefined) {
      say("refused", "a browser wanted to connect", { origin: request.headers.origin });
      socket.close(BROWSER, "not for browsers");
      return;
    }
    // One that has said goodbye holds nobody up, though its connection may end a moment later.
    if (client?.readyState === socket.OPEN) {
      say("refused", "a second gateway wanted to connect");
      socket.close(TAKEN, "another gateway is connected");
      return;
    }
    client = socket;
    const beat = watch(socket);
    socket.on("close", () => {
      clearInterval(beat);
      if (client === socket) client = null;
    });
    thin(socket);
    server.sockets.addSocket(socket);
    filter(socket, say);
  });
}

function watch(socket) {
  let alive = true;
  socket.on("pong", () => (alive = true));
  return setInterval(() => {
    if (!alive) return socket.terminate();
    alive = false;
    socket.ping();
  }, PING_MS);
}

/** Pass on the statistics of each device once in a while: the driver gives them after every single frame. */
function thin(socket) {
  const passed = new Map();
  const send = socket.send.bind(socket);
  socket.send = (data, ...rest) => {
    if (typeof data === "string" && data.includes('"statistics updated"')) {
      const { event } = parse(data) ?? {};
      const source = `${event?.source} ${event?.nodeId}`;
      const now = performance.now();
      if (event?.event === "statistics updated" && now - (passed.get(source) ?? -Infinity) < STATISTICS_MS) return;
      passed.set(source, now);
    }
    send(data, ...rest);
  };
}

function filter(socket, say) {
  const forward = socket.listeners("message");
  socket.removeAllListeners("message");
  socket.on("message", (data) => {
    const asked = parse(data);
    const why = isSetAlready(asked) ? undefined : REFUSED.get(asked?.command);
    if (why === undefined) {
      for (const listener of forward) listener.call(socket, data);
      return;
    }
    say("refused", `${asked.command} is not allowed here: ${why}`);
    // In the form that every version of the client understands.
    socket.send(JSON.stringify({
      type: "result",
      success: false,
      messageId: asked.messageId,
      errorCode: "zwave_error",
      zwaveErrorCode: ZWaveErrorCodes.Driver_FeatureDisabled,
      zwaveErrorCodeName: "Driver_FeatureDisabled",
      zwaveErrorMessage: `${asked.command} is not allowed here: ${why}`,
    }));
  });
}

/** What a gateway asks of any server; the launcher has set it. */
function isSetAlready(asked) {
  const { command, options } = asked ?? {};
  return command === "driver.update_options" && String(Object.keys(options ?? {})) === "disableOptimisticValueUpdate";
}

function parse(data) {
  try {
    return JSON.parse(data);
  } catch {
    return null; // the server has its own answer to that
  }
}

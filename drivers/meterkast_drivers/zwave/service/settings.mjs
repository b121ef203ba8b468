// The command line, checked.
import { parseArgs } from "node:util";
import { Problem } from "./problem.mjs";

// sun_path holds 108 bytes with its final zero.
const LONGEST_SOCKET_PATH = 107;
const LEVELS = ["off", "error", "warn", "info", "verbose", "debug", "silly"];
const LOOPBACK = /^(127\.0\.0\.1|localhost|\[::1\]):(\d{1,5})$/;

const USAGE =
  "Usage: node server.mjs --stick PATH|tcp://HOST:PORT --listen /PATH.sock|127.0.0.1:PORT --folder FOLDER " +
  `[--log-level ${LEVELS.join("|")}] [--end-with-stdin]; ` +
  "to put a backup on a stick: --restore FILE instead of --listen.";

/** {stick, listen: {path} | {host, port}, restore, folder, logLevel, endWithStdin}; a `Problem` for anything wrong. */
export function readSettings(args) {
  const given = parse(args);
  for (const name of ["stick", given.restore ? "restore" : "listen", "folder"]) {
    if (!given[name]) throw new Problem(`--${name} is missing`, USAGE);
  }
  if (!LEVELS.includes(given["log-level"])) {
    throw new Problem(`--log-level ${given["log-level"]} is not known`, `It is one of ${LEVELS.join(", ")}.`);
  }
  return {
    stick: given.stick,
    listen: given.restore ? null : place(given.listen),
    restore: given.restore,
    folder: given.folder,
    logLevel: given["log-level"],
    endWithStdin: given["end-with-stdin"],
  };
}

function parse(args) {
  const text = { type: "string" };
  const options = {
    stick: text,
    listen: text,
    restore: text,
    folder: text,
    "log-level": { type: "string", default: "off" },
    "end-with-stdin": { type: "boolean", default: false },
  };
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    throw new Problem(error.message, USAGE);
  }
}

function place(listen) {
  if (listen.startsWith("/")) {
    if (Buffer.byteLength(listen) > LONGEST_SOCKET_PATH) {
      throw new Problem(`--listen ${listen} is too long`, `A socket's path has at most ${LONGEST_SOCKET_PATH} bytes.`);
    }
    return { path: listen };
  }
  const [, host, digits] = LOOPBACK.exec(listen) ?? [];
  const port = Number(digits);
  // The server has no passwords: whoever reaches it can switch every device.
  if (!host || port < 1 || port > 65535) {
    throw new Problem(
      `--listen ${listen} is not a place on this machine`,
      "Give a Unix socket (/path.sock) or a loopback port (127.0.0.1:3000).",
    );
  }
  return { host: host.replace(/[[\]]/g, ""), port };
}

// The network keys: made on the device at the first start, and kept for the network's life.
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { Problem } from "./problem.mjs";

// Name in keys.json, and where zwave-js wants it.
const NAMES = {
  S0_Legacy: ["securityKeys", "S0_Legacy"],
  S2_Unauthenticated: ["securityKeys", "S2_Unauthenticated"],
  S2_Authenticated: ["securityKeys", "S2_Authenticated"],
  S2_AccessControl: ["securityKeys", "S2_AccessControl"],
  LongRange_S2_Authenticated: ["securityKeysLongRange", "S2_Authenticated"],
  LongRange_S2_AccessControl: ["securityKeysLongRange", "S2_AccessControl"],
};
const RESTORE = "Put back your copy of keys.json; without these keys every secure device must be included anew.";

/**
 * {securityKeys, securityKeysLongRange} of the network in `folder`.
 *
 * Keys that were never there are made. Keys that were there and are damaged or gone are a `Problem`: new ones
 * would lock every secure device out, silently.
 */
export function networkKeys(folder) {
  const file = path.join(folder, "keys.json");
  const kept = read(file);
  if (kept === null && hasNetwork(folder)) {
    throw new Problem(`${file} is missing, but ${folder}/cache knows a network`, RESTORE);
  }
  const keys = complete(kept ?? {}, file);
  if (Object.keys(keys).length !== Object.keys(kept ?? {}).length) write(file, keys);
  else fs.chmodSync(file, 0o600);
  const options = { securityKeys: {}, securityKeysLongRange: {} };
  for (const [name, [group, key]] of Object.entries(NAMES)) options[group][key] = Buffer.from(keys[name], "hex");
  return options;
}

function read(file) {
  let text;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    if (error.code === "ENOENT") return null;
    throw new Problem(`${file} cannot be read (${error.code})`, "Check its owner.");
  }
  try {
    const kept = JSON.parse(text);
    if (typeof kept?.S0_Legacy === "string") return kept;
  } catch {
    // The same to a person as JSON of another kind.
  }
  throw new Problem(`${file} is damaged`, RESTORE);
}

function complete(kept, file) {
  const keys = { ...kept };
  for (const name of Object.keys(NAMES)) {
    const key = (keys[name] ??= randomBytes(16).toString("hex"));
    if (!/^[0-9a-f]{32}$/i.test(key)) throw new Problem(`${file}: ${name} is not 32 hex digits`, RESTORE);
  }
  return keys;
}

function hasNetwork(folder) {
  const cache = path.join(folder, "cache");
  return fs.existsSync(cache) && fs.readdirSync(cache).some((name) => name.endsWith(".jsonl"));
}

/** All or nothing, also when the power fails: a new file, flushed, then renamed over the old one. */
function write(file, keys) {
  const fresh = `${file}.new`;
  fs.rmSync(fresh, { force: true });
  const opened = fs.openSync(fresh, "wx", 0o600);
  try {
    fs.writeFileSync(opened, `${JSON.stringify(keys, null, 2)}\n`);
    fs.fsyncSync(opened);
  } finally {
    fs.closeSync(opened);
  }
  fs.renameSync(fresh, file);
  const folder = fs.openSync(path.dirname(file), "r");
  fs.fsyncSync(folder);
  fs.closeSync(folder);
}

// Runs zwave-js and its server for one gateway. Standard output: one JSON object per line,
// {"fact": "starting" | "listening" | "ready" | "refused" | "restoring" | "error" | "ended", "detail": "...", ...}.
import fs from "node:fs";
import path from "node:path";
import { Driver, ZWaveErrorCodes } from "zwave-js";
import { ZwavejsServer } from "@zwave-js/server";
import { clear } from "./endpoint.mjs";
import { guard } from "./gate.mjs";
import { networkKeys } from "./keys.mjs";
import { diskFull, noPermission, noStick, Problem, problemOf, STICK } from "./problem.mjs";
import * as restoring from "./restore.mjs";
import { readSettings } from "./settings.mjs";
import { tellWatchdog } from "./watchdog.mjs";

// Asking a stick for everything takes seconds; one that says nothing is given up by then.
const READY_MS = 50_000;
// Clients get a moment to say goodbye; the whole end stays below the 5 s after which we are killed.
const GOODBYE_MS = 500;
const END_MS = 4_000;

// Standard output is for facts alone; what the libraries print goes to standard error.
const facts = process.stdout.write.bind(process.stdout);
process.stdout.write = process.stderr.write.bind(process.stderr);
process.stdout.on("error", () => {}); // the gateway is gone: standard input tells

let driver;
let server;
let ending = false;
let stick = "";

function say(fact, detail, more = {}) {
  facts(`${JSON.stringify({ fact, detail, ...more })}\n`);
}

async function main() {
  process.umask(0o077);
  const settings = readSettings(process.argv.slice(2));
  tellWatchdog();
  stick = settings.stick;
  obey(settings);
  say("starting", `with the stick at ${stick}`, { pid: process.pid });
  prepare(settings.folder);
  const keys = networkKeys(settings.folder);
  if (settings.restore) restoring.read(settings.restore);
  if (settings.listen?.path) await clear(settings.listen.path);
  checkStick(stick);
  driver = new Driver(stick, options(settings, keys));
  driver.on("error", (error) => {
    // Everything else the driver gets over by itself.
    if (error.code === ZWaveErrorCodes.Driver_Failed) fail(error);
    else say("error", error.message);
  });
  const late = setTimeout(() => fail(stuck()), READY_MS);
  driver.once("cli ready", () => fail(noController()));
  driver.once("driver ready", () => {
    clearTimeout(late);
    (settings.restore ? restore(settings) : listen(settings.listen)).catch(fail);
  });
  driver.on("all nodes ready", () => say("ready", "all devices answered"));
  await driver.start();
}

/** End when told to; half a memory, though, is a dead stick. */
function obey({ restore: restores, endWithStdin }) {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    process.on(signal, () => {
      if (restores && driver?.ready) say("restoring", `${signal} has to wait: do not unplug the stick`);
      else void end(0, `${signal} came`);
    });
  }
  if (!endWithStdin || restores) return;
  process.stdin.on("close", () => void end(0, "the gateway ended"));
  process.stdin.on("error", () => {}); // "close" follows
  process.stdin.resume();
}

function options({ folder, logLevel }, keys) {
  return {
    ...keys,
    storage: { cacheDir: path.resolve(folder, "cache") },
    // Without forceConsole zwave-js logs to a terminal only.
    logConfig: logLevel === "off" ? { enabled: false } : { level: logLevel, forceConsole: true, showLogo: false },
    // A second look at what we wrote: the gateway follows value events alone.
    emitValueUpdateAfterSetValue: true,
    // No guesses: what a device has not reported is not its value.
    disableOptimisticValueUpdate: true,
  };
}

async function restore({ restore: backup, folder }) {
  const saved = await restoring.restore(driver, backup, folder, say);
  await end(0, `${backup} is on the stick; what it held before is in ${saved}`);
}

async function listen(place) {
  server = new ZwavejsServer(driver, {
    port: place.path ?? place.port, // goes straight to net.Server.listen, which takes a path too
    host: place.host,
    enableDNSServiceDiscovery: false,
    logger: { debug() {}, info() {}, warn() {}, error() {} }, // clients and "error" are told all the same
  });
  server.on("error", fail);
  server.once("listening", () => guard(server, say));
  await server.start(true);
  if (place.path) fs.chmodSync(place.path, 0o660);
  const home = (driver.controller.homeId ?? 0).toString(16).padStart(8, "0");
  say("listening", `on ${place.path ?? `${place.host}:${place.port}`}`, { home_id: home });
}

/** The folder for keys and cache; only its owner may look into it. */
function prepare(folder) {
  try {
    fs.mkdirSync(path.join(folder, "cache"), { recursive: true, mode: 0o700 });
    fs.accessSync(folder, fs.constants.R_OK | fs.constants.W_OK | fs.constants.X_OK);
  } catch (error) {
    if (error.code === "ENOSPC") throw diskFull();
    throw new Problem(`the folder ${folder} cannot be written (${error.code})`, "Check its owner and its disk.");
  }
}

/** Said at once, where zwave-js would try for ten seconds and name no cure. */
function checkStick(file) {
  if (file.includes("://")) return;
  const there = fs.statSync(file, { throwIfNoEntry: false });
  if (there === undefined) throw noStick(file);
  if (!there.isCharacterDevice()) throw new Problem(`${file} is not a serial port`, "Give the path of the stick.");
  try {
    fs.accessSync(file, fs.constants.R_OK | fs.constants.W_OK);
  } catch {
    throw noPermission(file);
  }
}

const stuck = () =>
  new Problem(`the stick at ${stick} does not get ready`, "Pull it out and plug it in again.", STICK);
const noController = () =>
  new Problem(`what is at ${stick} is a Z-Wave device and no stick`, "Check the path.", STICK);

function fail(error) {
  if (ending) return;
  const problem = problemOf(error, stick);
  say("error", problem.message, { hint: problem.hint, status: problem.status });
  void end(problem.status, problem.message);
}

async function end(status, why) {
  if (ending) return;
  ending = true;
  setTimeout(() => process.exit(status), END_MS);
  // The server waits for its clients' goodbyes; one that is frozen says none.
  const clients = [...(server?.wsServer?.clients ?? [])];
  setTimeout(() => clients.forEach((client) => client.terminate()), GOODBYE_MS);
  await Promise.allSettled([server?.destroy(), driver?.destroy()]);
  say("ended", why, { status });
  process.exit(status);
}

process.on("uncaughtException", fail);
process.on("unhandledRejection", fail);
main().catch(fail);

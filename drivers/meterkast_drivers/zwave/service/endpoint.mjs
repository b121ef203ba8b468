// The Unix socket: taken over from a server that was killed, never from one that listens.
import fs from "node:fs";
import net from "node:net";
import path from "node:path";
import { Problem } from "./problem.mjs";

/** Remove what a killed server left at `file`; a `Problem` if somebody listens there or it is no socket. */
export async function clear(file) {
  const folder = path.dirname(file);
  try {
    fs.accessSync(folder, fs.constants.W_OK | fs.constants.X_OK);
  } catch {
    throw new Problem(`the socket's folder ${folder} is missing or cannot be written`, "Make it, or check its owner.");
  }
  const there = fs.lstatSync(file, { throwIfNoEntry: false });
  if (there === undefined) return;
  if (!there.isSocket()) throw new Problem(`${file} is in the way and is no socket`, "Remove it.");
  if (await answers(file)) throw new Problem(`another Z-Wave server listens on ${file}`, "Stop it first.");
  fs.rmSync(file, { force: true });
}

function answers(file) {
  return new Promise((resolve) => {
    const probe = net.connect(file);
    const told = (answer) => {
      probe.destroy();
      resolve(answer);
    };
    probe.once("connect", () => told(true));
    // Anything but "refused" (no permission, a full queue) means that somebody holds it.
    probe.once("error", (error) => told(error.code !== "ECONNREFUSED" && error.code !== "ENOENT"));
  });
}

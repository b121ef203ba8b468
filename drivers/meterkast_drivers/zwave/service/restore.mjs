// Puts a backup of one stick's memory on another: how a network moves to a new stick.
import fs from "node:fs";
import path from "node:path";
import { ZWaveErrorCodes } from "zwave-js";
import { Problem } from "./problem.mjs";

const BACK_MS = 60_000;

/**
 * Write `backup` to the stick of `driver`; zwave-js converts it where the sticks differ, or refuses.
 *
 * What the stick held is saved in `folder`/backups first; its name is returned.
 */
export async function restore(driver, backup, folder, say) {
  const memory = read(backup);
  const folderOfBackups = path.join(folder, "backups");
  fs.mkdirSync(folderOfBackups, { recursive: true, mode: 0o700 });
  const saved = path.join(folderOfBackups, `before-restore-${new Date().toISOString().replace(/[:.]/g, "")}.bin`);
  fs.writeFileSync(saved, await driver.controller.backupNVMRaw(), { flag: "wx", mode: 0o600, flush: true });
  say("restoring", "do not unplug the stick", { saved });
  const back = isBack(driver);
  try {
    await driver.controller.restoreNVM(memory);
  } catch (error) {
    // Once all is written the driver starts anew, and removes the task that waits for that (15.29.0).
    if (error.code !== ZWaveErrorCodes.Driver_TaskRemoved) throw error;
  }
  await back;
  return saved;
}

/** The stick works again, with its new memory. */
function isBack(driver) {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Problem("the stick has not come back with its new memory",
      "Pull it out, plug it in again and start this service: its devices are there if the backup was good."));
    const timer = setTimeout(late, BACK_MS);
    driver.once("driver ready", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** The bytes of a backup; a `Problem` where there are none. */
export function read(backup) {
  try {
    const memory = fs.readFileSync(backup);
    if (memory.length > 0) return memory;
  } catch (error) {
    throw new Problem(`the backup ${backup} cannot be read (${error.code})`, "Give the path of a backup file.");
  }
  throw new Problem(`the backup ${backup} is empty`, "Take an older one.");
}

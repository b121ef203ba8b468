// What went wrong, in words for the person at the cupboard.

/** Exit statuses: `STICK` may be cured by trying again (it comes back), `SETTINGS` needs a person first. */
export const STICK = 1;
export const SETTINGS = 2;

/** An error meant for a person: `message` says what and which one, `hint` what to do. */
export class Problem extends Error {
  constructor(message, hint, status = SETTINGS) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

export const noStick = (stick) => new Problem(`no stick at ${stick}`, "Plug it in, or correct the path.", STICK);
export const noPermission = (stick) =>
  new Problem(`no permission to use the stick at ${stick}`, "Add this user to the port's group.", STICK);
export const diskFull = () => new Problem("the disk is full", "Make room on it.", STICK);

// What zwave-js 15.29 and the system say, in this order: the more exact ones first.
const CAUSES = [
  [/ENOSPC|no space left/i, diskFull],
  [/EROFS|cache directory/i, () =>
    new Problem("the folder for the cache cannot be written", "Check its owner and its disk.", STICK)],
  // A lock is let go 10 s after its owner's last sign of life.
  [/lock DB file/i, () =>
    new Problem(
      "the cache is locked, by a server that was killed or by one that still runs",
      "It is tried again by itself. If this goes on, stop the other server.",
      STICK,
    )],
  [/serial port.*(cannot lock port|temporarily unavailable|EBUSY)/i, (stick) =>
    new Problem(`another program uses the stick at ${stick}`, "Stop that program.", STICK)],
  [/serial port.*(permission denied|EACCES)/i, noPermission],
  [/serial port.*(inappropriate ioctl|ENOTTY)/i, (stick) =>
    new Problem(`${stick} is not a serial port`, "Give the path of the stick.")],
  [/serial port.*(no such|ENOENT|ENXIO|ENODEV|ECONNREFUSED|EHOSTUNREACH|ETIMEDOUT|ENOTFOUND)/i, noStick],
  [/convert NVM/i, (stick) =>
    new Problem(
      `this backup cannot be put on the stick at ${stick}`,
      "Nothing was written. It is damaged, or of a 500-series stick with firmware before SDK 6.61.",
    )],
  [/bootloader/i, (stick) =>
    new Problem(`the stick at ${stick} has no working firmware`, "Flash its firmware again.", STICK)],
  [/no response from the controller|waiting for an ACK/i, (stick) =>
    new Problem(
      `what is at ${stick} does not answer as a Z-Wave stick`,
      "Check the path; if it is right, pull the stick out and plug it in again.",
      STICK,
    )],
];

/** A `Problem` for any error that the driver, the server or the system raised. */
export function problemOf(error, stick) {
  if (error instanceof Problem) return error;
  const words = error?.message ?? String(error);
  const cause = CAUSES.find(([pattern]) => pattern.test(words));
  if (cause) return cause[1](stick);
  return new Problem(words.split("\n", 1)[0], "Pull the stick out and plug it in again.", STICK);
}

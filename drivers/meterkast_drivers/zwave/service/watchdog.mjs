// Tells systemd's watchdog that the event loop turns; a frozen server is then killed and started again.
import { execFile } from "node:child_process";

/** Start telling, if systemd asks for it (WatchdogSec=); the unit needs NotifyAccess=all. */
export function tellWatchdog() {
  const within_ms = Number(process.env.WATCHDOG_USEC) / 1000;
  if (!(within_ms > 0)) return;
  // Node.js has no datagram sockets of the Unix kind; systemd brings a program for them.
  const tell = () => execFile("systemd-notify", ["WATCHDOG=1"], { timeout: within_ms }, () => {});
  setInterval(tell, within_ms / 3).unref();
}

"""The line of a P1 meter: a pty that telegrams come out of, with a meter or a capture behind it.

It behaves like the real one: telegrams at whole seconds whether or not anybody reads, none of them held up
by a slow reader, and now and then the faults that its switches ask for.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import stat
import tty
from collections import Counter, deque
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from meterkast.model.errors import ConfigError
from meterkast.model.time import HALF_HOUR_MS, UtcMs, iso_utc
from meterkast.ports.clock import Clock
from meterkast_rig.faults import Faults, FaultValue
from meterkast_rig.p1_faults import SWITCHES, UNREADABLE, Spoiler, afflicted
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import Dialect

_PACKET_BYTES = 62  # what an FTDI adapter hands over at a time: 64 less two of status
_SHORTEST_S = 0.05  # of real time between two telegrams, however fast the clock
_HALF_HOUR_S = HALF_HOUR_MS // 1000
_HOPELESS_S = 60.0  # of real time behind: the machine slept


class P1Line:
    """One P1 port.

    Attributes:
        port: Path of the pty to open. Another one after an unplug; `link` stays.
        faults: The switches; `faults.set({"cut": 0.1})` while it runs.
        sent: When and which registers, of each telegram that went out whole and right; the latest 20,000.
        counts: Telegrams: "sent", "dropped" (nobody read), "silent", "unplugged", and each fault by its name.
    """

    port: str

    def __init__(
        self,
        source: SimulatedMeter | Sequence[bytes],
        clock: Clock,
        *,
        link: Path | None = None,
        interval_s: int | None = None,
        faults: Faults | Mapping[str, FaultValue] | str = "",
        seed: int = 1,
        once: bool = False,
        log: Path | None = None,
    ) -> None:
        """Opens nothing yet.

        Args:
            source: A meter, or the telegrams of a capture.
            clock: Whose time the meter lives in.
            link: Where to put a symbolic link to the pty.
            interval_s: Meter time between telegrams, a divisor of 1800; None is 1 (DSMR 2.2, Sweden: 10).
            faults: Switches as text or by name, or a `Faults` made of `SWITCHES`.
            seed: Of the faults' chances.
            once: Play a capture once and then stay silent, instead of over and over.
            log: A file to append to: one JSON object per telegram.
        """
        self._source = source
        self._clock = clock
        self._link = link
        self._once = once
        self._log_path = log
        dialect = source.dialect if isinstance(source, SimulatedMeter) else None
        usual_s = 10 if dialect in (Dialect.DSMR22, Dialect.SE) else 1
        self._step_ms = step_s(usual_s if interval_s is None else interval_s, clock.speed) * 1000
        # Ten bits a byte. A fast clock leaves no time for pauses between packets.
        self._packet_s = _PACKET_BYTES * 10 / (9600 if dialect is Dialect.DSMR22 else 115_200)
        self._paced = self._step_ms / clock.speed >= 900
        self.faults = as_faults(faults, seed)
        self._spoiler = Spoiler(self.faults, seed)
        self.sent: deque[tuple[UtcMs, Mapping[str, int]]] = deque(maxlen=20_000)
        self.counts: Counter[str] = Counter()
        self._played = 0
        self._silent = 0
        self._absent = 0
        self._ends: tuple[int, int] | None = None
        self._unsent = b""

    @property
    def plugged(self) -> bool:
        """Whether there is a pty now."""
        return self._ends is not None

    def open(self) -> None:
        """Make the pty and the link.

        Raises:
            ConfigError: The link cannot be made, or something else is in its place.
        """
        if self._link is not None:
            _check_place(self._link)
        meter_end, reader_end = os.openpty()
        # At once: a fresh pty echoes what it is sent and turns CR into LF. The reader's end stays open here,
        # so that the line outlives its readers.
        tty.setraw(reader_end)
        os.set_blocking(meter_end, False)
        self._ends = (meter_end, reader_end)
        self.port = os.ttyname(reader_end)
        if self._link is not None:
            try:
                _point(self._link, self.port)
            except OSError as error:
                self.close()
                raise ConfigError(
                    f"link {self._link}: {error.strerror}", hint="Give a path in a folder you can write to."
                ) from error

    def close(self) -> None:
        """Remove the link and the pty; a second time does nothing."""
        if self._ends is None:
            return
        if self._link is not None:
            with contextlib.suppress(OSError):
                # Only our own: another rig may have taken the place since.
                if os.readlink(self._link) == self.port:
                    self._link.unlink()
        for end in self._ends:
            os.close(end)
        self._ends = None
        self._unsent = b""

    async def run(self) -> None:
        """Send telegrams until cancelled."""
        at_ms = UtcMs((self._clock.now_ms() // self._step_ms + 1) * self._step_ms)
        while not (self._once and self._played >= self._pieces):
            await self._clock.sleep_until(at_ms)
            await self._tick(at_ms)
            at_ms = self._following(at_ms)
        await asyncio.Event().wait()  # a line that says nothing is still there

    async def _tick(self, at_ms: UtcMs) -> None:
        if self._absent:
            self._absent -= 1
            self.counts["unplugged"] += 1
            if not self._absent:
                self.open()
            return
        if self._silent or self.faults.chance("silent"):
            self._silent = (self._silent or self._spoiler.some()) - 1
            self.counts["silent"] += 1
            return
        if self.faults.chance("unplug"):
            self.close()
            self._absent = self._spoiler.some()
            return
        telegram, registers = self._next(at_ms)
        data, borne = self._spoiler.spoil(telegram)
        if not await self._write(data):
            self.counts["dropped"] += 1
            return
        self.counts.update(["sent", *borne])
        if UNREADABLE.isdisjoint(borne):
            self.sent.append((at_ms, registers))
        if self._log_path is not None:
            _append(self._log_path, {"at": iso_utc(at_ms), "registers": registers, "faults": borne})

    def _next(self, at_ms: UtcMs) -> tuple[bytes, Mapping[str, int]]:
        if isinstance(self._source, SimulatedMeter):
            meter = afflicted(self._source, self.faults)
            return meter.telegram(at_ms), meter.registers(at_ms)
        telegram = self._source[self._played % len(self._source)]
        self._played += 1
        return telegram, {}

    @property
    def _pieces(self) -> int:
        return 0 if isinstance(self._source, SimulatedMeter) else len(self._source)

    def _following(self, at_ms: UtcMs) -> UtcMs:
        now_ms = self._clock.now_ms()
        newest = UtcMs(now_ms // self._step_ms * self._step_ms)
        if newest <= at_ms:
            return UtcMs(at_ms + self._step_ms)
        if now_ms - at_ms > _HOPELESS_S * 1000 * self._clock.speed:
            return newest
        # We are late and leave out telegrams, but not one at a half-hour: the slowness of the machine that
        # simulates must not look like a gap of the meter.
        edge = UtcMs((at_ms // HALF_HOUR_MS + 1) * HALF_HOUR_MS)
        return min(newest, edge) if edge % self._step_ms == 0 else newest

    async def _write(self, data: bytes) -> bool:
        # All or nothing: a telegram begun when the pty filled up is finished before another begins.
        if self._unsent:
            self._unsent = self._push(self._unsent)
            if self._unsent:
                return False
        if not self._paced:
            self._unsent = self._push(data)
            return True
        for start in range(0, len(data), _PACKET_BYTES):
            self._unsent += data[start : start + _PACKET_BYTES]
            self._unsent = self._push(self._unsent)
            await asyncio.sleep(self._packet_s)
        return True

    def _push(self, data: bytes) -> bytes:
        """What did not fit."""
        assert self._ends is not None
        while data:
            try:
                data = data[os.write(self._ends[0], data) :]
            except BlockingIOError:
                break
        return data


@contextlib.asynccontextmanager
async def serving(
    source: SimulatedMeter | Sequence[bytes],
    clock: Clock,
    *,
    link: Path | None = None,
    interval_s: int | None = None,
    faults: Faults | Mapping[str, FaultValue] | str = "",
    seed: int = 1,
    once: bool = False,
    log: Path | None = None,
) -> AsyncIterator[P1Line]:
    """An open line that sends while the block runs; the arguments are those of `P1Line`.

    Raises:
        ConfigError: As `P1Line.open`; and on leaving, whatever ended the line early.
    """
    line = P1Line(
        source, clock, link=link, interval_s=interval_s, faults=faults, seed=seed, once=once, log=log
    )  # fmt: skip
    line.open()
    running = asyncio.create_task(line.run(), name="P1 line")
    try:
        yield line
    finally:
        running.cancel()
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await running
        finally:
            line.close()


def step_s(interval_s: int, speed: float) -> int:
    """Meter time between telegrams: the interval, or what 0.05 s of real time are worth if that is more.

    Always a divisor or a multiple of half an hour, so that one telegram falls on each half-hour's edge.

    Raises:
        ConfigError: The interval is no divisor of 1800 s.
    """
    if interval_s < 1 or _HALF_HOUR_S % interval_s:
        raise ConfigError(
            f"interval of {interval_s} s",
            hint="Give a divisor of 1800, so that telegrams meet the half-hours: 1, 10.",
        )
    least_s = max(interval_s, _SHORTEST_S * speed)
    for step in range(interval_s, _HALF_HOUR_S + 1, interval_s):
        if step >= least_s and _HALF_HOUR_S % step == 0:
            return step
    return _HALF_HOUR_S * -int(-least_s // _HALF_HOUR_S)


def as_faults(faults: Faults | Mapping[str, FaultValue] | str, seed: int) -> Faults:
    """The switches, however they were given.

    Raises:
        ConfigError: No such switch, or a value that will not do.
    """
    if isinstance(faults, Faults):
        return faults
    if isinstance(faults, str):
        return Faults(SWITCHES, faults, seed=seed)
    switches = Faults(SWITCHES, seed=seed)
    switches.set(faults)
    return switches


def _check_place(link: Path) -> None:
    if not os.path.lexists(link):
        return
    # A link to a pty, or to nothing, is what a rig that was killed leaves behind.
    stale = link.is_symlink() and (not link.exists() or stat.S_ISCHR(link.stat().st_mode))
    if not stale:
        raise ConfigError(
            f"link {link}: there is something else", hint="Move it away, or give another path for the link."
        )


def _point(link: Path, target: str) -> None:
    # Made beside it and moved over it, so that there is never a moment with a half-made link.
    beside = link.with_name(f".{link.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(link)


def _append(path: Path, shown: Mapping[str, object]) -> None:
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(shown) + "\n")

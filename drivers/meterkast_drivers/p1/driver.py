"""The P1 driver: one port, one meter and what hangs on it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterator

from meterkast.config.decoding import Settings as Base
from meterkast.config.secret import secret
from meterkast.model.errors import ConfigError, LinkLostError, StorageError
from meterkast.model.reading import Batch
from meterkast.ports.clock import Clock
from meterkast.ports.driver import Driver, DriverStatus, Emit, LinkState
from meterkast.ports.inventory import MeterCatalog
from meterkast_drivers.p1 import detect, port
from meterkast_drivers.p1.cipher import Opener, SealedError
from meterkast_drivers.p1.framing import Checksum, Frame, Framer, Kind
from meterkast_drivers.p1.port import Source
from meterkast_drivers.p1.profiles import PROFILES
from meterkast_drivers.p1.reader import Reader

log = logging.getLogger(__name__)

SILENT_S = 30.0
"""No telegram for so long is worth telling: the slowest meters send every 10 s."""

_KEPT = 8


class Settings(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[drivers.p1]`: one meter's port.

    Attributes:
        port: A device (best its /dev/serial/by-id path), `socket://host:port`, or `auto` for the first that
            has P1.
        profile: The country; `auto` to find it.
        speed: Baud; left out, it is found by listening.
        key: The meter's key where its telegrams are encrypted: 32 digits, or env:NAME.
        key_file: A file with the key.
        auth_key: The authentication key, where it is not Luxembourg's public one.
    """

    port: str = "auto"
    profile: str = "auto"
    speed: int | None = None
    key: str = ""
    key_file: str = ""
    auth_key: str = ""


def create(name: str, settings: Settings, catalog: MeterCatalog, clock: Clock) -> Driver:
    """The driver.

    Raises:
        ConfigError: The profile is unknown, a key is none, or the port's name cannot be one.
    """
    return P1Driver(name, settings, catalog, clock)


class P1Driver:
    """Reads one P1 port.

    Attributes:
        rejected: The newest telegrams that were refused as a whole, and why; for diagnosis.
    """

    def __init__(self, name: str, settings: Settings, catalog: MeterCatalog, clock: Clock) -> None:
        self.name = name
        self.rejected: deque[tuple[bytes, str]] = deque(maxlen=_KEPT)
        self._settings = settings
        self._catalog = catalog
        self._clock = clock
        if settings.profile != "auto" and settings.profile not in PROFILES:
            raise ConfigError(
                f'drivers.{name}.profile = "{settings.profile}": unknown',
                hint=f"Leave it out, or use one of: {', '.join(PROFILES)}.",
            )
        port.check_name(settings.port)
        self._logged: tuple[LinkState, str] | None = None
        self._opener = _opener(name, settings)
        self._framer = Framer()
        self._reader = Reader(PROFILES.get(settings.profile))
        self._good = self._wrong = self._sealed = self._failed = 0
        self._state = LinkState.OPENING
        self._detail = f"{settings.port}: opening"
        self._settled: tuple[str, int | None] | None = None
        self._sample = bytearray()
        self._complaints: set[type] = set()

    def status(self) -> DriverStatus:
        tally = self._reader.tally
        return DriverStatus(
            state=self._state,
            detail=self._detail,
            counters={
                "good": self._good,
                "wrong checksum": self._wrong,
                "cut": self._framer.cut,
                "non-ASCII": self._framer.non_ascii,
                "bytes skipped": self._framer.skipped,
                "unknown objects": len(tally.unknown),
                "lines refused": tally.refused,
                "held back": tally.held + self._reader.held_values,
                "not opened": self._sealed,
                "failed": self._failed,
            },
        )

    async def run(self, emit: Emit) -> None:
        """Read until cancelled.

        Raises:
            LinkLostError: The port went away, or `auto` found P1 on none.
            ConfigError: `port` is no port.
        """
        self._say(LinkState.OPENING, f"{self._settings.port}: opening")
        try:
            while True:
                await self._round(emit)
        except (LinkLostError, ConfigError) as error:
            self._say(LinkState.LOST, f"{error}. {error.hint}")
            raise

    async def _round(self, emit: Emit) -> None:
        """Listen on every port and speed in question; stay where telegrams are heard."""
        auto = self._settings.port == "auto"
        places = list(self._places())
        if not places:
            raise LinkLostError("no serial port is present", hint="Plug in the P1 cable.")
        noisy = 0
        told = detect.NO_DATA
        for name, speed in places:
            try:
                source = await port.open_port(name, speed or detect.SPEEDS[0])
            except LinkLostError as error:
                if not auto:
                    raise
                told = f"{error}. {error.hint}"
                continue
            try:
                await self._listen(source, speed, emit, only=len(places) == 1)
            finally:
                source.close()
                self._framer.reset()
            verdict = detect.verdict(bytes(self._sample))
            noisy += verdict.noise
            told = verdict.sentence if self._sample else told
            if not auto:
                sentence = detect.INVERTED if noisy == len(places) > 1 else told
                self._say(LinkState.SILENT, f"{name}: {sentence}")
        if auto:
            raise LinkLostError("no port has P1 telegrams", hint=told[0].upper() + told[1:])

    def _places(self) -> Iterator[tuple[str, int | None]]:
        """Ports and speeds, first where telegrams were heard last."""
        names = port.candidates() if self._settings.port == "auto" else [self._settings.port]
        speeds = (self._settings.speed,) if self._settings.speed else detect.SPEEDS
        places: list[tuple[str, int | None]] = [
            (name, speed) for name in names for speed in ((None,) if "://" in name else speeds)
        ]
        if self._settled in places:
            yield self._settled
        yield from (place for place in places if place != self._settled)

    async def _listen(self, source: Source, speed: int | None, emit: Emit, *, only: bool) -> None:
        """Read one port at one speed; returns when it is the wrong one."""
        loop = asyncio.get_running_loop()
        self._sample.clear()
        heard_s = loop.time()
        found = False
        while True:
            quiet_s = loop.time() - heard_s
            patience_s = SILENT_S if found or only else detect.LISTEN_S
            if quiet_s >= patience_s:
                if not only and (not found or self._sample):
                    return
                self._silent(source, found)
                heard_s = loop.time()
                continue
            wait_s = port.IDLE_S if self._framer.pending else patience_s - quiet_s
            data = await source.read(wait_s)
            seen_ns = self._clock.boot_ns()
            frames = self._framer.feed(data) if data else self._framer.idle()
            if frames:
                heard_s, found = loop.time(), True
                self._settled = (source.name, speed)
                self._sample.clear()
                await self._take(frames, seen_ns, emit, source.name, speed)
            elif len(self._sample) < detect.SAMPLE:
                self._sample += data

    async def _take(
        self, frames: list[Frame], seen_ns: int, emit: Emit, name: str, speed: int | None
    ) -> None:
        for frame in frames:
            try:
                batches = await self._batches(frame, seen_ns)
            except SealedError as error:
                self._sealed += 1
                self._reject(frame, "encrypted, and not opened")
                self._say(LinkState.SILENT, f"{name}: {error}. {error.hint}")
                continue
            except StorageError as error:
                # The meter has no ids yet; the next telegram asks again.
                self._reject(frame, f"not stored: {error}")
                continue
            except Exception as error:  # one telegram must never end the reading of all others
                self._failed += 1
                self._reject(frame, f"could not be read: {type(error).__name__}: {error}", error)
                continue
            if batches is None:
                continue
            if self._state is not LinkState.READING:
                self._reading(name, speed)
            for batch in batches:
                emit(batch)

    async def _batches(self, frame: Frame, seen_ns: int) -> list[Batch] | None:
        """The batches of a telegram; None where it is refused."""
        if frame.kind is Kind.CIPHER:
            frame = self._opener.open(frame)
        if frame.checksum is Checksum.BAD:
            self._wrong += 1
            self._reject(frame, "wrong checksum")
            return None
        reader = self._reader
        held = reader.tally.held
        batches = reader.take(frame, seen_ns)
        if reader.tally.held != held:
            # A meter's first telegram without a checksum only shows what the second has to look like.
            if reader.form is not None:
                self._reject(frame, "no checksum, and another form than usual")
            return None
        self._good += 1
        if reader.undeclared:
            await reader.declare(self._catalog)
            batches = reader.batches(seen_ns)
        form = reader.form
        if form is not None and form.at is not None:
            self._clock.offer(form.at, seen_ns, self.name)
        if self._complaints:
            self._complaints.clear()
            log.info("telegrams are good again", extra={"driver": self.name})
        return batches

    def _reject(self, frame: Frame, why: str, failure: Exception | None = None) -> None:
        self.rejected.append((frame.data + frame.given, why))
        # What repeats with every telegram is logged once; a failure of ours is no damage of the line.
        if type(failure) not in self._complaints:
            self._complaints.add(type(failure))
            log.warning("telegram refused", extra={"driver": self.name, "reason": why}, exc_info=failure)

    def _reading(self, name: str, speed: int | None) -> None:
        form = self._reader.form
        profile = f", {form.telegram.profile.name}" if form is not None else ""
        baud = f" at {speed} baud" if speed else ""
        bits = " with seven data bits" if self._framer.seven_bits else ""
        self._say(LinkState.READING, f"{name}: P1 telegrams{baud}{bits}{profile}")

    def _silent(self, source: Source, found: bool) -> None:
        if found:
            sentence = (
                f"no telegram for {SILENT_S:.0f} s. Check that the plug sits in the meter's P1 port and the "
                "meter has power; some meters have to be plugged in again."
            )
        else:
            sentence = detect.verdict(bytes(self._sample)).sentence
        self._sample.clear()
        self._say(LinkState.SILENT, f"{source.name}: {sentence}")

    def _say(self, state: LinkState, detail: str) -> None:
        # What repeats with every attempt to open the port is logged once.
        if state is not LinkState.OPENING and (state, detail) != self._logged:
            level = logging.INFO if state is LinkState.READING else logging.WARNING
            log.log(level, "meter's line changed", extra={"driver": self.name, "state": state.value})
            self._logged = state, detail
        self._state, self._detail = state, detail


def _opener(name: str, settings: Settings) -> Opener:
    given = settings.key or settings.key_file
    key = secret(settings.key, settings.key_file, f"drivers.{name}.key") if given else ""
    auth = secret(settings.auth_key, "", f"drivers.{name}.auth_key") if settings.auth_key else ""
    return Opener(key, auth)

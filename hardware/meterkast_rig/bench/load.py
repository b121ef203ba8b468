"""The load: telegrams as a household's meter sends them, with the noise that a real line has.

The simulated meter alone swings every ten seconds, which would flatter whoever looks only at what changed.
So every phase gets noise each second, of 4 W and 0.12 V (standard deviation), and currents in steps of
0.01 A, which DSMR 5 leaves to the meter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from meterkast.model.time import UtcMs, parse_iso
from meterkast_rig.p1_household import mix
from meterkast_rig.p1_meter import SimulatedMeter
from meterkast_rig.p1_telegram import RENDER, Phase, Shown, checked

START_MS = parse_iso("2026-04-15T22:00:00Z")
"""Midnight in Amsterdam before a spring day: import, export, both tariffs, gas and water all move."""

_AMPERES = re.compile(rb"(1-0:[357]1\.7\.0\()\d+\*A\)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisyMeter(SimulatedMeter):
    """The simulated meter with a real line's noise."""

    def telegram(self, at_ms: UtcMs) -> bytes:
        shown = self._shown(at_ms)
        second = at_ms // 1000
        phases = tuple(self._noisy(phase, second * 3 + number) for number, phase in enumerate(shown.phases))
        loud: Shown = replace(shown, phases=phases, net_w=sum(phase.power_w for phase in phases))
        text = RENDER[self.dialect](loud)
        currents = iter(phases)
        fine = _AMPERES.sub(lambda match: b"%b%06.2f*A)" % (match[1], next(currents).milliamp / 1000), text)
        return checked(fine[: fine.rindex(b"!") + 1])

    def _noisy(self, phase: Phase, number: int) -> Phase:
        chance = mix(self.seed + 77, number)
        power = phase.power_w + round(_normal(chance) * 4)
        decivolt = phase.decivolt + round(_normal(chance >> 32) * 1.2)
        return Phase(power_w=power, decivolt=decivolt, milliamp=abs(power) * 10_000 // decivolt)


def _normal(chance: int) -> float:
    # Four uniform numbers of 0 to 255: near enough to a bell, with a standard deviation of 1.
    total = sum((chance >> shift) & 255 for shift in (0, 8, 16, 24))
    return (total - 510) / 147.8


def stream(meter: SimulatedMeter, start_ms: UtcMs, count: int) -> Iterator[tuple[UtcMs, bytes]]:
    """`count` telegrams, one a second, each with its instant."""
    for number in range(count):
        at_ms = UtcMs(start_ms + number * 1000)
        yield at_ms, meter.telegram(at_ms)


def changes(telegrams: Sequence[bytes]) -> float:
    """How many objects change from one telegram to the next, on average; the checksum does not count."""
    split = [telegram.split(b"\r\n")[:-2] for telegram in telegrams]
    pairs = list(pairwise(split))
    return sum(a != b for one, other in pairs for a, b in zip(one, other, strict=True)) / max(1, len(pairs))


def save(path: Path, telegrams: Sequence[bytes]) -> None:
    """Write telegrams to a file; each ends with its checksum's line end."""
    path.write_bytes(b"".join(telegrams))


def read(path: Path) -> list[bytes]:
    """The telegrams of such a file."""
    return [b"/" + rest for rest in path.read_bytes().split(b"/")[1:]]

"""Countries: what the same objects mean where the meter hangs.

Objects are read the same everywhere; a profile only says which time its stamps are in, what the tariffs are
called and how often the meters behind it are read.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from meterkast.model.time import HOUR_MS, MINUTE_MS
from meterkast_drivers.p1.stamps import TimePolicy, central


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One country, or one version where that matters.

    Attributes:
        name: As `meterkast p1 decode` shows it and `profile` in the configuration names it.
        time: What its stamps mean.
        tariffs: What tariff 1, 2, … are called.
        mbus_ms: How often meters on the M-Bus are read.
    """

    name: str
    time: TimePolicy
    tariffs: tuple[str, ...] = ()
    mbus_ms: int = HOUR_MS


_FIVE_MINUTES = 5 * MINUTE_MS
# DSMR 5.0.2 (6.6): tariff 1 is the low one. e-MUCS P1 1.7.1 (5.2): tariff 1 is day, 2 is night.
_DUTCH = ("low tariff", "normal tariff")
_BELGIAN = ("day tariff", "night tariff")

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name="NL 2.2", time=central("Europe/Amsterdam"), tariffs=_DUTCH),
        Profile(name="NL 4.0", time=central("Europe/Amsterdam"), tariffs=_DUTCH),
        Profile(name="NL 4.2", time=central("Europe/Amsterdam"), tariffs=_DUTCH),
        Profile(name="NL 5.0", time=central("Europe/Amsterdam"), tariffs=_DUTCH, mbus_ms=_FIVE_MINUTES),
        Profile(name="WarmteLink", time=central("Europe/Amsterdam"), mbus_ms=_FIVE_MINUTES),
        Profile(name="BE", time=central("Europe/Brussels"), tariffs=_BELGIAN, mbus_ms=_FIVE_MINUTES),
        Profile(name="LU", time=central("Europe/Luxembourg")),
        # Swedish industry standard for H1 (2.0, 4): normal time all year, whatever the letter says.
        Profile(name="SE", time=TimePolicy(HOUR_MS, HOUR_MS, None)),
        # ESO data model: local time, which is Eastern European.
        Profile(name="LT", time=TimePolicy(3 * HOUR_MS, 2 * HOUR_MS, "Europe/Vilnius")),
        Profile(name="HU", time=central("Europe/Budapest")),
        Profile(name="AT", time=central("Europe/Vienna")),
        Profile(name="IE", time=TimePolicy(HOUR_MS, 0, "Europe/Dublin")),
        Profile(name="Q3D", time=central("Europe/Berlin")),
    )
}

# Identifications that only one country's meters use; KFM5 and others are used in several.
_IDENTS = (
    ("FLU", "BE"),
    ("Lux", "LU"),
    ("EST", "AT"),
    ("ELL", "SE"),
    ("KAM", "SE"),
    ("LGF", "SE"),
    ("ADN", "SE"),
    ("SAG", "HU"),
    ("AUX", "HU"),
    ("HLY", "HU"),
    ("ESO", "LT"),
    ("ESY", "Q3D"),
    ("NWA", "WarmteLink"),
)


def detect(ident: str, references: Collection[str], version: str) -> Profile:
    """The profile of a telegram.

    Args:
        ident: Its identification, without "/".
        references: The OBIS references of its objects.
        version: What 1-3:0.2.8 says; empty where there is none.
    """
    return PROFILES[_name(ident, references, version)]


def _name(ident: str, references: Collection[str], version: str) -> str:
    if "0-0:96.1.4" in references:
        return "BE"
    if ident.endswith("MIE"):
        return "IE"
    for start, name in _IDENTS:
        if ident.startswith(start):
            return name
    if version:
        if "0-0:42.0.0" in references:
            return "LU"
        return {"40": "NL 4.0", "42": "NL 4.2"}.get(version, "NL 5.0" if version >= "50" else "NL 4.2")
    if "0-0:42.0.0" in references:
        return "HU"
    if "1-0:1.8.0" in references and "0-0:1.0.0" in references:
        # Meters of several makers in Sweden: totals only, no version. The Lithuanian list has four tariffs.
        return "LT" if "1-0:1.8.4" in references else "SE"
    return "NL 2.2"

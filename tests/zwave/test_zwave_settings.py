"""`[drivers.zwave]` as a person writes it."""

from __future__ import annotations

import tomllib
from decimal import Decimal

import pytest

from meterkast.config.decoding import decode
from meterkast.model.errors import ConfigError
from meterkast.model.units import Unit
from meterkast_drivers.zwave.settings import Settings, check

WHOLE = """
stick = "tcp://127.0.0.1:5555"
report_s = 300
[nodes.12]
name = "Water main"
report_s = 3600
poll = false
pulse = "10 L"
[nodes.12.parameters]
111 = 300
40-255 = 1
"""


def read(text: str) -> Settings:
    settings = decode(Settings, tomllib.loads(text), "drivers.zwave")
    check("zwave", settings)
    return settings


def test_a_whole_section() -> None:
    settings = read(WHOLE)
    assert (settings.report_ms(12), settings.report_ms(13)) == (3_600_000, 300_000)
    assert (settings.polls(12), settings.polls(13)) == (False, True)
    pulse = settings.pulse(12)
    assert pulse is not None
    assert (pulse.amount, pulse.unit) == (Decimal(10), Unit.LITRE)
    assert settings.pulse(13) is None
    assert settings.of(12).parameters == {"111": 300, "40-255": 1}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "no `stick`"),
        ('stick = "/dev/x"\nserver = "/run/x"', "both"),
        ('stick = "/dev/x"\nreport_s = 9', "report_s"),
        ('stick = "/dev/x"\nport = "/dev/x"', "port"),
        ('stick = "/dev/x"\n[nodes.0]\npoll = true', "nodes.0"),
        ('stick = "/dev/x"\n[nodes.4001]\npoll = true', "nodes.4001"),
        ('stick = "/dev/x"\n[nodes.012]\npoll = true', "nodes.012"),
        ('stick = "/dev/x"\n[nodes.plug]\npoll = true', "nodes.plug"),
        ('stick = "/dev/x"\n[nodes.5]\nreport_s = 5', "report_s"),
        ('stick = "/dev/x"\n[nodes.5]\nreports = 50', "reports"),
        ('stick = "/dev/x"\n[nodes.5]\npulse = "ten litres"', "nodes.5.pulse"),
        ('stick = "/dev/x"\n[nodes.5]\npulse = "0 L"', "nodes.5.pulse"),
        ('stick = "/dev/x"\n[nodes.5.parameters]\nbright = 5', "parameters.bright"),
        ('stick = "/dev/x"\n[nodes.5.parameters]\n1 = "on"', "parameters"),
    ],
)
def test_what_cannot_work_is_named_with_its_cure(text: str, named: str) -> None:
    with pytest.raises(ConfigError, match=named.replace(".", r"\.")) as caught:
        read(text)
    assert caught.value.hint

"""`meterkast`, on a fast clock that allows for a machine that stalls: `python -m meterkast_rig.patient run`.

A fast clock takes a telegram's stamp for right while no more than 1.5 s of real time lie between wire and
gateway. Starting a process over and over keeps a small machine busy for longer than that, and at 600 times
the speed a reading would then be counted 20 minutes late: a fault of the rehearsal, not of the gateway.
"""

from __future__ import annotations

import sys

from meterkast import clock
from meterkast.cli import main

_STALLED_MS = 4_000

if __name__ == "__main__":
    clock._PROCESSING_MS = _STALLED_MS
    sys.exit(main())

"""zwave_js_server, imported without pydantic; to be imported before anything of it is.

The library checks the shape of each event with pydantic's old interface. That costs 7.6 MiB of memory and
three quarters of its import time (measured with 0.56.0 and pydantic 2.14.3), and an event without a model
ends the connection. What the models make is thrown away: they are used in the three `receive_event` alone,
and `client.SafeClient` hands events out by itself and gets over odd ones. So models that check nothing stand
in while the library is imported; a test holds that every kind of event comes to the same without them. Should
pydantic be there already, it stays.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from meterkast.lean import aiohttp as aiohttp

_NAME = "pydantic.v1"


class _Model:
    """A model that takes everything and keeps nothing."""

    def __init__(self, **_: Any) -> None:
        pass


def _stand_in() -> ModuleType:
    module = ModuleType(_NAME)
    vars(module).update(BaseModel=_Model, create_model_from_typeddict=lambda *_, **__: _Model)
    return module


if _NAME in sys.modules:
    import zwave_js_server.client
else:
    sys.modules[_NAME] = _stand_in()
    try:
        import zwave_js_server.client  # noqa: F401
    finally:
        del sys.modules[_NAME]

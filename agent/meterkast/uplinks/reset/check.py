"""The connection test: the way there, the namespace, the credentials. It creates nothing.

Nothing is sent but the credentials: the document has no message that only asks.
"""

from __future__ import annotations

import asyncio

from meterkast.model.errors import MeterkastError
from meterkast.ports.uplink import Check
from meterkast.uplinks import http
from meterkast.uplinks.reset.session import Session
from meterkast.uplinks.reset.settings import Settings, target


async def check(settings: Settings, secret: str) -> list[Check]:
    """DNS, TCP, TLS, namespace, credentials and the time an answer takes; stops at the first that fails.

    Args:
        settings: Checked.
        secret: The client_secret.
    """
    origin, namespace = target(settings)
    steps = await http.probe(origin, ca_file=settings.ca_file, proxy=settings.proxy)
    if not all(step.ok for step in steps):
        return steps
    session, step = Session(settings, secret), "NAMESPACE"
    loop = asyncio.get_running_loop()
    try:
        await session.connect()
        steps.append(Check(name=step, ok=True, detail=f"{namespace} is joined over {settings.transport}"))
        step, begun_s = "AUTH", loop.time()
        answer = await session.authenticate()
        steps.append(Check(name=step, ok=True, detail=f"answered {answer}"))
        took_ms = round((loop.time() - begun_s) * 1000)
        steps.append(Check(name="ROUND TRIP", ok=True, detail=f"{took_ms} ms from credentials to answer"))
    except MeterkastError as error:
        steps.append(Check(name=step, ok=False, detail=f"{error}. {error.hint}"))
    finally:
        await session.close()
    return steps

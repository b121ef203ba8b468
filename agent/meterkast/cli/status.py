"""`meterkast status`: how a running gateway is, asked over its page's address."""

from __future__ import annotations

import argparse
import http.client
from pathlib import Path

import msgspec

from meterkast import words
from meterkast.cli.run import DEFAULT
from meterkast.config.file import load
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast.model.time import iso_utc
from meterkast.pipeline.health import Snapshot

_TIMEOUT_S = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--config", type=Path, default=DEFAULT)
    parser.add_argument("--json", action="store_true", help="the whole snapshot as JSON")


def run(args: argparse.Namespace) -> int:
    """Print it; exit status 0 where all is well, 2 where something is wrong."""
    page = load(args.config).page
    if not page.enabled or not page.port:
        raise ConfigError(
            "the page is switched off or on a random port", hint="Set page.enabled and page.port."
        )
    host = "127.0.0.1" if page.host in ("0.0.0.0", "::") else page.host
    connection = http.client.HTTPConnection(host, page.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/api/status")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise LinkLostError(
            f"no gateway answers at {host}:{page.port}: {error}",
            hint="Start it (systemctl start meterkast), or read its log (journalctl -u meterkast).",
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise LinkLostError(f"{host}:{page.port} answers {answer.status}", hint="Is that port Meterkast's?")
    if args.json:
        print(body.decode())
        return 0
    try:
        snapshot = msgspec.json.decode(body, type=Snapshot)
    except msgspec.DecodeError as error:
        raise LinkLostError(
            f"{host}:{page.port} answers in words that are not understood: {error}",
            hint="Is that port Meterkast's? Then gateway and command are of different releases: restart the "
            "gateway.",
        ) from error
    print(as_text(snapshot))
    return 0 if snapshot.verdict == "ok" else 2


def as_text(snapshot: Snapshot) -> str:
    """The snapshot in a few lines for a terminal."""
    lines = [snapshot.sentence, "", f"clock     {snapshot.clock.trust}, {snapshot.clock.local}"]
    lines += [f"          {one.name}: {one.off_s:+.0f} s, {one.verdict}" for one in snapshot.clock.sources]
    lines += [
        f"driver    {driver.name}: {driver.state}. {driver.detail}".rstrip() for driver in snapshot.drivers
    ]
    for product in snapshot.products:
        fresh = "fresh" if product.fresh else "not fresh"
        if product.removed or not product.properties:
            fresh = "removed" if product.removed else "no device yet"
        if product.availability:
            fresh += f", {product.availability}"
        lines.append(f"meter     {product.name}: {fresh}")
    for uplink in snapshot.uplinks:
        waiting = words.waiting(uplink.half_hours, uplink.left_s) if uplink.backlog else "nothing waits"
        last = iso_utc(uplink.last_acknowledged_ms) if uplink.last_acknowledged_ms else "never"
        lines.append(
            f"uplink    {uplink.name}: {uplink.state}, {waiting}, last acknowledged {last}"
            f"{', ' + uplink.detail if uplink.detail else ''}"
        )
    if snapshot.left_s is not None and len(snapshot.uplinks) > 1:
        lines.append(f"uplinks   all that waits is delivered in {words.about(snapshot.left_s)}")
    storage = snapshot.storage
    lines.append(
        f"storage   {storage.file_bytes / 1e6:.1f} MB used, {storage.free_bytes / 1e9:.1f} GB free"
        f"{', ' + storage.problem if storage.problem else ''}"
    )
    lines += [f"{one.severity:9} {one.where}: {one.what} {one.do}" for one in snapshot.problems]
    return "\n".join(lines)

"""What the tests of all uplinks need: an authority, a store, and a database with one closed half-hour."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import Medium, ProductDescription, PropertyDescription
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, parse_iso
from meterkast.model.units import Unit
from meterkast.ports.store import Keep
from meterkast_buffer.store import SqliteStore, open_store

NOW = datetime.now(UTC)
NOON = parse_iso("2026-01-15T12:00:00+01:00")


class Authority:
    """A certificate authority of this test, and certificates it signs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._builder(
            self._subject, self._key.public_key(), NOW + timedelta(days=2)
        ).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.file = str(folder / f"{name}.pem")
        Path(self.file).write_bytes(
            certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        )

    def server(self, name: str = "localhost", until: datetime = NOW + timedelta(days=1)) -> ssl.SSLContext:
        """What a server of that name shows."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signed = (
            self._builder(subject, key.public_key(), until)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        file = self.folder / f"{self.name}-{name}.pem"
        file.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, until: datetime
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=3))
            .not_valid_after(until)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def fill() -> Callable[[Path], Coroutine[None, None, None]]:
    """Makes a database in which one half-hour of an electricity meter is closed: 84.276 kWh at noon."""

    async def filled(path: Path) -> None:
        store = await open_store(path)
        product = ProductDescription(identity="p1:E1", name="Electricity meter", medium=Medium.ELECTRICITY)
        wanted = PropertyDescription(
            key="import_total", name="Import", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
        )
        _, properties = await store.declare(product, [wanted])
        prop = properties["import_total"].id
        row = HalfHour(property_id=prop, end_ms=NOON, value=Quantity(84_276), taken_ms=NOON, count=1)
        await store.keep(Keep(now_ms=NOON, half_hours=[row], closed={(prop, HALF_HOUR_MS): NOON}))
        await store.set_state("gateway", "device_id", "mk-0123456789ab")
        await store.close()

    return filled


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(tmp_path / "meterkast.db")
    yield opened
    await opened.close()


@pytest.fixture
def in_thread() -> Callable[..., AbstractContextManager[Any]]:
    """Serves a stand-in in a thread of its own, for a command that runs its own event loop."""

    @contextmanager
    def served(serving: AbstractAsyncContextManager[Any]) -> Iterator[Any]:
        found: list[Any] = []
        started, stop = threading.Event(), threading.Event()

        async def serve() -> None:
            async with serving as server:
                found.append(server)
                started.set()
                await asyncio.to_thread(stop.wait)

        thread = threading.Thread(target=asyncio.run, args=(serve(),))
        thread.start()
        assert started.wait(60)
        yield found[0]
        stop.set()
        thread.join()

    return served

"""aiohttp is imported without authorities of its own, and every session is given them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from meterkast.uplinks import http
from meterkast.uplinks.http_probe import tls_context

LOOK = """
import os, ssl
os.environ["SSL_CERT_DIR"] = "/etc/ssl/certs"
import {first}
from aiohttp import connector
assert connector._SSL_CONTEXT_VERIFIED.verify_mode is ssl.CERT_REQUIRED
print(len(connector._SSL_CONTEXT_VERIFIED.get_ca_certs()))
print(os.environ["SSL_CERT_DIR"], os.environ.get("SSL_CERT_FILE"))
"""


@pytest.mark.parametrize("first", ["meterkast.web", "meterkast.uplinks.http", "meterkast.uplinks.socketio"])
def test_whatever_imports_it_first_its_own_context_trusts_nobody(first: str) -> None:
    given = {name: value for name, value in os.environ.items() if name != "SSL_CERT_FILE"}
    look = subprocess.run(
        [sys.executable, "-c", LOOK.format(first=first)],
        capture_output=True,
        text=True,
        env=given,
        check=True,
    )
    assert look.stdout.split() == ["0", "/etc/ssl/certs", "None"]


async def test_a_session_for_https_has_the_systems_authorities_and_one_for_plain_http_none() -> None:
    async with (
        http.session("https://reset.build:8069") as secure,
        http.session("http://127.0.0.1:8070") as plain,
    ):
        assert secure.connector is not None
        assert plain.connector is not None
        assert secure.connector._ssl is tls_context()
        assert plain.connector._ssl is True


@pytest.mark.parametrize("command", ["zwave", "status", "run", "check", "init", "p1", "outbox"])
def test_a_command_that_is_only_asked_for_does_not_import_it(command: str) -> None:
    code = f"import sys, meterkast.cli.{command}; print('aiohttp' in sys.modules)"
    look = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert look.stdout.strip() == "False"

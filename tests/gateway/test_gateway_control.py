"""The control socket and `meterkast zwave`: a real socket, the real command, a network of the test's own."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import stat
import sys
import tempfile
import types
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec.structs import replace

from meterkast.app import Gateway
from meterkast.clock import SystemClock
from meterkast.config import Config, Settings, control_socket, decode
from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError, RefusedError
from meterkast.model.time import UtcMs
from meterkast.network import (
    JobRequest,
    JobStep,
    JobView,
    Network,
    NodeView,
    PendingView,
    ValueView,
    WriteRequest,
)
from meterkast.ports import DriverStatus, LinkState
from meterkast.web import control
from meterkast_buffer import open_store
from meterkast_drivers import KINDS

NOW = UtcMs(1_763_735_825_000)  # 2025-11-21T14:37:05Z
DSK = "-28145-05232-11345-40020-55171-01209-60211"

WATER = NodeView(
    node=12,
    product_id=3,
    name="Water main",
    maker="Aeotec",
    model="Range Extender with a rather long name 7",
    type="Sensor",
    status=2,
    availability="unreachable",
    state="asleep",
    ready=True,
    detail="It should have woken up at 13:00. Check its battery and the distance.",
    security="S2_Authenticated",
    firmware="1.7",
    battery_percent=12,
    last_seen_ms=UtcMs(NOW - 7_200_000),
    wake_up_s=3600,
    route=(3, 4),
    rssi_dbm=-84,
    timeouts=3,
    values=2,
)
PLUG = NodeView(node=5, product_id=2, name="Plug", state="alive", ready=True, last_seen_ms=NOW, values=1)
VALUES = {
    12: (
        ValueView(
            value="50-0-value-197377",
            label="Water Consumption [Pulse count]",
            command_class=50,
            property_id=31,
            key="volume",
            datatype="Water consumed",
            unit="L",
            sending=True,
            newest="10360",
            at_ms=UtcMs(NOW - 12_000),
            why="Meter: water, pulses of 10 L",
        ),
        ValueView(
            value="50-0-value-200000",
            label="Something new",
            command_class=50,
            property_id=32,
            key="meter_7",
            datatype="Meter",
            generic=True,
            sending=True,
            why="no datatype of its own",
        ),
        ValueView(value="112-0-111", label="Report every", command_class=112, why="configuration parameter"),
    ),
    5: (
        ValueView(
            value="37-0-currentValue", label="Switch", command_class=37, property_id=21, key="switch",
            datatype="Switch", sending=True, receiving=True, newest="0", at_ms=NOW,
            names={"0": "Off", "255": "On"},
        ),
    ),
}  # fmt: skip


@dataclass
class MadeUpNetwork:
    """Devices and jobs that do what a test says; steps come when it calls `step`."""

    devices: tuple[NodeView, ...] = (PLUG, WATER)
    made: list[JobView] = field(default_factory=list)
    written: list[WriteRequest] = field(default_factory=list)
    outcome: str = "done"
    stubborn: bool = False
    refuses: Exception | None = None
    _news: asyncio.Condition = field(default_factory=asyncio.Condition)

    def nodes(self) -> Sequence[NodeView]:
        if self.refuses is not None:
            raise self.refuses
        return self.devices

    def values(self, node: int) -> Sequence[ValueView]:
        if node not in VALUES:
            raise RefusedError(f"There is no node {node}.", hint="List them.")
        return VALUES[node]

    async def rename(self, node: int, name: str) -> NodeView:
        if name == PLUG.name:
            raise RefusedError(f'"{name}" is the name of another device', hint="Choose another one.")
        found = next(one for one in self.devices if one.node == node)
        return replace(found, name=name)

    def jobs(self) -> Sequence[JobView]:
        return self.made

    async def start(self, request: JobRequest) -> JobView:
        if self.made and self.made[-1].state in ("running", "asking"):
            raise RefusedError("Another job is running.", hint="Wait for it, or cancel it.")
        job = JobView(id=len(self.made) + 1, request=request, state="running", left_s=request.timeout_s)
        self.made.append(job)
        return await self.step("install_start")

    async def step(self, status: str, detail: str = "", **changes: Any) -> JobView:
        async with self._news:
            job = self.made[-1]
            steps = (*job.steps, JobStep(status=status, at_ms=NOW, detail=detail))
            self.made[-1] = replace(job, steps=steps, **{"asks": "", "dsk": "", **changes})
            self._news.notify_all()
            return self.made[-1]

    async def answer(self, job: int, text: str) -> JobView:
        if not (text.isdigit() and len(text) == 5):
            raise RefusedError(f'"{text}" is no PIN', hint="Give the five digits that stand on the device.")
        return await self.step("install_configuring", f"PIN {text} taken.", state="running")

    async def cancel(self, job: int) -> JobView:
        if self.stubborn:
            await asyncio.Event().wait()
        return await self.step("install_aborted", "Cancelled.", state="failed", left_s=None)

    async def changed(self, job: int, seen: int) -> JobView:
        def news() -> bool:
            it = self.made[job - 1]
            return len(it.steps) > seen or it.state != "running"

        async with self._news:
            await self._news.wait_for(news)
            return self.made[job - 1]

    async def write(self, request: WriteRequest) -> PendingView:
        self.written.append(request)
        return self._pending(request, self.outcome)

    async def pending(self) -> Sequence[PendingView]:
        return [self._pending(request, "wakeup") for request in self.written]

    async def forget(self, pending: int) -> PendingView:
        return self._pending(self.written[pending - 1], "cancelled")

    def _pending(self, request: WriteRequest, status: str) -> PendingView:
        return PendingView(
            id=self.written.index(request) + 1,
            node=5,
            property_id=request.property_id,
            channel=0,
            command_class=37,
            parameter="",
            value=request.value,
            status=status,
            at_ms=NOW,
            eta_ms=UtcMs(NOW + 600_000) if status == "wakeup" else None,
        )


if TYPE_CHECKING:
    _fits: type[Network] = MadeUpNetwork


class StillClock(SystemClock):
    """Always the same time, so that ages can be told."""

    def now_ms(self) -> UtcMs:
        return NOW


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a socket."""
    made = Path(tempfile.mkdtemp(prefix="mk-"))
    yield made
    shutil.rmtree(made)


@dataclass
class Cli:
    """A socket that is served, and the command that asks it."""

    folder: Path
    network: MadeUpNetwork

    @property
    def socket(self) -> str:
        return str(self.folder / "control.sock")

    async def begin(self, *arguments: str, **options: Any) -> asyncio.subprocess.Process:
        environment = {**os.environ, "COLUMNS": "60", "PYTHONUNBUFFERED": "1"}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meterkast", "zwave", *arguments,
            "--config", str(self.folder / "meterkast.toml"),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env=environment, **{"stdin": asyncio.subprocess.PIPE, **options},
        )  # fmt: skip

    async def run(self, *arguments: str, said: str = "") -> tuple[int, str, str]:
        """Exit status, what it printed, and its errors."""
        process = await self.begin(*arguments)
        out, errors = await asyncio.wait_for(process.communicate(said.encode()), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), errors.decode()

    async def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, Any]:
        """Ask the socket itself."""
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(self.socket)) as session,
            session.request(method, f"http://localhost{path}", data=body) as answer,
        ):
            return answer.status, json.loads(await answer.read())


async def until(process: asyncio.subprocess.Process, word: str) -> str:
    """What a process prints, until the word comes."""
    assert process.stdout is not None
    said = b""
    while word.encode() not in said:
        more = await asyncio.wait_for(process.stdout.read(4096), 60)
        if not more:
            raise AssertionError(f"ended before it said {word!r}: {said.decode()}")
        said += more
    return said.decode()


@pytest.fixture
async def cli(folder: Path) -> AsyncIterator[Cli]:
    """The command, and a network that is served."""
    (folder / "meterkast.toml").write_text(f'[storage]\npath = "{folder}/meterkast.db"\n')
    it = Cli(folder, MadeUpNetwork())
    running = await control.serve(
        control.application({"zwave": it.network}, StillClock()), str(folder / "control.sock")
    )
    yield it
    await running.close()


# ------------------------------------------------------------------------------------------- the command


async def test_devices_are_listed_in_lines_for_a_phone(cli: Cli) -> None:
    status, out, errors = await cli.run("nodes")
    assert (status, errors) == (0, "")
    assert max(map(len, out.splitlines())) <= 60
    text = " ".join(out.split())
    for words in (
        "5 Plug: available, alive heard now",
        "12 Water main: unreachable, asleep heard 2 h ago, -84 dBm, by 3, 4, 3 time-outs",
        "security S2_Authenticated, battery 12 %, wakes up every 1 h, firmware 1.7, 2 values",
        "! It should have woken up at 13:00.",
    ):
        assert words in text, words


async def test_devices_as_json_are_what_the_gateway_says(cli: Cli) -> None:
    status, out, _ = await cli.run("nodes", "--json")
    assert status == 0
    assert [(one["node"], one["name"]) for one in json.loads(out)] == [(5, "Plug"), (12, "Water main")]


async def test_mapping_says_where_each_value_went_and_why(cli: Cli) -> None:
    status, out, _ = await cli.run("mapping", "12")
    text = " ".join(out.split())
    assert status == 0
    assert max(map(len, out.splitlines())) <= 60
    for words in (
        "Node 12, Water main: 3 values, 2 kept, 1 of them generic.",
        "-> volume (property 31): Water consumed, L",
        "reported; 10360 L, 12 s ago",
        "-> meter_7 (property 32): GENERIC, Meter",
        "112-0-111 Report every not kept configuration parameter",
    ):
        assert words in text, words


async def test_including_asks_for_the_pin_and_shows_each_step_at_once(cli: Cli) -> None:
    process = await cli.begin("include", "--product", "Boiler", "--security", "s2")
    said = await until(process, "install_start")
    assert cli.network.made[0].request == JobRequest(kind="include", product="Boiler", security="s2")
    await cli.network.step("install_searching", "Press the device's button now.")
    said += await until(process, "Press the device's button now.")
    assert "meterkast zwave jobs 1" in said.replace("\n", " ")  # where the terminal is lost
    await cli.network.step("install_found", asks="pin", dsk=DSK, state="asking", left_s=110.0)
    said += await until(process, "(110 s left): ")
    assert DSK in said.replace("\n", "")
    assert process.stdin is not None
    process.stdin.write(b"12\n")  # refused, and asked again
    said = await until(process, "(110 s left): ")
    assert '"12" is no PIN. Give the five digits' in said
    process.stdin.write(b"12345\n")
    await until(process, "PIN 12345 taken.")
    await cli.network.step("install_success", "Boiler is ready.", state="done", node=13)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, errors) == (0, b"")
    assert "Done. Node 13." in out.decode()


async def test_a_pin_that_is_known_goes_with_the_job(cli: Cli) -> None:
    process = await cli.begin("include", "--pin", "12345", "--code", DSK.lstrip("-"), "--timeout", "30")
    await until(process, "install_start")
    request = cli.network.made[0].request
    assert (request.pin, request.code, request.timeout_s) == ("12345", DSK.lstrip("-"), 30)
    await cli.network.step("install_timeout", "Nobody pressed a button.", state="failed")
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "Failed." in out.decode()


async def test_without_a_terminal_the_pin_is_not_waited_for(cli: Cli) -> None:
    process = await cli.begin("include")
    await until(process, "install_start")
    assert process.stdin is not None
    process.stdin.close()
    await cli.network.step("install_found", asks="pin", dsk=DSK, state="asking")
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    assert "--pin" in out.decode()
    assert cli.network.made[0].steps[-1].status == "install_aborted"


@pytest.mark.parametrize(
    ("arguments", "begins"),
    [
        (("include",), False),
        (("include", "--product", "Boiler", "--security", "s2"), False),
        (("replace", "12"), False),
        (("include", "--security", "s0"), True),
        (("include", "--pin", "12345"), True),
        (("include", "--code", DSK.lstrip("-")), True),
        (("exclude",), True),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
async def test_without_anybody_to_ask_nothing_is_begun_that_may_ask(
    cli: Cli, arguments: tuple[str, ...], begins: bool
) -> None:
    process = await cli.begin(*arguments, stdin=asyncio.subprocess.DEVNULL)
    if begins:
        await until(process, "install_start")
        await cli.network.step("ok", state="done")
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, len(cli.network.made)) == ((0, 1) if begins else (2, 0))
    assert (b"--pin 12345" in errors) is not begins


async def test_no_security_is_warned_of_before_anything_happens(cli: Cli) -> None:
    process = await cli.begin("include", "--security", "none")
    said = await until(process, "install_start")
    assert said.startswith("Without security anybody nearby")
    await cli.network.step("install_success", state="done")
    await asyncio.wait_for(process.communicate(), 60)


async def test_ctrl_c_cancels_the_job_and_waits_until_it_has_stopped(cli: Cli) -> None:
    process = await cli.begin("exclude")
    await until(process, "install_start")
    process.send_signal(signal.SIGINT)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, errors) == (1, b"")
    assert "Cancelling" in out.decode()
    assert "install_aborted" in out.decode()


async def test_a_second_ctrl_c_leaves_the_job_and_it_is_found_again(cli: Cli) -> None:
    cli.network.stubborn = True
    process = await cli.begin("include")
    await until(process, "install_start")
    process.send_signal(signal.SIGINT)
    await until(process, "Cancelling")
    process.send_signal(signal.SIGINT)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert (process.returncode, errors) == (130, b"")
    assert "meterkast zwave jobs 1" in out.decode()
    assert cli.network.made[0].state == "running"
    status, out_again, _ = await cli.run("jobs")
    assert (status, "1  include: runs" in out_again) == (0, True)
    following = await cli.begin("jobs", "1")
    await until(following, "install_start")
    await cli.network.step("install_success", state="done", node=9)
    rest, _ = await asyncio.wait_for(following.communicate(), 60)
    assert (following.returncode, "Done. Node 9." in rest.decode()) == (0, True)


async def test_a_refused_job_says_why_and_what_to_do(cli: Cli) -> None:
    await cli.network.start(JobRequest(kind="heal"))
    status, out, errors = await cli.run("remove", "12")
    assert (status, out) == (1, "")
    assert errors == "meterkast: Another job is running.\n  Wait for it, or cancel it.\n"
    status, out, _ = await cli.run("jobs", "--cancel", "1")
    assert (status, "install_aborted" in out) == (0, True)


async def test_a_device_gets_a_name(cli: Cli) -> None:
    status, out, _ = await cli.run("name", "12", "Cold water")
    assert (status, 'Device 12 is "Cold water" now' in out) == (0, True)
    status, _, errors = await cli.run("name", "12", "Plug")
    assert status == 1
    assert errors == 'meterkast: "Plug" is the name of another device\n  Choose another one.\n'


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        (("exclude", "--product", "Plug"), JobRequest(kind="exclude", product="Plug")),
        (("remove", "12"), JobRequest(kind="remove", node=12)),
        (("replace", "12", "--security", "s0"), JobRequest(kind="replace", node=12, security="s0")),
        (("interview", "12"), JobRequest(kind="interview", node=12)),
        (("heal",), JobRequest(kind="heal")),
        (("heal", "12"), JobRequest(kind="heal", node=12)),
        (("backup",), JobRequest(kind="backup")),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, tuple) else "",
)
async def test_each_job_is_asked_for_as_it_was_written(
    cli: Cli, arguments: tuple[str, ...], request_: JobRequest
) -> None:
    process = await cli.begin(*arguments)
    await until(process, "install_start")
    assert cli.network.made[0].request == request_
    await cli.network.step("ok", state="done")
    await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        ("done", 0, "confirmed by the device"),
        ("wakeup", 3, "waits for the device to wake up, expected"),
        ("failed", 1, "failed"),
    ],
)
async def test_setting_a_value_is_done_only_when_it_is_confirmed(
    cli: Cli, outcome: str, status: int, words: str
) -> None:
    cli.network.outcome = outcome
    result, out, _ = await cli.run("set", "plug/switch", "on")
    assert (result, words in " ".join(out.split())) == (status, True)
    assert cli.network.written == [WriteRequest(property_id=21, value="on")]


async def test_a_property_is_found_by_its_id_its_product_or_not_at_all(cli: Cli) -> None:
    assert (await cli.run("set", "77", "-5.5", "--reset-meter"))[0] == 0
    assert cli.network.written == [WriteRequest(property_id=77, value="-5.5", reset_meter=True)]
    assert (await cli.run("set", "2/switch", "0"))[0] == 0
    assert cli.network.written[-1].property_id == 21
    status, _, errors = await cli.run("set", "Plug/dimmer", "50")
    assert (status, "It has: switch." in errors) == (2, True)
    status, _, errors = await cli.run("set", "Lamp/switch", "on")
    assert (status, "meterkast zwave nodes" in errors) == (2, True)
    cli.network.devices = (PLUG, replace(WATER, name="Plug"))
    status, _, errors = await cli.run("set", "Plug/switch", "on")
    assert (status, "2 (node 5), 3 (node 12)" in errors) == (2, True)


async def test_values_on_their_way_are_listed_and_taken_back(cli: Cli) -> None:
    assert (await cli.run("pending"))[1] == "Nothing is on its way to a device.\n"
    _, out, _ = await cli.run("set", "21", "255")
    assert "1  Plug/switch = On (255)" in out
    await cli.run("set", "77", "5")
    status, out, _ = await cli.run("pending")
    assert (status, "1  Plug/switch = On (255)" in out, "expected" in out) == (0, True, True)
    assert "2  node 5, property 77 = 5" in out, "one that is not known any more"
    status, out, _ = await cli.run("pending", "--cancel", "1")
    assert (status, "Plug/switch = On (255)" in out, "cancelled" in out) == (0, True, True)
    assert "reported and can be set; Off (0), now" in (await cli.run("mapping", "5"))[1]


async def test_without_a_gateway_it_says_how_to_start_it(folder: Path) -> None:
    (folder / "meterkast.toml").write_text(f'[storage]\npath = "{folder}/meterkast.db"\n')
    status, out, errors = await Cli(folder, MadeUpNetwork()).run("nodes")
    assert (status, out) == (2, "")
    assert "systemctl start meterkast" in errors
    assert "Traceback" not in errors


async def test_a_path_is_shown_in_one_piece(cli: Cli) -> None:
    process = await cli.begin("backup")
    await until(process, "install_start")
    path = f"/var/lib/meterkast/{'x' * 60}/nvm-20261121T170549Z-7e570001.bin"
    await cli.network.step("backup_success", f"The stick's memory is saved as {path}.", state="done")
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert path in out.decode()


async def test_several_drivers_need_a_name(folder: Path) -> None:
    (folder / "meterkast.toml").write_text(f'[control]\nsocket = "{folder}/here.sock"\n')
    networks = {"zwave.cellar": MadeUpNetwork(), "zwave.roof": MadeUpNetwork(devices=())}
    running = await control.serve(control.application(networks, StillClock()), f"{folder}/here.sock")
    it = Cli(folder, MadeUpNetwork())
    try:
        status, _, errors = await it.run("nodes")
        assert (status, "zwave.cellar, zwave.roof" in errors, "--driver" in errors) == (2, True, True)
        assert "Plug" in (await it.run("nodes", "--driver", "zwave.cellar"))[1]
        assert "There are no devices yet" in (await it.run("nodes", "--driver", "zwave.roof"))[1]
        assert (await it.run("nodes", "--driver", "zwave"))[0] == 2
    finally:
        await running.close()


# -------------------------------------------------------------------------------------------- the socket


async def test_only_its_user_may_open_it_and_it_goes_with_the_gateway(cli: Cli, folder: Path) -> None:
    assert stat.S_IMODE(os.stat(cli.socket).st_mode) == 0o600
    other = await control.serve(control.application({}, StillClock()), f"{folder}/other.sock")
    await other.close()
    assert not (folder / "other.sock").exists()


async def test_a_socket_left_by_a_killed_gateway_is_replaced(folder: Path) -> None:
    path = f"{folder}/control.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)
    running = await control.serve(control.application({}, StillClock()), path)
    await running.close()


async def test_a_socket_or_file_of_somebody_else_is_left_alone(cli: Cli, folder: Path) -> None:
    with pytest.raises(ConfigError, match="in use"):
        await control.serve(control.application({}, StillClock()), cli.socket)
    assert (await cli.ask("GET", "/drivers"))[0] == 200
    letter = folder / "letter"
    letter.write_text("dear")
    with pytest.raises(ConfigError, match="no socket"):
        await control.serve(control.application({}, StillClock()), str(letter))
    assert letter.read_text() == "dear"
    with pytest.raises(ConfigError, match="cannot be made"):
        await control.serve(control.application({}, StillClock()), f"{folder}/no/control.sock")


def test_a_path_that_is_too_long_for_a_socket_names_its_cure() -> None:
    long = decode(Config, {"storage": {"path": f"/{'x' * 100}/meterkast.db"}})
    with pytest.raises(ConfigError, match="107 bytes") as caught:
        control_socket(long)
    assert "control.socket" in caught.value.hint
    assert control_socket(decode(Config, {"control": {"socket": "/run/m.sock"}})) == "/run/m.sock"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "words"),
    [
        ("POST", "/zwave/jobs", b"{", 400, "not understood"),
        ("POST", "/zwave/jobs", b'{"kind": "explode"}', 400, "explode"),
        ("POST", "/zwave/jobs", b"{}", 400, "kind"),
        ("POST", "/zwave/write", b'{"property_id": "x", "value": "1"}', 400, "property_id"),
        ("POST", "/zwave/jobs/1/answer", b"[]", 400, "not understood"),
        ("POST", "/zwave/jobs", b"x" * 20_000, 413, "Too Large"),
        ("GET", "/zwave/nodes/x/values", None, 400, "not a number"),
        ("GET", "/zwave/nodes/99/values", None, 409, "no node 99"),
        ("GET", "/zwave/jobs/7", None, 409, "there is no job 7"),
        ("GET", "/zwave/jobs/1?seen=-1", None, 400, "seen"),
        ("GET", f"/zwave/jobs/1?seen={'9' * 5000}", None, 400, "seen"),
        ("GET", "/knx/nodes", None, 404, "knx"),
        ("GET", "/zwave/secrets", None, 404, "Not Found"),
        ("PUT", "/zwave/nodes", None, 405, "Not Allowed"),
    ],
)
async def test_odd_questions_are_refused_in_words(
    cli: Cli, method: str, path: str, body: bytes | None, status: int, words: str
) -> None:
    answered, content = await cli.ask(method, path, body)
    assert (answered, set(content)) == (status, {"error", "hint"})
    assert words in content["error"]
    assert cli.network.made == []


async def test_a_fault_in_a_network_is_told_without_its_trace(
    cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    cli.network.refuses = ZeroDivisionError("division by zero")
    assert (await cli.ask("GET", "/zwave/nodes"))[0] == 500
    assert "control failed" in caplog.text
    cli.network.refuses = LinkLostError("The stick is gone.", hint="Plug it in.")
    status, content = await cli.ask("GET", "/zwave/nodes")
    assert (status, content) == (503, {"error": "The stick is gone.", "hint": "Plug it in."})
    assert (await cli.ask("GET", "/drivers"))[0] == 200


async def test_a_long_question_is_answered_in_the_end(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "POLL_S", 0.05)
    job = await cli.network.start(JobRequest(kind="heal"))
    status, content = await cli.ask("GET", f"/zwave/jobs/{job.id}?seen=1")
    assert (status, len(content["steps"]), content["state"]) == (200, 1, "running")


# ------------------------------------------------------------------------------------------- the gateway


class NetworkDriver:
    """A driver that has devices and reads nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.network = MadeUpNetwork()

    async def run(self, emit: Any) -> None:
        await asyncio.Event().wait()

    def status(self) -> DriverStatus:
        return DriverStatus(state=LinkState.READING, detail="", counters={})


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kind of driver that a configuration may name as [drivers.made_up]."""
    module = types.ModuleType("made_up_driver")
    module.Settings = type("Settings", (Settings,), {}, frozen=True)  # type: ignore[attr-defined]
    module.create = lambda name, settings, inventory, clock: NetworkDriver(name)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up_driver", module)
    monkeypatch.setitem(KINDS, "made_up", "made_up_driver")


async def run_gateway(folder: Path, **tree: Any) -> tuple[asyncio.Task[None], asyncio.Event, Any]:
    """A gateway that runs, what stops it, and its store."""
    config = decode(
        Config, {"storage": {"path": str(folder / "gateway.db")}, "page": {"enabled": False}, **tree}
    )
    store = await open_store(folder / "gateway.db")
    gateway = Gateway(config, SystemClock(), store, "mk-test")
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(gateway.run(stop, lambda url: ready.set()))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait((running, waiting), timeout=60, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
    return running, stop, store


async def test_a_gateway_with_a_network_has_the_socket_while_it_runs(folder: Path, kind: None) -> None:
    running, stop, store = await run_gateway(folder, drivers={"made_up": {}})
    status, content = await Cli(folder, MadeUpNetwork()).ask("GET", "/made_up/nodes")
    assert (status, [one["name"] for one in content]) == (200, ["Plug", "Water main"])
    stop.set()
    await asyncio.wait_for(running, 60)
    assert not (folder / "control.sock").exists()
    await store.close()


async def test_a_device_that_is_half_in_the_network_is_seen(
    folder: Path, kind: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("meterkast.pipeline.newcomers.PATIENCE_S", -1.0)
    store = await open_store(folder / "gateway.db")
    gateway = Gateway(
        decode(Config, {"storage": {"path": str(folder / "gateway.db")}, "drivers": {"made_up": {}}}),
        SystemClock(),
        store,
        "mk-test",
    )
    network: Any = gateway.networks["made_up"]
    network.devices = (PLUG, NodeView(node=30, state="asleep"))
    gateway.examiner.snapshot()
    snapshot = gateway.examiner.snapshot()
    (told,) = [one for one in snapshot.problems if one.where == "device 30"]
    assert (snapshot.verdict != "ok", told.severity) == (True, "attention")
    assert "Wake it up by its button" in told.do
    looking = asyncio.create_task(gateway.examiner.run())
    await asyncio.sleep(0)
    assert not looking.done()
    looking.cancel()
    await store.close()


async def test_a_long_question_does_not_hold_a_stop(folder: Path, kind: None) -> None:
    running, stop, store = await run_gateway(folder, drivers={"made_up": {}})
    cli = Cli(folder, MadeUpNetwork())
    body = {"kind": "include"}
    status, job = await cli.ask("POST", "/made_up/jobs", json.dumps(body).encode())
    assert status == 200
    asking = asyncio.create_task(cli.ask("GET", f"/made_up/jobs/{job['id']}?seen=9"))
    await asyncio.sleep(0.2)
    stop.set()
    # Far less than the 25 s that the question is held for.
    await asyncio.wait_for(running, control.POLL_S / 2)
    await asyncio.gather(asking, return_exceptions=True)
    await store.close()


async def test_a_door_that_breaks_does_not_stop_metering(
    folder: Path, kind: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: Any) -> None:
        raise OSError("no sockets left")

    monkeypatch.setattr(control, "serve", broken)
    running, stop, store = await run_gateway(folder, drivers={"made_up": {}})
    assert "no control socket" in caplog.text
    await asyncio.sleep(0.1)
    assert not running.done()
    stop.set()
    await asyncio.wait_for(running, 60)
    await store.close()


async def test_a_gateway_without_a_network_has_none(folder: Path) -> None:
    running, stop, store = await run_gateway(folder)
    assert not (folder / "control.sock").exists()
    stop.set()
    await asyncio.wait_for(running, 60)
    await store.close()


async def test_a_socket_that_cannot_be_made_does_not_stop_metering(
    folder: Path, kind: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("meterkast.pipeline.door.RETRY_S", 0.05)
    path = folder / "late" / "control.sock"
    running, stop, store = await run_gateway(folder, drivers={"made_up": {}}, control={"socket": str(path)})
    assert "no control socket" in caplog.text
    path.parent.mkdir()
    for _ in range(600):
        if path.exists():
            break
        await asyncio.sleep(0.05)
    assert path.exists()
    stop.set()
    await asyncio.wait_for(running, 60)
    await store.close()

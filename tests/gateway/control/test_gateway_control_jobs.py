"""`meterkast zwave`: including, excluding and all that takes its time, step by step."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

import pytest

from meterkast.network import JobRequest

DSK = "-28145-05232-11345-40020-55171-01209-60211"


async def test_including_asks_for_the_pin_and_shows_each_step_at_once(cli: Any) -> None:
    process = await cli.begin("include", "--product", "Boiler", "--security", "s2")
    said = await cli.until(process, "install_start")
    assert cli.network.made[0].request == JobRequest(kind="include", product="Boiler", security="s2")
    await cli.network.step("install_searching", "Press the device's button now.")
    said += await cli.until(process, "Press the device's button now.")
    assert "meterkast zwave jobs 1" in said.replace("\n", " ")  # where the terminal is lost
    await cli.network.step("install_found", asks="pin", dsk=DSK, state="asking", left_s=110.0)
    said += await cli.until(process, "(110 s left): ")
    assert DSK in said.replace("\n", "")
    assert process.stdin is not None
    process.stdin.write(b"12\n")  # refused, and asked again
    said = await cli.until(process, "(110 s left): ")
    assert '"12" is no PIN. Give the five digits' in said
    process.stdin.write(b"12345\n")
    await cli.until(process, "PIN 12345 taken.")
    await cli.network.step("install_success", "Boiler is ready.", state="done", node=13)
    status, out, errors = await cli.rest(process)
    assert (status, errors) == (0, "")
    assert "Done. Node 13." in out


async def test_a_pin_that_is_known_goes_with_the_job(cli: Any) -> None:
    process = await cli.begin("include", "--pin", "12345", "--code", DSK.lstrip("-"), "--timeout", "30")
    await cli.until(process, "install_start")
    request = cli.network.made[0].request
    assert (request.pin, request.code, request.timeout_s) == ("12345", DSK.lstrip("-"), 30)
    await cli.network.step("install_timeout", "Nobody pressed a button.", state="failed")
    status, out, _ = await cli.rest(process)
    assert (status, "Failed." in out) == (1, True)


async def test_without_a_terminal_the_pin_is_not_waited_for(cli: Any) -> None:
    process = await cli.begin("include")
    await cli.until(process, "install_start")
    assert process.stdin is not None
    process.stdin.close()
    await cli.network.step("install_found", asks="pin", dsk=DSK, state="asking")
    status, out, _ = await cli.rest(process)
    assert (status, "--pin" in out) == (1, True)
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
    cli: Any, arguments: tuple[str, ...], begins: bool
) -> None:
    process = await cli.begin(*arguments, stdin=asyncio.subprocess.DEVNULL)
    if begins:
        await cli.until(process, "install_start")
        await cli.network.step("ok", state="done")
    status, _, errors = await cli.rest(process)
    assert (status, len(cli.network.made)) == ((0, 1) if begins else (2, 0))
    assert ("--pin 12345" in errors) is not begins


async def test_no_security_is_warned_of_before_anything_happens(cli: Any) -> None:
    process = await cli.begin("include", "--security", "none")
    said = await cli.until(process, "install_start")
    assert said.startswith("Without security anybody nearby")
    await cli.network.step("install_success", state="done")
    await cli.rest(process)


async def test_ctrl_c_cancels_the_job_and_waits_until_it_has_stopped(cli: Any) -> None:
    process = await cli.begin("exclude")
    await cli.until(process, "install_start")
    process.send_signal(signal.SIGINT)
    status, out, errors = await cli.rest(process)
    assert (status, errors) == (1, "")
    assert "Cancelling" in out
    assert "install_aborted" in out


async def test_a_second_ctrl_c_leaves_the_job_and_it_is_found_again(cli: Any) -> None:
    cli.network.stubborn = True
    process = await cli.begin("include")
    await cli.until(process, "install_start")
    process.send_signal(signal.SIGINT)
    await cli.until(process, "Cancelling")
    process.send_signal(signal.SIGINT)
    status, out, errors = await cli.rest(process)
    assert (status, errors) == (130, "")
    assert "meterkast zwave jobs 1" in out
    assert cli.network.made[0].state == "running"
    status, out, _ = await cli.run("jobs")
    assert (status, "1  include: runs" in out) == (0, True)
    following = await cli.begin("jobs", "1")
    await cli.until(following, "install_start")
    await cli.network.step("install_success", state="done", node=9)
    status, out, _ = await cli.rest(following)
    assert (status, "Done. Node 9." in out) == (0, True)


async def test_a_refused_job_says_why_and_what_to_do(cli: Any) -> None:
    await cli.network.start(JobRequest(kind="heal"))
    status, out, errors = await cli.run("remove", "12")
    assert (status, out) == (1, "")
    assert errors == "meterkast: Another job is running.\n  Wait for it, or cancel it.\n"
    status, out, _ = await cli.run("jobs", "--cancel", "1")
    assert (status, "install_aborted" in out) == (0, True)


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
    cli: Any, arguments: tuple[str, ...], request_: JobRequest
) -> None:
    process = await cli.begin(*arguments)
    await cli.until(process, "install_start")
    assert cli.network.made[0].request == request_
    await cli.network.step("ok", state="done")
    assert (await cli.rest(process))[0] == 0


async def test_a_path_is_shown_in_one_piece(cli: Any) -> None:
    process = await cli.begin("backup")
    await cli.until(process, "install_start")
    path = f"/var/lib/meterkast/{'x' * 60}/nvm-20261121T170549Z-7e570001.bin"
    await cli.network.step("backup_success", f"The stick's memory is saved as {path}.", state="done")
    assert path in (await cli.rest(process))[1]

"""Follows a job on the terminal: its steps as they come, the PIN when it is wanted, Ctrl-C to cancel it."""

from __future__ import annotations

import io
import select
import sys
from datetime import tzinfo

from meterkast.cli.control import Control
from meterkast.cli.zwave_text import clock_time, wrapped
from meterkast.model.errors import RefusedError
from meterkast.network import JobView

INTERRUPTED = 130


def follow(control: Control, job: JobView, where: tzinfo) -> int:
    """Show a job until it has ended.

    The first Ctrl-C cancels it and waits until it has stopped; the second leaves it running.

    Returns:
        0 where it is done, 1 where it failed, 130 where it was left.
    """
    shown = _Shown(where)
    if job.state in ("running", "asking"):
        _say(
            f"Job {job.id}. It goes on if this terminal is lost; "
            f"follow it again: meterkast zwave jobs {job.id}"
        )
    try:
        try:
            ended = _until_ended(control, job, shown)
        except KeyboardInterrupt:
            _say("\nCancelling, and waiting until it has stopped. Ctrl-C again leaves it to itself.")
            ended = _cancelled(control, job, shown)
    except KeyboardInterrupt:
        _say(f"\nLeft. Find it again: meterkast zwave jobs {job.id}")
        return INTERRUPTED
    if ended.state == "done":
        about = "" if ended.node is None else f" Node {ended.node}."
        _say(f"Done.{about}")
        return 0
    _say("Failed. The last line above says why.")
    return 1


def can_answer() -> bool:
    """Whether somebody may yet type: not where the input is at its end, as /dev/null is."""
    if sys.stdin is None or sys.stdin.closed:
        return False
    if sys.stdin.isatty() or not select.select([sys.stdin], [], [], 0)[0]:
        return True
    typed = sys.stdin.buffer
    return not isinstance(typed, io.BufferedReader) or bool(typed.peek(1))


def _until_ended(control: Control, job: JobView, shown: _Shown) -> JobView:
    shown.show(job)
    while job.state in ("running", "asking"):
        job = _pin(control, job) if job.asks == "pin" else control.changed(job.id, shown.seen)
        shown.show(job)
    return job


def _pin(control: Control, job: JobView) -> JobView:
    left = "" if job.left_s is None else f" ({job.left_s:.0f} s left)"
    _say(f"The device's key: {job.dsk}")
    try:
        text = input(f"The five underlined digits{left}: ")
    except EOFError:
        _say("There is no terminal to ask. Cancelling; start again with --pin 12345.")
        return control.cancel(job.id)
    try:
        return control.answer(job.id, text.strip())
    except RefusedError as error:
        # Too late, or no PIN: the job says itself how it ends, or asks again.
        _say(_refusal(error))
        return control.job(job.id)


def _refusal(error: RefusedError) -> str:
    return f"{str(error).rstrip('.')}. {error.hint}"


def _cancelled(control: Control, job: JobView, shown: _Shown) -> JobView:
    try:
        job = control.cancel(job.id)
    except RefusedError as error:
        # It ended at the same moment, or cannot be stopped where it is.
        _say(_refusal(error))
        job = control.job(job.id)
    shown.show(job)
    while job.state in ("running", "asking"):
        job = control.changed(job.id, shown.seen)
        shown.show(job)
    return job


class _Shown:
    """Prints the steps that were not printed yet."""

    def __init__(self, where: tzinfo) -> None:
        self._where = where
        self.seen = 0

    def show(self, job: JobView) -> None:
        for step in job.steps[self.seen :]:
            _say(
                f"{clock_time(step.at_ms, self._where)} {step.status}"
                + (f"\n         {step.detail}" if step.detail else "")
            )
        self.seen = max(self.seen, len(job.steps))


def _say(text: str) -> None:
    for line in text.split("\n"):
        indent = line[: len(line) - len(line.lstrip())]
        print(wrapped(line.strip(), indent) if line.strip() else "", flush=True)

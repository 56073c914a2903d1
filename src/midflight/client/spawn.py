"""Starts a host that outlives whoever asked for it: in the background, in a session of its own."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from midflight.agents.process.reaper import MARKER
from midflight.errors import StoreFailed
from midflight.journal.location import Place
from midflight.lineage import VARIABLE

__all__ = ["Ready", "start_host"]

START_TIMEOUT_S = 30.0
"""How long a host may take until it answers."""

MAX_LOG_BYTES = 1_000_000
"""A longer log is begun anew."""

# An agent that has this done ends one day with all that carries its marker; the host stays.
# The shell ends at once, so the host is nobody's child and leaves no zombie behind.
_DETACH = '"$@" &'


class Ready(msgspec.Struct, frozen=True):
    """What a host says on its first line: where it answers, or why it cannot."""

    address: str = ""
    error: str = ""
    hint: str = ""


async def start_host(where: Path | str | None = None) -> str:
    """Start a host in the background and return its address. Raises `StoreFailed`.

    What it has to complain of goes to ``hosts.log`` in the journal's folder.
    """
    return await asyncio.to_thread(_start, where)


def _log(where: Path | str | None) -> int:
    """Open the file for what hosts in the background complain of; only the user can read it."""
    place = Place(Path(where) if where is not None and "://" not in str(where) else None)
    file = place.open_file(place.folder / "hosts.log")
    if os.fstat(file).st_size > MAX_LOG_BYTES:
        os.ftruncate(file, 0)
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return file


def _start(where: Path | str | None) -> str:
    log = _log(where)
    reading, writing = os.pipe()
    # -P: a folder to work in may hold files that are named like modules, and they are not ours.
    command = [sys.executable, "-P", "-m", "midflight.cli.main", "host", "--ready", str(writing)]
    if where is not None:
        command += ["--journal", str(where)]
    try:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            pass_fds=[writing],
            env={k: v for k, v in os.environ.items() if k not in {MARKER, VARIABLE}},
            timeout=START_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(reading)
        raise StoreFailed(f"no host could be started: {error}", "midflight doctor") from error
    finally:
        os.close(writing)
        os.close(log)
    return _wait(reading)


def _wait(reading: int) -> str:
    """Wait for the host's first line."""
    import select

    line = b""
    with os.fdopen(reading, "rb", buffering=0) as pipe:
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([pipe], [], [], START_TIMEOUT_S)
            piece = pipe.read(65_536) if readable else b""
            if not piece:
                break
            line += piece
    try:
        ready = msgspec.json.decode(line, type=Ready)
    except msgspec.MsgspecError:
        raise StoreFailed("the host in the background did not start", "midflight doctor") from None
    if not ready.address:
        raise StoreFailed(ready.error, ready.hint)
    return ready.address

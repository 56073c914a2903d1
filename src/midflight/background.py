"""Starts a host that outlives whoever asked for it: in the background, in a session of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import msgspec

from midflight.agents.leash import MARKER
from midflight.errors import StoreFailed
from midflight.lineage import VARIABLE

__all__ = ["Ready", "start_host"]

START_TIMEOUT_S = 30.0
"""How long a host may take until it answers."""

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

    Its standard error goes to a file in the journal's folder, which only the user can read.
    """
    return await asyncio.to_thread(_start, where)


def _start(where: Path | str | None) -> str:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "midflight.cli.main", "host", "--ready", str(writing)]
    if where is not None:
        command += ["--journal", str(where)]
    try:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            pass_fds=[writing],
            env={k: v for k, v in os.environ.items() if k not in {MARKER, VARIABLE}},
            timeout=START_TIMEOUT_S,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise StoreFailed(f"no host could be started: {error}", "midflight doctor") from error
    finally:
        os.close(writing)
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

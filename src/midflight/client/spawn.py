"""Starts a host that outlives its caller: in the background, in a session of its own."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import AsyncIterator

import msgspec

from midflight._util.file_lock import lock
from midflight._util.own_variables import JOURNAL, TOKEN
from midflight.address import Address
from midflight.agents.process.reaper import MARKER
from midflight.errors import StoreFailed
from midflight.journal.choice import JournalAddress
from midflight.lineage import SESSION_VARIABLE

NOTIFY_VARIABLE = "MIDFLIGHT_NOTIFY"
"""The environment variable with the address of ``--notify``, for a host that is started."""

START_TIMEOUT_S = 30.0
"""How long a host may take until it answers."""

WAIT_S = 5.0
"""How long a host that another process starts is waited for: that process may hang."""

MAX_LOG_BYTES = 1_000_000
"""A longer log is begun anew."""

# An agent that has this done ends one day with all that carries its marker; the host stays.
# The shell ends at once, so the host is no child of ours and leaves no zombie behind.
_DETACH = '"$@" &'


class Ready(msgspec.Struct, frozen=True):
    """The first line that a host writes: where it answers, or why it cannot."""

    address: str = ""
    error: str = ""
    hint: str = ""


async def start_host(
    journal: JournalAddress, *, notify: str = "", park_after: float | None = None
) -> Address:
    """Start a host in the background and return its address. Raises `StoreFailed`.

    ``notify`` is the address of apprise that it reports to, ``park_after`` how many quiet seconds
    a session has until it parks it. Its errors go to ``hosts.log`` in the journal's folder.
    """
    return Address.parse(await asyncio.to_thread(_start, journal, notify, park_after))


@contextlib.asynccontextmanager
async def one_at_a_time(journal: JournalAddress) -> AsyncIterator[None]:
    """Start no host while another process starts one, which is waited for `WAIT_S` at most."""
    location = journal.location
    file = location.open_file(location.folder / "hosts.lock")
    try:
        with contextlib.suppress(TimeoutError):
            await lock(file, WAIT_S)
        yield
    finally:
        os.close(file)


def host_environment(notify: str = "") -> dict[str, str]:
    """Return what a host in the background is started with: no marks of an agent, and no token.

    Its journal comes to it: by the environment too, since others can read its arguments.
    """
    out = {MARKER, SESSION_VARIABLE, TOKEN, JOURNAL}
    env = {k: v for k, v in os.environ.items() if k not in out}
    return env | ({NOTIFY_VARIABLE: notify} if notify else {})


def host_log(journal: JournalAddress) -> int:
    """Open the file for the errors of hosts in the background; only the user can read it."""
    location = journal.location
    file = location.open_file(location.folder / "hosts.log")
    if os.fstat(file).st_size > MAX_LOG_BYTES:
        os.ftruncate(file, 0)
    fcntl.fcntl(file, fcntl.F_SETFL, os.O_APPEND)
    return file


def _start(journal: JournalAddress, notify: str, park_after: float | None) -> str:
    log = host_log(journal)
    reading, writing = os.pipe()
    # -P: a folder to work in may hold files that are named like modules, and they are not ours.
    command = [sys.executable, "-P", "-m", "midflight.cli.main", "host", "--ready", str(writing)]
    if park_after is not None:
        command += ["--park-after", str(park_after)]
    try:
        subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
            pass_fds=[writing],
            env=host_environment(notify) | ({JOURNAL: journal.whole} if journal.whole else {}),
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

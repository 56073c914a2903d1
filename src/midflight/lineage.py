"""Which session an agent belongs to, in the environment of everything that the agent starts.

Each agent has `SESSION_VARIABLE` in its environment, and so has every program that it starts:
midflight's own programs know by it whose session would be steering. It stops a model that is talked
into something, not a program that hides where it comes from.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from midflight.options import Options

SESSION_VARIABLE = "MIDFLIGHT_SESSION"
"""The environment variable with the ids of sessions, joined by slashes: the last is the agent's."""

UNKNOWN = "?"
"""Stands for the session of a program that several sessions share, or that is started early."""


def inside(pid: int | None = None) -> tuple[str, ...]:
    """Return the sessions inside of whose agents a process runs, the outermost first.

    Without a ``pid`` it is this process. Of others it is known on Linux only, and of programs of
    the same user: nothing is returned where it cannot be seen.
    """
    path = os.environ.get(SESSION_VARIABLE, "") if pid is None else _variable(pid)
    return tuple(filter(None, path.split("/")))


def _variable(pid: int) -> str:
    """Return what another process was started with, or nothing."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return ""
    begin = f"{SESSION_VARIABLE}=".encode()
    values = (
        line.removeprefix(begin) for line in environment.split(b"\0") if line.startswith(begin)
    )
    return next(values, b"").decode(errors="replace")


def own() -> str:
    """Return the session whose agent has started this process, or nothing."""
    return inside()[-1] if inside() else ""


def marked(options: Options, session: str, *, kept: bool = True) -> Options:
    """Return the options with which an agent knows its session.

    The journal knows the ancestors of a session that is ``kept`` in it; another one brings them.
    """
    path = (session,) if kept else (*inside(), session)
    return msgspec.structs.replace(options, env={**options.env, SESSION_VARIABLE: "/".join(path)})

"""Which session an agent belongs to, in the environment of everything that the agent starts.

Each agent has `SESSION_VARIABLE` in its environment, and so has every program that it starts:
midflight's own programs know by it whose session would be steering. A program that has lost the
variable is known by those that have started it. It stops a model that is talked into something,
not a program that hides where it comes from.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

from midflight import environment
from midflight._util.process_environment import StartedProcess, above, every, has_proc, look
from midflight.options import Options

SESSION_VARIABLE = "MIDFLIGHT_SESSION"
"""The environment variable with the ids of sessions, joined by slashes: the last is the agent's."""

UNKNOWN = "?"
"""Stands for the session of a program that several sessions share, or that is started early."""

UNKEPT = "~"
"""Stands before the id of a session that is in no journal; no other id begins with it."""


def inside() -> tuple[str, ...]:
    """Return the sessions inside of whose agents this process runs, the outermost first.

    Where there is no ``/proc`` that is what its environment says.
    """
    mine = StartedProcess(dict(os.environ), os.getppid())
    return _sessions([mine, *(above(mine.parent) if has_proc() else ())])


def inside_of(pid: int) -> tuple[str, ...] | None:
    """Return the same of another process; None where the system does not tell.

    One that has ended meanwhile is of `UNKNOWN`: what it was is not seen any more.
    """
    if not pid:
        return None
    try:
        process = look(pid)
    except ProcessLookupError:
        return (UNKNOWN,)
    found = _sessions([process, *above(process.parent)])
    return None if process.environment is None and not found else found


def _sessions(processes: Iterable[StartedProcess]) -> tuple[str, ...]:
    """Return the sessions of a process and those above it, the nearest of which comes first.

    What is not known of one is known where one that it has started says it.
    """
    found: list[str] = []
    for process in processes:
        path = (process.environment or {}).get(SESSION_VARIABLE, "")
        for session in filter(None, reversed(path.split("/"))):
            if session not in found and (session != UNKNOWN or not found):
                found.append(session)
    return tuple(reversed(found))


def plain(session: str) -> str:
    """Return the id of a session without the mark of one that is in no journal."""
    return session.removeprefix(UNKEPT)


def unkept() -> dict[str, tuple[str, ...]]:
    """Return the sessions in no journal that are at work: their ids, and what is above each.

    They are known by the environment of their agents' programs. It looks at all processes.
    """
    found: dict[str, tuple[str, ...]] = {}
    for process in every():
        path = (process.environment or {}).get(SESSION_VARIABLE, "").split("/")
        for place, session in enumerate(path):
            if session.startswith(UNKEPT):
                found[plain(session)] = tuple(map(plain, path[:place]))
    return found


def marked(
    options: Options,
    session: str,
    *,
    kept: bool = True,
    terminal: Mapping[str, str] | None = None,
) -> Options:
    """Return the options with which an agent knows its session, and where that was begun.

    The journal knows the ancestors of a session that is ``kept`` in it; another one brings them.
    ``terminal`` has the variables of the terminal; default: those of this process.
    """
    path = (session,) if kept else (*inside(), f"{UNKEPT}{session}")
    place = environment.terminal(os.environ) if terminal is None else terminal
    env = {**place, **options.env, SESSION_VARIABLE: "/".join(path)}
    return msgspec.structs.replace(options, env=env)

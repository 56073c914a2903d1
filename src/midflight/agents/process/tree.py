"""Process trees: who belongs to an agent, and how they all end.

A process belongs to an agent if it descends from the agent's program, or carries the agent's
marker in its environment. The marker finds children that were orphaned or that started a session
of their own. Identity is the process id with its birth time, so a reused id is never hit.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable

import psutil

from midflight.agents.process.reaper import MARKER

TERM_GRACE_S = 0.5
KILL_GRACE_S = 2.0
HOLD_GRACE_S = 0.2
"""How long a process may take to be suspended."""

LOOK_S = 0.002
RUNNING = (psutil.STATUS_RUNNING, psutil.STATUS_SLEEPING)

SLACK_S = 0.5
"""How much earlier than noticed a process may have been born: we may be busy, clocks are coarse."""

TIGHT_SLACK_S = 0.02
"""The same, where something born a moment before must be spared."""


def of(pid: int, marker: str) -> list[psutil.Process]:
    """Return the agent's program and everything that belongs to it, as far as it lives."""
    found: dict[int, psutil.Process] = {}
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        if marker_of(root) == marker:
            found = {p.pid: p for p in [root, *root.children(recursive=True)]}
    for process in psutil.process_iter():
        if process.pid not in found and process.pid != os.getpid() and marker_of(process) == marker:
            found[process.pid] = process
            with contextlib.suppress(psutil.Error):
                found.update({p.pid: p for p in process.children(recursive=True)})
    return list(found.values())


def marker_of(process: psutil.Process) -> str | None:
    """Return the marker that a process carries, None if it has none or it cannot be read."""
    try:
        value: str | None = process.environ().get(MARKER)
    except (psutil.Error, OSError):
        return None
    return value


def born_after(pid: int, marker: str, age_s: float, *, detached: bool) -> list[psutil.Process]:
    """Return what the agent's program started when it was this old or later, with descendants.

    With ``detached`` also those that only the marker reveals: without, work that began before and
    runs on in the background is safe. The agent's age is a clock that both sides share: birth times
    count from the boot of the machine, and the wall clock may have been set since.
    """
    young = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        since = root.create_time() + age_s - (SLACK_S if detached else TIGHT_SLACK_S)
        for process in of(pid, marker) if detached else root.children():
            with contextlib.suppress(psutil.Error):
                if process.pid != pid and process.create_time() >= since:
                    young += [process, *process.children(recursive=True)]
    return [process for process in young if _lives(process)]


def orphaned_after(pid: int, marker: str, age_s: float) -> list[psutil.Process]:
    """Return what was born when the agent's program was this old or later, and has lost it.

    With descendants; they are known by the marker alone.
    """
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        family = {pid, *(process.pid for process in root.children(recursive=True))}
        young = born_after(pid, marker, age_s, detached=True)
        return [process for process in young if process.pid not in family]
    return []


def end(processes: Iterable[psutil.Process], *, at_once: bool = False) -> list[int]:
    """End processes: TERM, a short grace, KILL (or KILL ``at_once``). Returns who lives on."""
    alive = list(processes)
    if at_once:
        alive = _held(alive)
    else:
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        alive = _left(alive, TERM_GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return [process.pid for process in _left(alive, KILL_GRACE_S)]


def _left(processes: Iterable[psutil.Process], grace_s: float) -> list[psutil.Process]:
    """Wait until no process lives, and return those that do after the grace.

    A parent may be in no hurry to take note of an end, so one that is dead is enough.
    """
    until = time.monotonic() + grace_s
    while (left := [each for each in processes if _lives(each)]) and time.monotonic() < until:
        time.sleep(LOOK_S)
    return left


def _held(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Suspend processes and all that they have started, and return them.

    One that forks in the moment in which it is ended would leave a child that nobody has seen.
    """
    held: dict[int, psutil.Process] = {}
    new = list(processes)
    while new:
        for process in new:
            held[process.pid] = process
            with contextlib.suppress(psutil.Error):
                process.suspend()
        for process in new:
            _wait_until_held(process)
        children = []
        for process in new:
            with contextlib.suppress(psutil.Error):
                children += process.children()
        new = [child for child in children if child.pid not in held]
    return list(held.values())


def _wait_until_held(process: psutil.Process) -> None:
    """Wait until a process no longer runs; what it is at in the kernel is brought to its end."""
    until = time.monotonic() + HOLD_GRACE_S
    with contextlib.suppress(psutil.Error):
        while process.status() in RUNNING and time.monotonic() < until:
            time.sleep(LOOK_S)


def _lives(process: psutil.Process) -> bool:
    """Tell whether it still runs; one that is dead but not yet reaped by its parent does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False

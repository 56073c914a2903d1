"""Process trees: who belongs to an agent, and how they all end.

A process belongs to an agent if it descends from the agent's program, or carries the agent's
marker in its environment. The marker finds children that were orphaned or that started a session
of their own. Identity is the process id with its birth time, so a reused id is never hit.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import psutil

from midflight.agents.process.reaper import MARKER

TERM_GRACE_S = 0.5
KILL_GRACE_S = 2.0
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
    return young


def end(processes: Iterable[psutil.Process], *, at_once: bool = False) -> list[int]:
    """End processes: TERM, a short grace, KILL (or KILL ``at_once``). Returns who lives on."""
    alive = list(processes)
    if not at_once:
        for process in alive:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, alive = psutil.wait_procs(alive, timeout=TERM_GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=KILL_GRACE_S)
    return [process.pid for process in alive if _lives(process)]


def _lives(process: psutil.Process) -> bool:
    """Tell whether it still runs; one that is dead but not yet reaped by its parent does not."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


class ServerCommand(NamedTuple):
    """A command that a server runs: its text, the server's age when it began, and its folder.

    ``ours`` tells whether it belongs to the caller.
    """

    text: str
    age_s: float
    directory: Path
    ours: bool


def of_commands(pid: int, marker: str, running: Iterable[ServerCommand]) -> list[psutil.Process]:
    """Return what a server runs for our commands; ``running`` are those of all its users.

    Processes that have left the tree since the oldest of them began are ours if no other user runs
    a command.
    """
    commands = list(running)
    ours = [command for command in commands if command.ours]
    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        born = root.create_time()
        for child in root.children():
            with contextlib.suppress(psutil.Error, OSError):
                owner = _owner(child, child.create_time() - born, commands)
                if owner is not None and owner.ours:
                    found += [child, *child.children(recursive=True)]
        if ours and len(ours) == len(commands):
            since = born + min(command.age_s for command in ours) - SLACK_S
            found += [p for p in _loose(root, marker) if p.create_time() >= since]
    return found


def _owner(
    child: psutil.Process, age_s: float, commands: Iterable[ServerCommand]
) -> ServerCommand | None:
    """Return the command that a process runs: of those that fit, the longest, then the newest."""
    line, folder = " ".join(child.cmdline()), Path(child.cwd())
    fitting = [
        command
        for command in commands
        if command.text
        and _is_in(command.text, line)
        and age_s >= command.age_s - SLACK_S
        and folder.is_relative_to(command.directory)
    ]
    return max(fitting, key=lambda command: (len(command.text), command.age_s), default=None)


def _is_in(command: str, line: str) -> bool:
    """Tell whether a command line has a command in it, as it is or quoted for another shell."""
    return command in line or json.dumps(command)[1:-1] in line


def _loose(root: psutil.Process, marker: str) -> list[psutil.Process]:
    """Return what has a program's marker, but no longer descends from it."""
    family = {process.pid for process in [root, *root.children(recursive=True)]}
    return [process for process in of(root.pid, marker) if process.pid not in family]


def orphans_in(
    pid: int, marker: str, directory: Path, spare: Iterable[Path]
) -> list[psutil.Process]:
    """Return a program's orphans that work in a folder, but not in some others."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in _loose(psutil.Process(pid), marker):
            with contextlib.suppress(psutil.Error, OSError):
                folder = Path(process.cwd())
                if folder.is_relative_to(directory) and not any(map(folder.is_relative_to, spare)):
                    found.append(process)
    return found

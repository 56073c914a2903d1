"""What OpenCode's server runs for a session: which processes are whose, and how they end.

The server aborts a command by TERM, and by KILL some seconds later; what has left the command's
process group lives on. So what belongs to a session's calls is noted before an abort, and ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midflight.agents.opencode.server import RunningCommand, Server
from midflight.agents.process.tool_processes import end
from midflight.events import ToolStarted

if TYPE_CHECKING:
    import psutil


class RunningCommands:
    """The commands that a session has running, and the processes that must not outlive a stop."""

    def __init__(self, server: Server[Any], directory: Path) -> None:
        """Of a server at a `server_url` no process can be seen."""
        self._server = server
        self._directory = directory
        self._doomed: list[psutil.Process] = []
        self._open: dict[str, RunningCommand] = {}

    def begin(self, started: ToolStarted) -> None:
        """A command has begun."""
        process = self._server.process
        if process is not None:
            folder = self._directory / str(started.input.get("workdir") or "")
            text = str(started.input.get("command") or "")
            command = RunningCommand(text, process.age_s, folder)
            self._open[started.call] = command
            self._server.commands.append(command)

    def over(self, call: str) -> None:
        """A command has ended by itself."""
        if (command := self._open.pop(call, None)) is not None:
            self._server.commands.remove(command)

    async def condemn(self) -> None:
        """Note the processes of the commands that run: the turn is about to be aborted."""
        process = self._server.process
        if process is None or not self._open:
            return
        ours, running = list(self._open.values()), list(self._server.commands)
        self._doomed += await asyncio.to_thread(
            _processes_of, ours, running, process.pid, process.marker
        )

    async def close(self) -> None:
        """The turn has ended: end the condemned processes, and forget its commands."""
        for call in list(self._open):
            self.over(call)
        doomed, self._doomed = self._doomed, []
        await end(doomed)

    async def end_strays(self, others: Iterable[Path]) -> None:
        """End what commands have left running in the folder, where no session works any more.

        ``others`` are the folders where sessions do.
        """
        process = self._server.process
        if process is not None and process.running:
            below = [each for each in others if each != self._directory]
            await end(
                await asyncio.to_thread(
                    _strays_in, self._directory, below, process.pid, process.marker
                )
            )


def _processes_of(
    ours: Collection[RunningCommand], running: Collection[RunningCommand], pid: int, marker: str
) -> list[psutil.Process]:
    """Return what a server runs for our commands; ``running`` are those of all its sessions.

    Processes that have left the tree since the oldest of ours began are ours if no other session
    runs a command.
    """
    import psutil

    from midflight.agents.process.tree import SLACK_S

    found: list[psutil.Process] = []
    with contextlib.suppress(psutil.Error):
        root = psutil.Process(pid)
        born = root.create_time()
        for child in root.children():
            with contextlib.suppress(psutil.Error, OSError):
                if _owner(child, child.create_time() - born + SLACK_S, running) in ours:
                    found += [child, *child.children(recursive=True)]
        if ours and len(ours) == len(running):
            since = born + min(command.age_s for command in ours) - SLACK_S
            found += [p for p in _strays(root, marker) if p.create_time() >= since]
    return found


def _owner(
    child: psutil.Process, age_s: float, running: Iterable[RunningCommand]
) -> RunningCommand | None:
    """Return the command that a process runs: of those that fit, the longest, then the newest.

    ``age_s`` is the oldest that the server can have been when the process was born.
    """
    line, folder = " ".join(child.cmdline()), Path(child.cwd())
    fitting = [
        command
        for command in running
        if command.text
        and _is_in(command.text, line)
        and age_s >= command.age_s
        and folder.is_relative_to(command.directory)
    ]
    return max(fitting, key=lambda command: (len(command.text), command.age_s), default=None)


def _is_in(command: str, line: str) -> bool:
    """Tell whether a command line has a command in it, as it is or quoted for another shell."""
    return command in line or json.dumps(command)[1:-1] in line


def _strays(root: psutil.Process, marker: str) -> list[psutil.Process]:
    """Return what has a program's marker, but no longer descends from it."""
    from midflight.agents.process import tree

    family = {process.pid for process in [root, *root.children(recursive=True)]}
    return [process for process in tree.of(root.pid, marker) if process.pid not in family]


def _strays_in(
    directory: Path, spare: Collection[Path], pid: int, marker: str
) -> list[psutil.Process]:
    """Return a server's strays that work in a folder, but not in some others."""
    import psutil

    found = []
    with contextlib.suppress(psutil.Error):
        for process in _strays(psutil.Process(pid), marker):
            with contextlib.suppress(psutil.Error, OSError):
                folder = Path(process.cwd())
                if folder.is_relative_to(directory) and not any(map(folder.is_relative_to, spare)):
                    found.append(process)
    return found

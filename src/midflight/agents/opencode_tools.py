"""What OpenCode's server runs for a session: which processes are whose, and how they end.

The server aborts a command by TERM, and by KILL some seconds later; what has left the command's
process group lives on. So what belongs to a session's calls is noted before an abort, and ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from midflight.agents.opencode_server import Server
from midflight.events import ToolStarted

if TYPE_CHECKING:
    import psutil

__all__ = ["Book", "Call"]


class Call(NamedTuple):
    """A command that runs: the age of the server when it began, its text, and its folder."""

    age_s: float
    command: str
    directory: Path


class Book:
    """The commands that a session has running, and the processes that must not outlive a stop."""

    def __init__(self, server: Server, directory: Path) -> None:
        """A server that was only named shows none of its processes."""
        self._server = server
        self._directory = directory
        self._doomed: list[psutil.Process] = []
        self._open: dict[str, Call] = {}

    def begin(self, started: ToolStarted) -> None:
        """A command has begun."""
        process = self._server.process
        if process is not None:
            command = str(started.input.get("command") or "")
            call = Call(process.age_s, command, self._directory)
            self._open[started.call] = self._server.calls[started.call] = call

    def over(self, call: str) -> None:
        """A command has ended by itself."""
        self._open.pop(call, None)
        self._server.calls.pop(call, None)

    async def condemn(self) -> None:
        """Note the processes of the commands that run: the turn is about to be aborted."""
        process = self._server.process
        if process is None or not self._open:
            return
        others = set(self._server.calls) - set(self._open)
        self._doomed += await asyncio.to_thread(
            _of_commands, process.pid, process.marker, list(self._open.values()), not others
        )

    async def close(self) -> None:
        """The turn is over: end what was condemned, and forget its commands."""
        for call in list(self._open):
            self.over(call)
        doomed, self._doomed = self._doomed, []
        if doomed:
            await asyncio.to_thread(_end, doomed)

    async def end_orphans(self) -> None:
        """End what commands have left running in the folder: no session works there any more."""
        process = self._server.process
        if process is not None and process.running:
            await asyncio.to_thread(_end_orphans, process.pid, process.marker, self._directory)


def _of_commands(
    pid: int,
    marker: str,
    calls: Iterable[Call],
    alone: bool,  # noqa: FBT001
) -> list[psutil.Process]:
    from midflight.agents import tree

    begun: Mapping[str, float] = {call.command: call.age_s for call in calls}
    return tree.of_commands(pid, marker, begun, orphans=alone)


def _end(processes: list[psutil.Process]) -> None:
    from midflight.agents import tree

    tree.end(processes, at_once=True)


def _end_orphans(pid: int, marker: str, directory: Path) -> None:
    from midflight.agents import tree

    tree.end(tree.orphans_in(pid, marker, directory), at_once=True)

"""What OpenCode's server runs for a session: which processes are whose, and how they end.

The server aborts a command by TERM, and by KILL some seconds later; what has left the command's
process group lives on. So what belongs to a session's calls is noted before an abort, and ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
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
        self._directory = directory.resolve()
        self._doomed: list[psutil.Process] = []
        self._open: dict[str, RunningCommand] = {}

    def begin(self, started: ToolStarted) -> None:
        """A command has begun."""
        process = self._server.process
        if process is not None:
            folder = self._directory / str(started.input.get("workdir") or "")
            call = RunningCommand(str(started.input.get("command") or ""), process.age_s, folder)
            self._open[started.call] = call
            self._server.calls.append(call)

    def over(self, call: str) -> None:
        """A command has ended by itself."""
        ended = self._open.pop(call, None)
        self._server.calls[:] = [each for each in self._server.calls if each is not ended]

    async def condemn(self) -> None:
        """Note the processes of the commands that run: the turn is about to be aborted."""
        process = self._server.process
        if process is None or not self._open:
            return
        ours = [id(call) for call in self._open.values()]
        running = [(*call, id(call) in ours) for call in self._server.calls]
        self._doomed += await asyncio.to_thread(_of_commands, process.pid, process.marker, running)

    async def close(self) -> None:
        """The turn has ended: end the condemned processes, and forget its commands."""
        for call in list(self._open):
            self.over(call)
        doomed, self._doomed = self._doomed, []
        await end(doomed)

    async def end_orphans(self, others: Iterable[Path]) -> None:
        """End what commands have left running in the folder, where no session works any more.

        ``others`` are the folders where sessions do.
        """
        process = self._server.process
        if process is not None and process.running:
            spare = [each.resolve() for each in others]
            below = [each for each in spare if each != self._directory]
            await end(
                await asyncio.to_thread(
                    _orphans, process.pid, process.marker, self._directory, below
                )
            )


def _of_commands(
    pid: int, marker: str, running: Iterable[tuple[str, float, Path, bool]]
) -> list[psutil.Process]:
    from midflight.agents.process import tree

    return tree.of_commands(pid, marker, [tree.ServerCommand(*each) for each in running])


def _orphans(pid: int, marker: str, directory: Path, spare: Iterable[Path]) -> list[psutil.Process]:
    from midflight.agents.process import tree

    return tree.orphans_in(pid, marker, directory, spare)

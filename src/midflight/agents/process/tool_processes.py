"""The processes of tool calls: noted before a stop, ended with the turn, reported if they live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from midflight.agents.base import Died, Signal
from midflight.agents.process.process import AgentProcess
from midflight.events import Notice, ToolEnded, ToolStarted

if TYPE_CHECKING:
    import psutil


class OpenCalls:
    """The tool calls that an agent's program has open, and what of them must not outlive a stop."""

    def __init__(self, process: AgentProcess) -> None:
        """Begin with none."""
        self._process = process
        self._since: dict[str, float] = {}
        self._doomed: list[psutil.Process] = []

    def note(self, signal: Signal) -> None:
        """Keep track of the calls of the main conversation."""
        match signal:
            case ToolStarted(parent=None):
                self._since[signal.call] = self._process.age_s
            case ToolEnded():
                self._since.pop(signal.call, None)

    async def condemn(self, *, detached: bool = True) -> None:
        """Note the processes of the calls: the turn is about to be stopped.

        Without ``detached`` processes that left the agent's tree are spared: background work.
        """
        if self._since:
            self._doomed = await asyncio.to_thread(
                _born_after, self._process, min(self._since.values()), detached=detached
            )

    async def close(self) -> None:
        """The turn has ended: end the condemned processes, and forget its calls."""
        self._since.clear()
        doomed, self._doomed = self._doomed, []
        await end(doomed)


def last_signals(survivors: Sequence[int], died: Died) -> Iterator[Signal]:
    """Yield which processes could not be ended, and that the agent has died."""
    if survivors:
        pids = ", ".join(map(str, survivors))
        yield Notice(level="error", text=f"these processes could not be ended: {pids}")
    yield died


async def end(processes: Iterable[psutil.Process]) -> None:
    """End processes at once."""
    doomed = list(processes)
    if doomed:
        await asyncio.to_thread(_end, doomed)


def _born_after(process: AgentProcess, age_s: float, *, detached: bool) -> list[psutil.Process]:
    from midflight.agents.process import tree

    return tree.born_after(process.pid, process.marker, age_s, detached=detached)


def _end(processes: Iterable[psutil.Process]) -> None:
    from midflight.agents.process import tree

    tree.end(processes, at_once=True)

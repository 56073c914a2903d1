"""The processes of tool calls: noted before a stop, ended with the turn, reported if they live."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from midflight.agents.base import Died, Signal, Taken, Woke
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
        self._stopping = False
        self._detached = True

    def note(self, signal: Signal) -> None:
        """Keep track of the calls of the main conversation."""
        match signal:
            case Taken() | Woke():  # a turn begins: a stop before that has found none
                self._stopping = False
            case ToolStarted(parent=None):
                self._since[signal.call] = self._process.age_s
            case ToolEnded() if not self._stopping:
                self._since.pop(signal.call, None)

    async def condemn(self, *, detached: bool = True) -> None:
        """Note the processes of the calls: the turn is about to be stopped.

        Without ``detached`` processes that left the agent's tree are spared: background work.
        """
        self._stopping, self._detached = True, detached
        self._doomed = await self._born()

    async def close(self) -> None:
        """The turn has ended: end the condemned processes, and forget its calls.

        A stop may meet a call whose process is only about to begin, so it is looked for again.
        """
        doomed, self._doomed = self._doomed, []
        if self._stopping:
            doomed += await self._born()
            self._stopping = False
        self._since.clear()
        await end(doomed)

    async def _born(self) -> list[psutil.Process]:
        """Return the processes that live since the oldest call began."""
        if not self._since:
            return []
        age_s = min(self._since.values())
        return await asyncio.to_thread(_born_after, self._process, age_s, detached=self._detached)


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

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


LOOKS = 5
"""How often it is looked for processes that a stop has left: each look may meet one that forks."""


class OpenCalls:
    """The tool calls that an agent's program has open, and what of them must not outlive a stop."""

    def __init__(self, process: AgentProcess, *, told_late: bool = False) -> None:
        """Begin with none. ``told_late``: the agent may tell of a call when its command runs."""
        self._process = process
        self._told_late = told_late
        self._since: dict[str, float] = {}
        self._doomed: list[psutil.Process] = []
        self._stopping = False
        self._detached = True
        self._quiet_at = 0.0

    def note(self, signal: Signal) -> None:
        """Keep track of the calls of the main conversation."""
        match signal:
            case Taken() | Woke():  # a turn begins: a stop before that has found none
                self._stopping, self._quiet_at = False, self._process.age_s
            case ToolStarted(parent=None):
                self._since[signal.call] = self._process.age_s
            case ToolEnded() if not self._stopping:
                self._since.pop(signal.call, None)
                self._quiet_at = self._process.age_s

    async def condemn(self, *, detached: bool = True) -> None:
        """Note the processes of the calls: the turn is about to be stopped.

        Without ``detached`` processes that left the agent's tree are spared: background work.
        """
        self._stopping, self._detached = True, detached
        self._doomed = await self._born()

    async def close(self) -> None:
        """The turn has ended: end the condemned processes, and forget its calls.

        A stop may meet a call whose process is only about to begin, or to start another one as it
        is ended: so they are looked for until there is none.
        """
        doomed, self._doomed = self._doomed, []
        await end(doomed)
        for _ in range(LOOKS if self._stopping else 0):
            if not (born := await self._born()):
                break
            await end(born)
        self._stopping = False
        self._since.clear()

    async def _born(self) -> list[psutil.Process]:
        """Return the processes that live since the oldest call began.

        An agent that tells late may be stopped while the command of a call runs that it has not
        told of. It ends that itself; what has lost its parent then is left. To look for it takes
        several times as long as the stop of an agent that tells in time.
        """
        if self._since:
            since = min(self._since.values())
            return await asyncio.to_thread(
                _born_after, self._process, since, detached=self._detached
            )
        if not (self._told_late and self._detached):
            return []
        return await asyncio.to_thread(_orphaned_after, self._process, self._quiet_at)


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


def _orphaned_after(process: AgentProcess, age_s: float) -> list[psutil.Process]:
    from midflight.agents.process import tree

    return tree.orphaned_after(process.pid, process.marker, age_s)


def _end(processes: Iterable[psutil.Process]) -> None:
    from midflight.agents.process import tree

    tree.end(processes, at_once=True)

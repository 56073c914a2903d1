"""Agents that are started ahead of need, so that a task finds one ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import msgspec

from midflight.agents.base import Agent, Died, Idle, Signal
from midflight.errors import MidflightError
from midflight.lineage import UNKNOWN, marked
from midflight.options import Options

__all__ = ["WarmAgents"]

LAST_WORDS_S = 1.0
"""How long an agent that was closed may take to say so."""

Factory = Callable[[Options], Agent]


class _Watched:
    """An agent whose reports are read ahead, so that its death is known before it is needed.

    For whoever takes it, it is the agent: the reports are kept, everything else is passed on.
    """

    def __init__(self, agent: Agent) -> None:
        """Begin to read."""
        self.dead = False
        self._agent = agent
        self._told: asyncio.Queue[Signal] = asyncio.Queue()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        last = Died("its reports ended")
        try:
            async for signal in self._agent.events():
                self._told.put_nowait(signal)
        except Exception as error:  # noqa: BLE001 - a driver's mistake is its death too
            last = Died(f"its reports could not be read: {type(error).__name__}: {error}")
        self.dead = True
        self._told.put_nowait(last)

    async def events(self) -> AsyncIterator[Signal]:
        """See `Agent.events`."""
        signal: Signal = Idle()
        while not isinstance(signal, Died):
            signal = await self._told.get()
            yield signal

    async def close(self) -> None:
        """See `Agent.close`."""
        await self._agent.close()
        await asyncio.wait({self._reading}, timeout=LAST_WORDS_S)

    def __getattr__(self, name: str) -> Any:
        """Return what the agent has."""
        return getattr(self._agent, name)


class Warm:
    """Keeps one agent of one kind ready: for a folder and options, whatever the task."""

    def __init__(self, options: Options, factory: Factory) -> None:
        """Prepare; nothing is started."""
        self._options = options
        self._factory = factory
        self._agent: _Watched | None = None

    async def keep(self) -> None:
        """Start an agent, if none is ready. Raises what `Agent.start` raises."""
        if self._agent is not None and self._agent.dead:
            await self.close()
        if self._agent is None:
            agent = self._factory(marked(self._options, UNKNOWN))
            await agent.start()
            self._agent = _Watched(agent)

    def fits(self, options: Options) -> bool:
        """Tell whether an agent is ready that was started with these very options."""
        same = msgspec.structs.replace(options, name=self._options.name) == self._options
        return same and self._agent is not None and not self._agent.dead

    def take(self, options: Options) -> Agent | None:
        """Return the agent that is ready, if it fits; it is whoever takes it who ends it."""
        if not self.fits(options):
            return None
        agent, self._agent = self._agent, None
        return cast("Agent | None", agent)

    async def close(self) -> None:
        """End the agent that nobody needed."""
        agent, self._agent = self._agent, None
        if agent is not None:
            with contextlib.suppress(MidflightError):
                await agent.close()


class WarmAgents:
    """The agents that a host keeps ready, one for each task that was foreseen."""

    def __init__(self, factory: Factory) -> None:
        """Keep none yet."""
        self._factory = factory
        self._kept: list[Warm] = []

    async def add(self, options: Options) -> None:
        """Keep one more. Raises what `Agent.start` raises."""
        warm = Warm(options, self._factory)
        await warm.keep()
        self._kept.append(warm)

    async def keep(self) -> None:
        """Start the next agent when one has been taken."""
        for warm in list(self._kept):
            try:
                await warm.keep()
            except MidflightError:
                self._kept.remove(warm)

    def fits(self, options: Options) -> bool:
        """Tell whether an agent is ready that was started with these very options."""
        return any(warm.fits(options) for warm in self._kept)

    def take(self, options: Options) -> Agent | None:
        """Return an agent that is ready, if one fits."""
        return next((agent for warm in self._kept if (agent := warm.take(options))), None)

    async def close(self) -> None:
        """End the agents that nobody needed."""
        await asyncio.gather(*(warm.close() for warm in self._kept), return_exceptions=True)

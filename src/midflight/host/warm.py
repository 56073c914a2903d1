"""Agents that are started ahead of need, so that a task finds one ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import msgspec

from midflight.agents.base import Agent
from midflight.errors import MidflightError
from midflight.lineage import UNKNOWN, marked
from midflight.options import Options

__all__ = ["WarmAgents"]

Factory = Callable[[Options], Agent]


class Warm:
    """Keeps one agent of one kind ready: for a folder and options, whatever the task."""

    def __init__(self, options: Options, factory: Factory) -> None:
        """Prepare; nothing is started."""
        self._options = options
        self._factory = factory
        self._agent: Agent | None = None

    async def keep(self) -> None:
        """Start an agent, if none is ready. Raises what `Agent.start` raises."""
        if self._agent is None:
            agent = self._factory(marked(self._options, UNKNOWN))
            await agent.start()
            self._agent = agent

    def fits(self, options: Options) -> bool:
        """Tell whether an agent is ready that was started with these very options."""
        same = msgspec.structs.replace(options, name=self._options.name) == self._options
        return same and self._agent is not None

    def take(self, options: Options) -> Agent | None:
        """Return the agent that is ready, if it fits; it is whoever takes it who ends it."""
        if not self.fits(options):
            return None
        agent, self._agent = self._agent, None
        return agent

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

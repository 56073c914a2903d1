"""Agents that are started ahead of need, so that a task finds one ready."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from midflight.agents.base import Agent, Died, Idle, Memory, Reply, Signal
from midflight.effects import Effect
from midflight.errors import MidflightError
from midflight.events import PermissionRequested
from midflight.images import Image
from midflight.lineage import UNKNOWN, marked
from midflight.options import Options
from midflight.values import PermissionMode, Support

LAST_SIGNALS_S = 1.0
"""How long an agent that was closed may take to report it."""

AgentFactory = Callable[[Options], Agent]
"""Makes the agent of a session from its options; it is not started."""


class _WatchedAgent:
    """An agent whose signals are read ahead, so that its death is known before it is needed.

    A session that takes it reads the signals that were kept; every other call is passed on.
    """

    def __init__(self, agent: Agent) -> None:
        """Begin to read."""
        self.dead = False
        self.name = agent.name
        self.capabilities = agent.capabilities
        self.limits = agent.limits
        self._agent = agent
        self._signals: asyncio.Queue[Signal] = asyncio.Queue()
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _read(self) -> None:
        last = Died("its reports ended")
        try:
            async for signal in self._agent.events():
                # Both may have changed with what the signal reports.
                self.capabilities, self.limits = self._agent.capabilities, self._agent.limits
                self._signals.put_nowait(signal)
        except Exception as error:  # noqa: BLE001 - a driver's mistake is its death too
            last = Died(f"its reports could not be read: {type(error).__name__}: {error}")
        self.dead = True
        self._signals.put_nowait(last)

    async def events(self) -> AsyncIterator[Signal]:
        """See `Agent.events`."""
        signal: Signal = Idle()
        while not isinstance(signal, Died):
            signal = await self._signals.get()
            yield signal

    async def check(self) -> None:
        """See `Agent.check`."""
        await self._agent.check()

    async def start(self, memory: Memory | None = None) -> None:
        """See `Agent.start`."""
        await self._agent.start(memory)

    async def send(
        self,
        message: str,
        text: str,
        *,
        steer: bool,
        typed: bool,
        images: Sequence[Image] = (),
    ) -> None:
        """See `Agent.send`."""
        more = {"images": images} if images else {}  # drivers of others may know of none
        await self._agent.send(message, text, steer=steer, typed=typed, **more)

    async def cancel(self, message: str) -> None:
        """See `Agent.cancel`."""
        await self._agent.cancel(message)

    async def interrupt(self) -> None:
        """See `Agent.interrupt`."""
        await self._agent.interrupt()

    async def reply(self, reply: Reply) -> None:
        """See `Agent.reply`."""
        await self._agent.reply(reply)

    def effects(self, request: PermissionRequested) -> tuple[Effect, ...]:
        """See `Agent.effects`."""
        return self._agent.effects(request)

    async def set_model(self, model: str) -> None:
        """See `Agent.set_model`."""
        await self._agent.set_model(model)

    def cost_with(self, model: str | None) -> Support:
        """See `Agent.cost_with`."""
        return self._agent.cost_with(model)

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """See `Agent.set_permission_mode`."""
        await self._agent.set_permission_mode(mode)

    async def stop_task(self, task: str) -> None:
        """See `Agent.stop_task`."""
        await self._agent.stop_task(task)

    async def kill(self) -> None:
        """See `Agent.kill`."""
        await self._agent.kill()

    async def close(self) -> None:
        """See `Agent.close`."""
        await self._agent.close()
        await asyncio.wait({self._reading}, timeout=LAST_SIGNALS_S)


class Warm:
    """Keeps one agent of one kind ready: for a folder and options, whatever the task."""

    def __init__(self, options: Options, factory: AgentFactory, *, remembers: bool = False) -> None:
        """Prepare; nothing is started. ``remembers``: see `WarmAgents`."""
        self._options = options
        self._factory = factory
        self._remembers = remembers
        self._agent: _WatchedAgent | None = None

    async def keep(self) -> None:
        """Start an agent, if none is ready. Raises what `Agent.start` raises."""
        if self._agent is not None and self._agent.dead:
            await self.close()
        if self._agent is None:
            agent = self._factory(marked(self._options, UNKNOWN))
            await agent.start(**({"memory": {}} if self._remembers else {}))
            self._agent = _WatchedAgent(agent)

    def fits(self, options: Options) -> bool:
        """Tell whether an agent is ready that was started with these very options."""
        same = msgspec.structs.replace(options, name=self._options.name) == self._options
        return same and self._agent is not None and not self._agent.dead

    def take(self, options: Options) -> Agent | None:
        """Return the agent that is ready, if it fits; the caller ends it."""
        if not self.fits(options):
            return None
        agent, self._agent = self._agent, None
        return agent

    async def close(self) -> None:
        """End the agent that no task needed."""
        agent, self._agent = self._agent, None
        if agent is not None:
            with contextlib.suppress(MidflightError):
                await agent.close()


class WarmAgents:
    """The agents that a host keeps ready, one for each kind of task that is expected."""

    def __init__(self, factory: AgentFactory, remembers: Callable[[], bool]) -> None:
        """Keep none yet. ``remembers`` tells whether what an agent remembers is to be kept."""
        self._factory = factory
        self._remembers = remembers
        self._kept: list[Warm] = []

    def __bool__(self) -> bool:
        """Tell whether any kind of agent is kept ready."""
        return bool(self._kept)

    async def add(self, options: Options) -> None:
        """Keep one more. Raises what `Agent.start` raises."""
        warm = Warm(options, self._factory, remembers=self._remembers())
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
        """End the agents that no task needed."""
        await asyncio.gather(*(warm.close() for warm in self._kept), return_exceptions=True)

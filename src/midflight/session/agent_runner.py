"""Runs a session's agent: starts it, carries out actions in order, and reads its signals."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import Awaitable, Callable

import msgspec

from midflight._util.aio import TaskSet
from midflight.agents.base import Agent, Died, Dropped, Step, Up
from midflight.errors import AgentFailed, ConversationLost, StoreFailed
from midflight.events import TextDelta, ThinkingDelta
from midflight.options import Options
from midflight.rules import actions as a
from midflight.rules import turns
from midflight.rules.session import SessionRules
from midflight.state.pricing import load_prices, prices_loaded

_log = logging.getLogger("midflight")

START_TIMEOUT_S = 60.0
"""How long an agent's program may take until it answers."""

END_TIMEOUT_S = 5.0
"""How long the end of an agent that takes no more input may take to be noticed."""

ACTION_TIMEOUT_S = 20.0
"""How long one call of a driver may take; drivers have tighter bounds of their own."""


class AgentRunner:
    """Owns the agent and the two tasks around it: one writes, one reads, neither waits for ever.

    An agent that has died is started anew, in the same conversation, for the next message.
    """

    def __init__(
        self,
        rules: SessionRules,
        options: Options,
        factory: Callable[[Options], Agent],
        *,
        after: Callable[[], None],
        before: Callable[[a.Action], Awaitable[None]],
        ready: Agent | None = None,
    ) -> None:
        """Make the agent, unless one is ``ready``: started, and not yet asked anything.

        ``after`` is called after every input to the rules, ``before`` is waited for before every
        action.
        """
        self._rules = rules
        self._options = options
        self._factory = factory
        self._after = after
        self._before = before
        self._actions: asyncio.Queue[a.Action] = asyncio.Queue()
        self._writer: asyncio.Task[None] | None = None
        self._readers = TaskSet()
        self._up = asyncio.Event()
        self._last_detail = ""
        self._lost = False
        self._interrupted = 0.0
        self._pricing: asyncio.Task[None] | None = None
        self._ready = ready is not None
        self.agent = ready or factory(options)
        self.alive = False

    @property
    def up(self) -> bool:
        """The agent has answered since it was started."""
        return self._up.is_set()

    def put(self, action: a.Action) -> None:
        """Have an action carried out, after those before it."""
        self._actions.put_nowait(action)

    @property
    def model(self) -> str | None:
        """The model that was asked for last."""
        return self._options.model

    async def start(self) -> None:
        """Start the agent and the two tasks."""
        await self._start_agent()
        self.begin()

    def begin(self) -> None:
        """Take actions; if the agent has not been started, the first message does that."""
        if not self.alive:
            self._up.set()
        self._writer = asyncio.get_running_loop().create_task(self._write())

    async def wait_up(self) -> None:
        """Wait until the agent answers. Raises `AgentFailed` if it does not."""
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._up.wait()
        except TimeoutError:
            await self.agent.kill()
            self._last_detail = f"it did not answer within {START_TIMEOUT_S:.0f} seconds"
            self.alive = False
        if not self.alive:
            text = f"{self.agent.name} did not start: {self._last_detail}"
            raise (ConversationLost if self._lost else AgentFailed)(text, "midflight doctor")

    async def close(self) -> None:
        """Stop the agent, then the tasks."""
        if self._writer is not None:
            self._writer.cancel()
        await self.agent.close()
        await self._readers.join(timeout=ACTION_TIMEOUT_S)
        self._readers.cancel()
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=ACTION_TIMEOUT_S)

    async def abandon(self) -> None:
        """End the agent at once, and carry out nothing more."""
        if self._writer is not None:
            self._writer.cancel()
        await self.agent.kill()

    # Reading ------------------------------------------------------------------------------

    async def _start_agent(self) -> None:
        self._up.clear()
        self._lost = False
        if not self._ready:
            await self.agent.start()
        _log.debug("%s: the agent is started", self.agent.name)
        self._ready = False
        self.alive = True
        self._readers.start(self._read(self.agent))

    async def _read(self, agent: Agent) -> None:
        """Feed the rules with what the agent reports, until it has died."""
        clock = asyncio.get_running_loop().time
        came_up = False
        signal_in = self._rules.signal
        died = Died("its reports ended")
        try:
            async for signal in agent.events():
                if isinstance(signal, (TextDelta, ThinkingDelta)):
                    signal_in(signal, clock())
                    continue
                if isinstance(signal, Died):
                    died = signal
                    break
                if isinstance(signal, Up):
                    came_up = True
                    self._up.set()
                signal_in(signal, clock())
                self._after()
                if isinstance(signal, Step) and self._rules.state.tools:
                    self._want_prices()
        except Exception as error:  # noqa: BLE001 - a driver's mistake must not hang the session
            died = Died(f"its reports could not be read: {type(error).__name__}: {error}")
        finally:
            with contextlib.suppress(Exception):
                await agent.kill()
                self._want_prices()
                if self._pricing is not None:
                    await self._pricing
            _log.debug("%s: the agent has ended", agent.name)
            self.alive = False
            self._last_detail, self._lost = died.detail, died.lost
            self._up.set()
            if came_up:
                signal_in(died, clock())
                self._after()

    def _want_prices(self) -> None:
        """Have the price table loaded beside the work; estimates follow when it is there.

        Only where an estimate is waited for: a turn that goes on with a tool, or will never hear
        the agent's own figure. Loading takes processor time from whatever else is done.
        """
        unpriced = self._rules.state.ledger.unpriced
        if unpriced and self._pricing is None and not prices_loaded():
            self._pricing = asyncio.get_running_loop().create_task(self._load_prices())

    async def _load_prices(self) -> None:
        await asyncio.to_thread(load_prices)
        self._rules.reprice()
        self._after()

    # Writing ------------------------------------------------------------------------------

    async def _write(self) -> None:
        while True:
            action = await self._actions.get()
            try:
                await self._before(action)
                if isinstance(action, a.Hand) and not self._rules.is_current(action):
                    continue
                starting = isinstance(action, a.Hand) and not self.alive
                async with asyncio.timeout(None if starting else ACTION_TIMEOUT_S):
                    await self._perform(action)
            except StoreFailed:
                return  # the session knows, and ends the agent
            except Exception as error:  # noqa: BLE001 - the next action must be carried out
                self._failed(action, error)
            self._after()

    async def _perform(self, action: a.Action) -> None:
        agent = self.agent
        _log.debug("%s: action %s", agent.name, type(action).__name__)
        match action:
            case a.Hand():
                await self._hand(action)
            case _ if not self.alive:
                self._keep(action)
            case a.Cancel(message=message):
                await agent.cancel(message)
            case a.Interrupt():
                await agent.interrupt()
                self._interrupted = asyncio.get_running_loop().time()
            case a.Kill():
                if self._is_disobeyed():
                    await agent.kill()
            case a.Reply(reply=reply):
                await agent.reply(reply)
            case a.SetModel(model=model):
                await agent.set_model(model)
                self._keep(action)
                self._rules.notice("info", f"the model is now {model}")
            case a.SetMode(mode=mode):
                await agent.set_permission_mode(mode)
                self._keep(action)
                self._rules.notice("info", f"the permission mode is now {mode}")
            case a.StopTask(task=task):
                await agent.stop_task(task)

    def _is_disobeyed(self) -> bool:
        """Tell whether the agent has had its time to stop: it may have been starting till now."""
        since = asyncio.get_running_loop().time() - self._interrupted
        return self._rules.stopping and since >= turns.STOP_GRACE_S / 2

    def _keep(self, action: a.Action) -> None:
        """Note what an agent that takes over has to know: what this one does, or cannot be told."""
        match action:
            case a.SetModel(model=model):
                self._options = msgspec.structs.replace(self._options, model=model)
            case a.SetMode(mode=mode):
                self._options = msgspec.structs.replace(self._options, permission_mode=mode)

    async def _hand(self, hand: a.Hand) -> None:
        """Give the agent a message; one that has died is started anew first."""
        if not self.alive:
            await self._restart()
        try:
            await self.agent.send(hand.message, hand.text, steer=hand.steer)
        except AgentFailed:
            if not await self._ends():
                raise
            # It was ending already; the message has failed with it, by the word of the reader.

    async def _ends(self) -> bool:
        """Tell whether the agent is about to end, and wait until its end has been told."""
        await self._readers.join(timeout=END_TIMEOUT_S)
        return not self.alive

    async def _restart(self) -> None:
        """Go on with a new agent in the same conversation, or, if that is lost, in a new one.

        An agent that was killed early may not have written its conversation down.
        """
        options = self._successor()
        try:
            await self._start_with(options)
            self._rules.notice("info", f"{self.agent.name} was started again to go on")
        except ConversationLost as error:
            await self._start_with(msgspec.structs.replace(options, resume=None))
            text = "could not go on with the conversation and knows nothing of what was said"
            self._rules.notice("warning", f"{self.agent.name} {text}: {error.message}")

    async def _start_with(self, options: Options) -> None:
        self.agent = self._factory(options)
        await self._start_agent()
        await self.wait_up()

    def _successor(self) -> Options:
        """Return the options for an agent that takes over: what has been paid, and where."""
        started = self._rules.state.started
        return msgspec.structs.replace(
            self._options,
            resume=started.agent_session if started else self._options.resume,
            spent_usd=self._rules.state.ledger.total_usd,
        )

    def _failed(self, action: a.Action, error: Exception) -> None:
        """An action could not be carried out; what depends on it ends, and somebody is told."""
        text = str(error) or "it took too long"
        now = asyncio.get_running_loop().time()
        match action:
            case a.Hand() if not self.alive:
                self._last_detail = text
                self._rules.signal(Died(text), now)
            case a.Hand(message=message):
                self._rules.signal(Dropped(message, "agent_error"), now)
            case a.SetMode(mode=mode):
                self._rules.mode_refused(mode, self._options.permission_mode, now)
        command = action.command if isinstance(action, (a.SetModel, a.SetMode)) else None
        name = re.sub(r"\B([A-Z])", r"_\1", type(action).__name__).lower()
        _log.debug("%s: action %s failed: %s", self.agent.name, name, type(error).__name__)
        self._rules.notice("error", f"{name} failed: {text}", command)

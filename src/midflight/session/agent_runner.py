"""Runs a session's agent: starts it, carries out actions in order, and reads its signals."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec

from midflight._util.aio import TaskSet
from midflight.agents.base import (
    Agent,
    Died,
    Dropped,
    Finished,
    Preparing,
    Remembered,
    Signal,
    Step,
    Up,
)
from midflight.effects import Effect, OtherEffect, rule_of
from midflight.errors import AgentFailed, ConversationLost, StoreFailed, UnsupportedOption
from midflight.events import PermissionRequested, TextDelta, ThinkingDelta
from midflight.images import Image
from midflight.options import Options
from midflight.rules import actions as a
from midflight.rules import turns
from midflight.rules.session import SessionRules
from midflight.session.memory import MemoryKeeper
from midflight.session.price_table import load_prices
from midflight.state.pricing import prices_loaded
from midflight.values import Limits

_log = logging.getLogger("midflight")

START_TIMEOUT_S = 60.0
"""How long an agent may take to report that it is up."""

PREPARE_TIMEOUT_S = 660.0
"""How long what its start waits for may take: Claude Code itself ends a hook after ten minutes."""

END_TIMEOUT_S = 5.0
"""How long it may take to notice the end of an agent that takes no more input."""

EFFECTS_TIMEOUT_S = 5.0
"""How long the files that a call would change may take to be read."""

KEPT_INPUTS = 1_000
"""Of so many calls the input is kept, to look again what they would do."""

ACTION_TIMEOUT_S = 20.0
"""How long one call of a driver may take; drivers have tighter bounds of their own."""


class AgentRunner:
    """Owns the agent and two tasks: one carries out actions, one reads signals.

    Neither waits for ever. An agent that has died is started again for the next message, and
    resumes its conversation.
    """

    def __init__(
        self,
        rules: SessionRules,
        options: Options,
        factory: Callable[[Options], Agent],
        *,
        after_input: Callable[[], None],
        before_action: Callable[[a.Action], Awaitable[None]],
        images: Callable[[str], tuple[Image, ...]],
        prepare: Callable[[], Awaitable[bool]],
        missing: Callable[[], str],
        memory: MemoryKeeper,
        ready: Agent | None = None,
        where: str = "",
    ) -> None:
        """Make the agent, unless one is ``ready``: started, and without a message so far.

        ``after_input`` is called after every input to the rules, ``before_action`` is awaited
        before every action. ``images`` returns those of a message, by its id, or raises what is
        wrong with them. ``prepare`` makes the folder ready before a start, and tells whether it was
        not; ``missing`` returns what the agent has to know of it. ``memory`` keeps what the agent
        remembers. ``where`` it works is added to what has failed.
        """
        self._rules = rules
        self._options = options
        self._factory = factory
        self._after_input = after_input
        self._before_action = before_action
        self._images = images
        self._prepare = prepare
        self._missing = missing
        self._memory = memory
        self._where = where
        self._inputs: dict[str, dict[str, Any]] = {}
        self._actions: asyncio.Queue[a.Action] = asyncio.Queue()
        self._action_task: asyncio.Task[None] | None = None
        self._readers = TaskSet()
        self._up = asyncio.Event()
        self._preparing = ""
        self._start_bound: asyncio.Timeout | None = None
        self._making: asyncio.Timeout | None = None
        self._made_for = ""
        self._last_detail = ""
        self._lost = False
        self._interrupted = 0.0
        self._pricing: asyncio.Task[None] | None = None
        self._ready = ready is not None
        self._fresh = False
        self._kept: Limits = options  # by the program itself, since it was started
        self._retiring = False
        self.agent = ready or factory(options)
        self.alive = False

    @property
    def up(self) -> bool:
        """No start is under way: the agent has answered or ended, or waits for a message."""
        return self._up.is_set()

    def put(self, action: a.Action) -> None:
        """Put an action at the end of the line; one that ends a start need not wait for it."""
        self._actions.put_nowait(action)
        making = self._making
        if making is not None and not making.expired() and self._is_in_vain(action):
            making.reschedule(asyncio.get_running_loop().time())

    def _is_in_vain(self, action: a.Action) -> bool:
        """Tell whether nobody wants the folder any more that is made ready, after an action."""
        match action:
            case a.Cancel(message=message):
                return message == self._made_for
            case a.Interrupt():
                return not self._rules.state.outbox.held()
        return False

    @property
    def model(self) -> str | None:
        """The model that the user chose last; None for the agent's own choice."""
        return self._options.model

    async def settled(self) -> None:
        """Wait until every action so far has been carried out, or has failed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ACTION_TIMEOUT_S):
                await self._actions.join()

    async def start(self) -> None:
        """Start the agent and the two tasks."""
        if await self._prepare():  # what a driver has looked at was not there yet
            self.agent = self._factory(self._options)
        await self._start_agent()
        self.begin()

    async def prepare(self) -> None:
        """Begin, and leave the start to the first message. Raises what `Agent.check` raises."""
        await self.agent.check()
        self.begin(fresh=True)
        self._up.clear()

    def begin(self, *, fresh: bool = False) -> None:
        """Begin to carry out actions; an agent that is not started starts with a message.

        One that is ``fresh`` has never been started, in no host.
        """
        self._fresh = fresh
        if not self.alive:
            self._up.set()
        self._action_task = asyncio.get_running_loop().create_task(self._run_actions())

    async def wait_up(self) -> None:
        """Wait until the agent is up. Raises `AgentFailed` or `ConversationLost`."""
        try:
            async with asyncio.timeout(self._may_take_s) as self._start_bound:
                await self._up.wait()
        except TimeoutError:
            what = f", and {self._preparing} still runs" if self._preparing else ""
            within = f"it did not answer within {self._may_take_s:.0f} seconds{what}"
            await self.agent.kill()
            self._last_detail = within
            self.alive = False
        if not self.alive:
            text = f"{self.agent.name} did not start: {self._last_detail}"
            raise (ConversationLost if self._lost else AgentFailed)(text, "midflight doctor")

    @property
    def _may_take_s(self) -> float:
        """How long it may take from now on until the agent is up."""
        return PREPARE_TIMEOUT_S if self._preparing else START_TIMEOUT_S

    def _comes_up(self, signal: Preparing | Up) -> bool:
        """Tell whether the agent is up; what its start waits for has a time of its own."""
        if isinstance(signal, Up):
            self._up.set()
            return True
        self._preparing = signal.what
        bound = self._start_bound
        if bound is not None and not self._up.is_set() and not bound.expired():
            bound.reschedule(asyncio.get_running_loop().time() + self._may_take_s)
        return False

    async def close(self) -> None:
        """Stop the agent, then the tasks."""
        if self._action_task is not None:
            self._action_task.cancel()
        await self.agent.close()
        await self._readers.join(timeout=ACTION_TIMEOUT_S)
        self._readers.cancel()
        if self._action_task is not None:
            await asyncio.wait({self._action_task}, timeout=ACTION_TIMEOUT_S)

    async def abandon(self) -> None:
        """Kill the agent, and carry out no more actions."""
        if self._action_task is not None:
            self._action_task.cancel()
        await self.agent.kill()

    async def check_budget(self, cap: float | None, model: str | None = None) -> None:
        """Raise `UnsupportedOption` where a budget cannot be kept with a model, or the one in use.

        The model of an agent that is not alive is looked at when it is started.
        """
        if cap is None:
            return
        if self.agent.capabilities["cost"] == "not":
            raise UnsupportedOption(
                "max_budget_usd",
                f"it is not known what {self.agent.name} costs",
                "max_turns and timeout are kept",
            )
        if self.alive:
            await self._check_model(model)

    def check_images(self, images: Sequence[Image]) -> None:
        """Raise `UnsupportedOption` for images where the agent takes none.

        Some agents tell only when they have started, so of one that has not it is not known.
        """
        if images and self.alive and self.agent.capabilities.get("images", "not") == "not":
            why = self.agent.limits.get("images", f"{self.agent.name} takes none")
            raise UnsupportedOption("images", why, "name a file in the text, or use another agent")

    async def _check_model(self, model: str | None) -> None:
        if self.agent.capabilities["cost"] == "estimated":
            await asyncio.to_thread(load_prices)
        if self.agent.cost_with(model) == "not":
            which = model or "the model that the agent uses here"
            raise UnsupportedOption(
                "max_budget_usd",
                f"it would not be known what {which} costs: it has no list price",
                "choose another model, or leave the limit out",
            )

    # Reading ------------------------------------------------------------------------------

    async def _start_agent(self) -> None:
        self._up.clear()
        self._lost, self._preparing = False, ""
        if not self._ready:
            try:
                memory = await self._memory.recall()
                # Drivers of others may know of none.
                await self.agent.start(**({} if memory is None else {"memory": memory}))
            except BaseException:
                self._up.set()
                raise
        try:
            if self._options.max_budget_usd is not None:
                await self._check_model(self._options.model)
        except BaseException:
            self._up.set()
            await self.agent.kill()
            raise
        _log.debug("%s: the agent is started", self.agent.name)
        self._ready = False
        self._kept = self._options
        self.alive = True
        self._readers.start(self._read(self.agent))

    async def _read(self, agent: Agent) -> None:
        """Feed the rules with the agent's signals until it has ended."""
        clock = asyncio.get_running_loop().time
        came_up = False
        feed = self._rules.signal
        died = Died("its reports ended")
        try:
            async for signal in agent.events():
                if isinstance(signal, (TextDelta, ThinkingDelta)):
                    feed(signal, clock())
                    continue
                if isinstance(signal, Remembered):
                    self._memory.take(signal)
                    continue
                if isinstance(signal, Died):
                    died = signal
                    break
                signal = await self._completed(signal)  # noqa: PLW2901 - the same, whole
                if isinstance(signal, (Preparing, Up)):
                    came_up |= self._comes_up(signal)
                feed(signal, clock())
                self._after_input()
                if isinstance(signal, Step) and self._rules.state.tools:
                    self._request_prices()
        except Exception as error:  # noqa: BLE001 - a driver's mistake must not hang the session
            died = Died(f"its reports could not be read: {type(error).__name__}: {error}")
        finally:
            with contextlib.suppress(Exception):
                await agent.kill()
                self._request_prices()
                if self._pricing is not None:
                    await self._pricing
            _log.debug("%s: the agent has ended", agent.name)
            self.alive = False
            self._last_detail, self._lost = died.detail, died.lost
            self._up.set()
            if self._retiring:
                self._rules.retired(clock())
            elif came_up:
                feed(died, clock())
            self._after_input()

    async def _completed(self, signal: Signal) -> Signal:
        """Return a signal with what this machine knows of it: a call's effects, prices."""
        if isinstance(signal, PermissionRequested):
            self._keep_input(signal)
            return await self.with_effects(signal)
        if isinstance(signal, Finished) and signal.cost_usd is None:
            await self._prices(signal)
        return signal

    def _keep_input(self, request: PermissionRequested) -> None:
        """Keep a copy of a call's input: a reader of the event can change the one that it has."""
        self._inputs[request.call] = copy.deepcopy(request.input)
        if len(self._inputs) > KEPT_INPUTS:
            del self._inputs[next(iter(self._inputs))]

    async def with_effects(self, request: PermissionRequested) -> PermissionRequested:
        """Return a request with what it would do now, and the rule that this amounts to.

        Files are read for it, in a thread; where that fails or takes too long, the raw input is
        shown.
        """
        kept = self._inputs.get(request.call, request.input)
        request = msgspec.structs.replace(request, input=copy.deepcopy(kept))
        effects = await self.effects_of(request)
        rule = rule_of(effects, str(self._options.cwd))
        return msgspec.structs.replace(request, effects=effects, rule=rule)

    async def effects_of(self, request: PermissionRequested) -> tuple[Effect, ...]:
        """Return what a call with the input of a request would do; its raw input as above."""
        try:
            async with asyncio.timeout(EFFECTS_TIMEOUT_S):
                return await asyncio.to_thread(self.agent.effects, request)
        except Exception as error:  # noqa: BLE001 - what cannot be told must be shown raw
            _log.debug("%s: no effects: %s", self.agent.name, type(error).__name__)
            return (OtherEffect(input=request.input),)

    def _request_prices(self) -> None:
        """Load the price table in a thread, if a model call waits for it; estimates follow.

        Loading costs processor time, so it is done only for a turn that goes on with a tool, or
        that ended without the agent's own figure.
        """
        unpriced = self._rules.state.ledger.unpriced
        if unpriced and self._pricing is None and not prices_loaded():
            self._pricing = asyncio.get_running_loop().create_task(self._load_prices())

    async def _prices(self, end: Finished) -> None:
        """Wait for the price table, where nothing else says what an ended turn has cost."""
        if (end.used or self._rules.state.ledger.unpriced) and not prices_loaded():
            await asyncio.to_thread(load_prices)
        self._rules.reprice()

    async def _load_prices(self) -> None:
        await asyncio.to_thread(load_prices)
        self._rules.reprice()
        self._after_input()

    # Actions ------------------------------------------------------------------------------

    async def _run_actions(self) -> None:
        while True:
            action = await self._actions.get()
            try:
                await self._before_action(action)
                if isinstance(action, a.Hand) and not self._rules.is_current(action):
                    continue
                starting = isinstance(action, a.Hand) and (not self.alive or self._outgrown)
                async with asyncio.timeout(None if starting else ACTION_TIMEOUT_S):
                    await self._perform(action)
            except StoreFailed:
                return  # the record has reported it to the session, which ends the agent
            except Exception as error:  # noqa: BLE001 - the next action must be carried out
                self._action_failed(action, error)
            finally:
                self._actions.task_done()
            self._after_input()

    async def _perform(self, action: a.Action) -> None:
        agent = self.agent
        _log.debug("%s: action %s", agent.name, type(action).__name__)
        match action:
            case a.Hand():
                await self._hand(action)
            case _ if not self.alive:
                self._remember(action)
            case a.Cancel(message=message):
                await agent.cancel(message)
            case a.Interrupt():
                await agent.interrupt()
                self._interrupted = asyncio.get_running_loop().time()
            case a.Kill(waited=waited):
                if waited or self._ignores_interrupt():
                    await agent.kill()
            case a.Reply(reply=reply):
                await agent.reply(reply)
            case a.SetModel(model=model):
                await agent.set_model(model)
                self._remember(action)
                self._rules.notice("info", f"the model is now {model}")
            case a.SetPermissionMode(mode=mode):
                await agent.set_permission_mode(mode)
                self._remember(action)
                self._rules.mode_taken(mode, asyncio.get_running_loop().time())
                self._rules.notice("info", f"the permission mode is now {mode}")
            case a.SetLimits():
                self._remember(action)
            case a.StopTask(task=task):
                await agent.stop_task(task)

    def _ignores_interrupt(self) -> bool:
        """Tell whether the agent had its time to stop: it may have been starting until now."""
        since = asyncio.get_running_loop().time() - self._interrupted
        return self._rules.stopping and since >= turns.STOP_GRACE_S / 2

    def _remember(self, action: a.Action) -> None:
        """Note a setting for the next start of the agent."""
        match action:
            case a.SetModel(model=model):
                self._options = msgspec.structs.replace(self._options, model=model)
            case a.SetPermissionMode(mode=mode):
                self._options = msgspec.structs.replace(self._options, permission_mode=mode)
            case a.SetLimits(changed=changed):
                self._options = msgspec.structs.replace(self._options, **changed)

    @property
    def _outgrown(self) -> bool:
        """The program itself keeps a limit that has been raised since it was started."""
        for name in ("max_turns", "max_budget_usd"):
            kept, now = getattr(self._kept, name), getattr(self._options, name)
            raised = kept is not None and (now is None or now > kept)
            if raised and self.agent.capabilities[name] == "supported":
                return True
        return False

    async def _hand(self, hand: a.Hand) -> None:
        """Hand the agent a message; start one that is not started, or has died, first.

        So is one anew that keeps lower limits than the session has now.
        """
        if self.alive and self._outgrown and not hand.steer:
            await self._retire()
        if not self.alive:
            if not await self._make_ready(hand.message):
                return
            await (self._start_fresh() if self._fresh else self._restart())
        images = self._images(hand.message)
        self.check_images(images)
        more = {"images": images} if images else {}  # drivers of others may know of none
        missing = "" if hand.steer else self._missing()
        text = f"{missing}\n\n{hand.text}" if missing else hand.text
        try:
            await self.agent.send(hand.message, text, steer=hand.steer, typed=hand.typed, **more)
        except AgentFailed:
            if not await self._has_ended():
                raise
            # It was ending already: its `Died` has failed the message.

    async def _retire(self) -> None:
        """End the agent's program between two turns."""
        self._retiring = True
        try:
            await self.agent.close()
            await self._readers.join(timeout=ACTION_TIMEOUT_S)
        finally:
            self._retiring = False

    async def _has_ended(self) -> bool:
        """Wait a moment for the end of the agent, and return whether it has ended."""
        await self._readers.join(timeout=END_TIMEOUT_S)
        return not self.alive

    async def _start_fresh(self) -> None:
        """Start the agent for its first message, of whose conversation nothing is lost so far."""
        await self._start_with(self._options)
        self._fresh = False

    async def _restart(self) -> None:
        """Start the agent again: resume its conversation or, if that is lost, begin a new one.

        An agent that was killed early may not have stored its conversation.
        """
        options = self._restart_options()
        try:
            await self._start_with(options)
            self._rules.notice("info", f"{self.agent.name} was restarted for the next message")
        except ConversationLost as error:
            await self._start_with(msgspec.structs.replace(options, resume=None))
            text = "could not resume the conversation and knows nothing of what was said"
            self._rules.notice("warning", f"{self.agent.name} {text}: {error.message}")

    async def _make_ready(self, message: str) -> bool:
        """Make the folder ready for a message, and tell whether that is still wanted.

        It can take minutes, which no stop has to wait for.
        """
        self._made_for = message
        try:
            # What was steered into a turn that is being stopped stands behind the message of that.
            async with asyncio.timeout(0 if self._rules.stopping else None) as making:
                self._making = making
                await self._prepare()
        except TimeoutError:
            if not making.expired():
                raise
        finally:
            self._making = None
        wanted = not (making.expired() or self._rules.stopping)
        if not wanted:
            self._rules.signal(Dropped(message), asyncio.get_running_loop().time())
        return wanted

    async def _start_with(self, options: Options) -> None:
        self.agent = self._factory(options)
        await self._start_agent()
        await self.wait_up()

    def _restart_options(self) -> Options:
        """Return the options for a restart: with the conversation, and what it has cost."""
        started = self._rules.state.started
        return msgspec.structs.replace(
            self._options,
            permission_mode=self._rules.mode,
            resume=started.agent_session if started else self._options.resume,
            fork=self._options.fork and not started,
            spent_usd=self._rules.state.ledger.known_usd,
        )

    def _action_failed(self, action: a.Action, error: Exception) -> None:
        """An action failed: end what depends on it, and publish a notice."""
        text = str(error) or "it took too long"
        now = asyncio.get_running_loop().time()
        match action:
            case a.Hand() if not self.alive:
                self._last_detail = text
                self._rules.signal(Died(text), now)
            case a.Hand(message=message):
                self._rules.signal(Dropped(message, "agent_error"), now)
            case a.SetPermissionMode(mode=mode):
                self._rules.mode_refused(mode, self._options.permission_mode, now)
        command = action.command if isinstance(action, (a.SetModel, a.SetPermissionMode)) else None
        kind = "Send" if isinstance(action, a.Hand) else type(action).__name__
        name = re.sub(r"\B([A-Z])", r"_\1", kind).lower()  # as the verb of a session
        _log.debug("%s: action %s failed: %s", self.agent.name, name, type(error).__name__)
        self._rules.notice("error", f"{name} failed{self._where}: {text}", command)

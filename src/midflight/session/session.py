"""A live session: rules, agent, events and journal, wired, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from midflight import commands as c
from midflight import events as e
from midflight import lineage
from midflight._util.aio import Alarm, finished
from midflight._util.text import slug
from midflight.agents import create
from midflight.agents.base import Agent, Support
from midflight.effects import Effect
from midflight.errors import Conflict
from midflight.images import Image
from midflight.info import RepositoryInfo
from midflight.journal.base import Past, Record, Summary
from midflight.lineage import marked
from midflight.narrowing import check_own
from midflight.options import Options, check_option
from midflight.rules.actions import Action, Hand, Requeue
from midflight.rules.session import SessionRules
from midflight.session.agent_runner import AgentRunner
from midflight.session.base import BaseSession
from midflight.session.event_log import EventLog
from midflight.session.memory import MemoryKeeper
from midflight.session.message_images import MessageImages
from midflight.session.recorder import Recorder, summary
from midflight.session.request_handler import RequestHandlerRunner
from midflight.session.second_look import SecondLook
from midflight.session.workplace import Workplace, checkout_of, placed
from midflight.state.outbox import Entry
from midflight.state.session import State
from midflight.values import PermissionMode, SessionStatus, Who
from midflight.who import here

CLOSE_GRACE_S = 2.0
"""How long a turn that is stopped may take to end when the session is closed."""

WITHDRAW_TIMEOUT_S = 5.0
"""How long an agent may take to report whether it gives a message back."""

Factory = Callable[[Options], Agent]

_log = logging.getLogger("midflight")


class Session(BaseSession):
    """One live conversation with one agent, in this process.

    `midflight.dispatch` and `midflight.open` return it; use it as an async context manager.
    Leaving the block stops the agent and its tools. It belongs to one asyncio event loop.

    ``id`` is unique, ``name`` is for people, and ``first`` is the receipt of the dispatched task,
    None without one.
    """

    def __init__(
        self,
        options: Options,
        task: str | None = None,
        agent: Factory = create,
        *,
        record: Record | None = None,
        past: Past | None = None,
        ready: Agent | None = None,
        who: Who | None = None,
        terminal: Mapping[str, str] | None = None,
        await_agent: bool = True,
        images: tuple[Image, ...] = (),
        on_place: Callable[[], None] | None = None,
        work: Path | None = None,
        repository: RepositoryInfo | None = None,
        machine: str = "",
    ) -> None:
        """Prepare a session; nothing is started. ``task`` is the first message, with its images.

        ``agent`` makes the driver from the options. With a ``record`` readers see no event before
        it is on disk. With a ``past`` the session resumes from it, and the next message starts its
        agent. ``ready`` is an agent that was started with these options. ``who`` gives the task,
        and the commands that come without a name: this program, unless it is told. ``terminal`` has
        the variables of the terminal that it is begun from. Without ``await_agent`` the task starts
        the agent, and entering waits for no more than that the task is accepted. ``work`` is the
        folder for checkouts, ``repository`` what the journal has of this one's, and ``machine`` the
        name of this machine.

        ``on_place`` is given where places are rationed: no turn begins without `begin_turn`, and it
        is called when one is wanted, or given back. One with a task takes that without looking
        whether its agent could start, since it may do so elsewhere.
        """
        name = options.name or slug(task or options.place)
        log = EventLog(hold_back=record is not None)
        super().__init__(record.session if record else uuid.uuid4().hex, name, options.agent, log)
        checkout = checkout_of(options, self.id, name, work)
        wanted, options = options, placed(options, checkout)
        self._options = options
        self._task = None if task is None else c.with_id(c.Send(text=task, images=images))
        self._who = who or here()
        self._attended = options.attended
        self._recorder = Recorder(record, log, self._on_shown, self.sever)
        self._recorded = record is not None
        self._inside = False
        self._past = past
        self._images = MessageImages(past.images if past else {}, self.entry)
        self._await_agent = await_agent or task is None or ready is not None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handler = RequestHandlerRunner(self, options.on_request, self._is_pending)
        self._alarm = Alarm(self._look)
        self._closing: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._idle_since: float | None = None
        self._awaiting: object = None
        self._on_place = on_place
        self._waiting_since = past.waiting_since if past else None
        self._place = (False, False)
        self._rules = SessionRules(
            options,
            publish=self._publish,
            act=self._act,
            attended=self._is_attended,
            awaited=lambda: self._stream_waits,
            support=lambda capability: self.capabilities[capability],
            wall_clock=time.time,
            mode=options.permission_mode,
            spent_usd=options.spent_usd,
            folders=[str(folder) for folder in (options.cwd, *options.add_dirs)],
            rationed=on_place is not None,
        )
        for_agent = marked(options, self.id, kept=self._recorded, terminal=terminal)
        self._workplace = Workplace(
            wanted,
            checkout,
            for_agent.env,
            known=repository,
            machine=machine,
            turns=lambda: self._state.turns,
            resumed=past is not None,
            report=self._report,
            notice=self._tell,
            changed=self._after_input,
            recorded=self._recorder.written,
        )
        self._runner = AgentRunner(
            self._rules,
            for_agent,
            agent,
            after_input=self._after_input,
            before_action=self._before_action,
            images=self._images.get,
            prepare=self._workplace.prepare,
            missing=lambda: self._workplace.missing,
            memory=MemoryKeeper(record, self._tell),
            ready=ready,
            where=f" on the worker {machine}" if machine and on_place is not None else "",
        )
        self._second_look = SecondLook(self._rules, self._runner, self._written)

    # State --------------------------------------------------------------------------------

    @property
    def _state(self) -> State:
        return self._rules.state

    @property
    def _quiet(self) -> bool:
        return self._rules.quiet

    @property
    def status(self) -> SessionStatus:
        """``starting``, ``running``, ``waiting`` (for an answer), ``idle`` or ``closed``."""
        if self._log.error is not None:
            return "closed"
        starting = self._state.ended is None and not self._runner.up
        return "starting" if starting else self._rules.status

    @property
    def options(self) -> Options:
        """The options that the session was opened with."""
        return self._options

    @property
    def limits(self) -> dict[str, Any]:
        """The limits in force: those of a turn and the budget that are set, by their names."""
        return self._rules.limits.in_force()

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """For each of `CAPABILITIES`: ``supported``, ``emulated`` (by midflight) or ``not``."""
        return self._runner.agent.capabilities

    @property
    def agent_session(self) -> str | None:
        """The agent's own id of the conversation, for `Options.resume`; None until it is known."""
        return super().agent_session or self._options.resume

    @property
    def permission_mode(self) -> PermissionMode:
        """The permission mode in force."""
        return self._rules.mode

    @property
    def closing(self) -> bool:
        """The session has ended, or is about to: it accepts no more commands."""
        return self._closing is not None

    @property
    def lost(self) -> Exception | None:
        """The error of a journal that could not store all of the session, else None."""
        return self._log.error

    @property
    def idle_since(self) -> float | None:
        """Since when the session is quiet, by the event loop's clock; None while it is not."""
        return self._idle_since

    @property
    def engaged(self) -> bool:
        """A turn runs, or the agent has been handed a message."""
        return self._rules.engaged

    @property
    def wants_place(self) -> bool:
        """A message would open a turn, if there were a place for it; see ``on_place``."""
        return self._rules.wants_place and not self.closing

    def begin_turn(self) -> None:
        """Let the next message open a turn: there is a place for it."""
        self._rules.begin_turn(self._now())
        self._after_input()

    async def settled(self) -> None:
        """Wait until the agent, or its next start, knows all that it was told."""
        await self._runner.settled()
        self._after_input()

    def leave_host(self, *, leaving: bool = True) -> None:
        """Begin no further turn here, and be parked when the one that runs has ended."""
        self._rules.leave_host(leaving=leaving)
        self._after_input()

    def entry(self, message: str) -> Entry | None:
        """Return a message of the outbox by its id, or None if it is not known (any more)."""
        return self._state.outbox.find(message)

    # Verbs; those of one command each stand in `BaseSession` ---------------------------------

    def attend(self, attended: bool | None) -> None:  # noqa: FBT001 - the value is the point
        """Set whether a person is there to answer; see `Options.attended`."""
        self._attended = attended
        self._rules.attendance_changed(self._now())
        self._after_input()

    async def command(self, command: c.Command, *, who: Who | None = None) -> None:
        """Carry out a command of this very process; ``who`` gives it. Every verb comes so.

        Raises `SessionClosed`, `InvalidInput`, `InvalidOption`, `NotFound`, `Conflict` or
        `NotAllowed`.
        """
        if self._inside:
            check_own(command, self._options.permission_mode)
        await self.carry_out(command, who=who)

    async def carry_out(self, command: c.Command, *, who: Who | None = None) -> None:
        """Carry out a command whose caller may give it; otherwise like `command`."""
        if isinstance(command, c.Close):
            await self.close()
            return
        if isinstance(command, c.SetModel):
            check_option("model", command.model)
        if isinstance(command, c.SetPermissionMode):
            check_option("permission_mode", command.mode)
        command = c.with_id(c.checked(command))
        self._check_loop()
        _log.debug("session %s: command %s, id %s", self.name, type(command).__name__, command.id)
        if isinstance(command, c.Answer) and command.decision == "allow":
            await self._second_look.check(command)
        if isinstance(command, c.SetPermissionMode) and command.mode == "acceptEdits":
            await self._second_look.renew(self._state.requests.pending)
        if isinstance(command, c.SetModel):
            await self._runner.check_budget(self._rules.limits.max_budget_usd, command.model)
        if isinstance(command, c.SetLimits):
            await self._runner.check_budget(command.given().get("max_budget_usd"))
        self._take(command, who or self._who)
        await self._written()

    def _take(self, command: c.Command, who: Who) -> None:
        """Have the rules carry out a command; of images they only know what they are."""
        if isinstance(command, (c.Send, c.Redirect)):
            self._runner.check_images(command.images)
        with self._images.of_command(command):
            self._rules.command(command, self._now(), who)

    async def effects_of(self, request: str, input: dict[str, Any]) -> tuple[Effect, ...]:
        """Return what the call of a permission would do with another input, before it is given.

        Raises `NotFound`, `AlreadyAnswered`, or `InvalidInput` where it cannot be given.
        """
        return await self._second_look.told(request, input)

    async def _written(self) -> None:
        self._after_input()
        await self._recorder.written()

    async def charge(self, usd: float) -> None:
        """Count the US dollars that others have spent so far on this session's account.

        They count towards ``max_budget_usd``: when that is spent, the running turn ends with
        ``limit/max_budget``, and later messages fail.
        """
        self._check_loop()
        self._rules.charge(usd, self._now())
        await self._written()

    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Publish a line for people as a `Notice`; ``command`` is the id of one that failed."""
        self._rules.notice(level, text, command)

    async def withdraw(self, message: str) -> bool:
        """Cancel a message, and return whether that worked; see `Message.cancel`."""
        try:
            await self.command(c.Cancel(message=message))
        except Conflict:
            return False
        entry = self._state.outbox.get(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                while entry.state == "accepted" and entry.cancelling:
                    await self._log.changed()
        await self._recorder.written()
        return entry.state == "cancelled"

    def _check_entered(self) -> None:
        if self._loop is None:
            raise Conflict(
                "the session has not been entered", "use: async with midflight.dispatch(…)"
            )

    def _check_loop(self) -> None:
        """Raise unless the session is entered, in this event loop, and has a journal that works."""
        self._check_entered()
        if self._log.error is not None:
            raise self._log.error
        if self._loop is not asyncio.get_running_loop():
            raise Conflict(
                "the session belongs to another event loop", "use it in the loop that entered it"
            )

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the agent, and send it the task if there is one.

        Raises `AgentUnavailable`, `UnsupportedOption` or `AgentFailed`; nothing is left running.
        A resumed session starts its agent with the next message, and one that does not await its
        agent with the task, which fails where that does. Inside of an agent it may be `NotAllowed`:
        it has no more than that agent.
        """
        if self._loop is not None:
            raise Conflict("a session is entered once", "dispatch a new one")
        self._loop = asyncio.get_running_loop()
        self._inside = bool(lineage.inside())
        await self._check_inside()
        self._recorder.begin()
        if self._past is not None:
            self._resume(self._past)
            return self
        try:
            if self._on_place is not None:
                self._runner.begin()
            elif self._await_agent:
                await self._runner.start()
            else:
                await self._runner.prepare()
            if self._task is not None:
                self.first = await self._message(self._task)
            if self._await_agent and self._on_place is None:
                await self._runner.wait_up()
            await self._check_inside(self.id)
        except BaseException:
            await self.close("failed to start")
            raise
        return self

    async def _check_inside(self, session: str = "") -> None:
        """Look whether an agent's program may begin this one; a host has done that for its own."""
        if self._inside and not self._recorded:
            from midflight.family import check_unkept

            await check_unkept(self._options, session)

    def _resume(self, past: Past) -> None:
        self._log.restore(past.recent)
        self._reader = self._log.reader(self._log.last_seq)
        self._rules.recover(past, self._now())
        self._rules.resume(self._now())
        for entry in self._state.outbox.waiting():
            self._update_receipts(
                e.MessageAccepted(
                    message=entry.id,
                    text=entry.text,
                    delivery=entry.delivery,
                    images=entry.images,
                )
            )
        self._runner.begin(fresh=self._state.started is None)
        self._after_input()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop the agent and its tools, also when the block was cancelled."""
        await self.close()

    async def close(self, reason: str = "closed") -> None:
        """End the session: its turn, messages, requests, agent and tools. Safe to call twice.

        ``reason`` is that of ``session.ended``. The session is closed also if the calling task is
        cancelled meanwhile.
        """
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close(reason))
        await finished(self._closing)

    async def _close(self, reason: str) -> None:
        _log.debug("session %s: close, %s", self.name, reason)
        self._rules.begin_close(reason, self._now())
        self._after_input()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                while self._rules.engaged and self._runner.alive:
                    await self._log.changed()
        try:
            await self._runner.close()
            await self._workplace.close(keep=reason != "removed")
        finally:
            self._rules.finish(reason, self._now())
            self._handler.close()
            self._alarm.set(None)
            self._recorder.note(self._summary)
            await self._recorder.close()
            self._log.end()
            self._ended.set()

    def sever(self, error: Exception) -> None:
        """The journal takes no more: end the agent, and show no event that is not on disk.

        The messages fail here with ``store_failed``; the host that resumes the session from the
        journal ends them there.
        """
        if self._log.ended:
            return
        _log.debug("session %s: the journal takes no more: %s", self.name, error)
        for message in list(self._messages.values()):
            message.lose(str(error))
        self._log.end(error)
        self._recorder.fail(error)
        self._handler.close()
        self._closing = asyncio.get_running_loop().create_task(self._abandon())

    async def _abandon(self) -> None:
        await self._runner.abandon()
        await self._workplace.abandon()
        await self._recorder.close()
        self._ended.set()

    async def over(self) -> None:
        """Wait until the session and its agent have ended."""
        await self._ended.wait()

    # What the rules ask of the session ------------------------------------------------------

    def _publish(self, event: e.Event) -> e.Event:
        """Stamp an event with its place, append it to the log, and record it if it is durable."""
        seq = self._log.last_seq + 1 if event.durable else None
        event = e.stamp(event, seq=seq, session=self.id, turn=event.turn, time=time.time())
        self._log.append(event)
        if seq is not None:
            self._recorder.append(event, self._images.record(event))
        return event

    def _on_shown(self, event: e.Event) -> None:
        """Readers may see a durable event: update the receipts, and call the program's handler."""
        self._update_receipts(event)
        if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
            self._handler.call(event)
        if isinstance(event, e.TurnEnded):
            self._workplace.turn_ended(event.turn or 0)

    def _report(self, event: e.Event) -> None:
        """Take what is done for the agent like what it does itself."""
        self._rules.signal(event, self._now())
        self._after_input()

    def _tell(self, level: e.Level, text: str) -> None:
        self.notice(level, text)
        self._after_input()

    def _act(self, action: Action) -> None:
        if isinstance(action, (Hand, Requeue)):  # recorded with the events before it: one commit
            self._recorder.handed(action.message, back=isinstance(action, Requeue))
        if not isinstance(action, Requeue):
            self._runner.put(action)

    async def _before_action(self, action: Action) -> None:
        """Wait until the events that led to an action are on disk, and so is the turn's work."""
        await self._recorder.written()
        if isinstance(action, Hand) and not action.steer:
            await self._workplace.settled()

    def _is_pending(self, request: str) -> bool:
        return request in self._rules.state.requests.pending

    def _is_attended(self) -> bool | None:
        if self._attended is not None:
            return self._attended
        reachable = self._options.on_request or self._recorded or self._log.was_read
        return None if reachable else False

    def _await_quiet(self, stream: object) -> None:
        if stream is not self._awaiting:
            self._awaiting = stream
            self._rules.await_quiet(self._now())
        if self._state.tasks:
            self._alarm.set(self._rules.due())

    # Time ---------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _after_input(self) -> None:
        """After every input: wake the readers, and set the alarm for the next deadline."""
        self._log.wake()
        if not self._rules.quiet:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self._now()
        self._recorder.note(self._summary)
        self._alarm.set(None if self._log.ended else self._rules.due())
        if self._rules.left and self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close("parked"))
        place = (self._rules.engaged, self._rules.wants_place)
        if self._on_place is not None and place != self._place:
            self._place = place
            self._on_place()

    def _look(self) -> None:
        self._rules.look(self._now())
        self._after_input()

    def _summary(self) -> Summary:
        since = self._waiting_since or time.time()
        self._waiting_since = since if self._rules.waits else None
        found = summary(
            self._state,
            status=self.status,
            model=self._runner.model or "",
            permission_mode=self._rules.mode,
            waiting_since=self._waiting_since,
        )
        stays = self._state.started is not None and self.capabilities["relocate"] == "not"
        return self._workplace.noted(found, at_work=self._runner.alive, stays=stays)

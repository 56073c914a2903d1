"""A live session: the rules, an agent, and the events, held together by one object."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.actions import Action, Back, Hand
from midflight.agents import create
from midflight.agents.base import Agent, Support
from midflight.alarm import Alarm
from midflight.conductor import Conductor
from midflight.conversation import Conversation
from midflight.core import Limits
from midflight.errors import Conflict
from midflight.finish import finished
from midflight.handling import Handling
from midflight.lineage import marked
from midflight.log import EventLog
from midflight.options import Options, slug
from midflight.outbox import Entry
from midflight.record import Past, Record, Summary
from midflight.recorder import Recorder, summary
from midflight.state import SessionStatus, State
from midflight.surface import Surface

__all__ = ["Session"]

CLOSE_GRACE_S = 2.0
"""How long a running turn may take to end by itself when the session is closed."""

WITHDRAW_TIMEOUT_S = 5.0
"""How long an agent may take to say whether it gives a message back."""

NOT_ENTERED = ("the session has not been entered", "use: async with midflight.dispatch(…)")

Factory = Callable[[Options], Agent]


class Session(Surface):
    """One live conversation with one agent. The object is the state: there is nothing else to keep.

    Made by `midflight.dispatch` or `midflight.open`; use it as an async context manager. Leaving
    the block stops the agent and its tools. All of it belongs to one asyncio event loop.

    ``id`` is unique, ``name`` is for people, ``options`` are as given, ``capabilities`` tell what
    the agent supports itself, ``first`` is the receipt of the dispatched task.
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
    ) -> None:
        """Prepare a session; nothing is started. ``task`` is the first message.

        With a ``record`` nothing is shown before it is on disk; with a ``past`` the session goes
        on from there, and its agent is started by the next message. ``ready`` is an agent that
        has been started with these options.
        """
        name = options.name or slug(task or options.cwd.name)
        log = EventLog(held=record is not None)
        super().__init__(record.session if record else uuid.uuid4().hex, name, log)
        self._options = options
        self._task = task
        self._attended = options.attended
        self._recorder = Recorder(record, log, self._informed, self.sever)
        self._kept = record is not None
        self._past = past
        self._loop: asyncio.AbstractEventLoop | None = None
        self._handling = Handling(self, options.on_request, self._waits)
        self._alarm = Alarm(self._look)
        self._closer: asyncio.Task[None] | None = None
        self._over = asyncio.Event()
        self._idle_since: float | None = None
        self._rules = Conversation(
            Limits(**{name: getattr(options, name) for name in Limits.__struct_fields__}),
            tell=self._tell,
            act=self._act,
            attended=self._somebody,
            can=lambda capability: self.capabilities[capability],
            mode=options.permission_mode,
            spent_usd=options.spent_usd,
        )
        self._conductor = Conductor(
            self._rules,
            marked(options, self.id, kept=self._kept),
            agent,
            after=self._after,
            before=self._before,
            ready=ready,
        )

    # What can be seen ---------------------------------------------------------------------

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
        starting = self._state.ended is None and not self._conductor.up
        return "starting" if starting else self._rules.status

    @property
    def options(self) -> Options:
        """The options as they were given; see `midflight.Options`."""
        return self._options

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """For each thing an agent can do: supported, emulated by midflight, or not."""
        return self._conductor.agent.capabilities

    @property
    def agent_session(self) -> str | None:
        """The agent's own id of the conversation, for `Options.resume`; None before it is known."""
        return super().agent_session or self._options.resume

    @property
    def permission_mode(self) -> str:
        """The permission mode in force."""
        return self._rules.mode

    # Verbs; the others are in `midflight.verbs` -------------------------------------------

    def attend(self, attended: bool | None) -> None:  # noqa: FBT001 - the value is the point
        """Say whether somebody is there to answer; see `Options.attended`."""
        self._attended = attended
        self._rules.attendance_changed(self._now())
        self._after()

    async def command(self, command: c.Command) -> None:
        """Carry out a command object. Every verb goes through here.

        Raises `SessionClosed`, `InvalidInput`, `InvalidOption`, `NotFound` or `Conflict`.
        """
        if isinstance(command, c.Close):
            await self.close()
            return
        if isinstance(command, (c.Send, c.Redirect, c.Edit)):
            c.check_text(command.text)
        command = c.checked(command)
        self._check_here()
        if isinstance(command, (c.Send, c.Redirect)) and not command.id:
            command = msgspec.structs.replace(command, id=str(uuid.uuid4()))
        if isinstance(command, c.SetModel):
            Options.build(model=command.model)
        if isinstance(command, c.SetPermissionMode):
            Options.build(permission_mode=command.mode)
        self._rules.command(command, self._now())
        self._after()
        await self._recorder.written()

    async def charge(self, usd: float) -> None:
        """Count what others have cost so far on this session's account towards its budget.

        Where that is spent, the turn ends with ``limit/max_budget``, as any that follows.
        """
        self._check_here()
        self._rules.charge(usd, self._now())
        self._after()
        await self._recorder.written()

    def _check_entered(self) -> None:
        if self._loop is None:
            raise Conflict(*NOT_ENTERED)

    def _check_here(self) -> None:
        """A session works in the event loop that it was entered in, and in no other."""
        self._check_entered()
        if self._log.error is not None:
            raise self._log.error
        if self._loop is not asyncio.get_running_loop():
            raise Conflict("the session belongs to another event loop")

    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Put a line for people among the events."""
        self._rules.notice(level, text, command)

    async def withdraw(self, message: str) -> bool:
        """Cancel a message and wait until it is known whether that worked; see `Message.cancel`."""
        try:
            await self.command(c.Cancel(message=message))
        except Conflict:
            return False
        entry = self._state.outbox.get(message)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                while entry.state == "accepted" and entry.leaving:
                    await self._log.changed()
        await self._recorder.written()
        return entry.state == "cancelled"

    def entry(self, message: str) -> Entry | None:
        """Return a message's place in the outbox, or None if it is not known (any more)."""
        return self._state.outbox.find(message)

    # Events -------------------------------------------------------------------------------

    def _tell(self, event: e.Event) -> e.Event:
        """Give an event its place, and let everybody see it who waits for it."""
        seq = self._log.last_seq + 1 if event.durable else None
        event = e.stamp(event, seq=seq, session=self.id, turn=event.turn, time=time.time())
        self._log.append(event)
        if seq is not None:
            self._recorder.append(event)
        return event

    def _informed(self, event: e.Event) -> None:
        """Tell those who wait for a durable event that may be seen now."""
        self._inform(event)
        if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
            self._handling.call(event)

    async def _before(self, action: Action) -> None:
        """Do nothing to the agent before it is on disk why."""
        await self._recorder.written()

    def sever(self, error: Exception) -> None:
        """The journal takes no more: end the agent, and show nothing that is not on disk.

        What became of the messages cannot be said here; whoever goes on from the journal will.
        """
        if self._log.ended:
            return
        for message in list(self._messages.values()):
            message.lose(str(error))
        self._log.end(error)
        self._recorder.fail(error)
        self._handling.close()
        self._closer = asyncio.get_running_loop().create_task(self._abandon())

    def _waits(self, request: str) -> bool:
        return request in self._rules.state.requests.pending

    def _somebody(self) -> bool | None:
        if self._attended is not None:
            return self._attended
        somebody = self._options.on_request or self._kept or self._log.read_by_somebody
        return None if somebody else False

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the agent and hand it the first message.

        Raises `AgentUnavailable`, `UnsupportedOption` or `AgentFailed`; nothing is left running.
        A session with a past starts its agent with the next message.
        """
        if self._loop is not None:
            raise Conflict("a session is entered once", "dispatch a new one")
        self._loop = asyncio.get_running_loop()
        self._recorder.begin()
        if self._past is not None:
            self._go_on(self._past)
            return self
        try:
            await self._conductor.start()
            if self._task is not None:
                self.first = await self.send(self._task)
            await self._conductor.wait_up()
        except BaseException:
            await self.close("failed to start")
            raise
        return self

    def _go_on(self, past: Past) -> None:
        self._log.restore(past.recent)
        self._reader = self._log.reader(self._log.last_seq)
        self._rules.settle(past, self._now())
        self._rules.resume(self._now())
        for entry in self._state.outbox.waiting():
            told = e.MessageAccepted(message=entry.id, text=entry.text, delivery=entry.delivery)
            self._inform(told)
        self._conductor.begin()
        self._after()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop the agent and its tools, also when the block was cancelled."""
        await self.close()

    async def close(self, reason: str = "closed") -> None:
        """End the session: turn, messages, requests, agent, tools. Safe to call twice.

        Runs to its end even if the calling task is cancelled meanwhile.
        """
        if self._closer is None:
            self._closer = asyncio.get_running_loop().create_task(self._close(reason))
        await finished(self._closer)

    async def _close(self, reason: str) -> None:
        self._rules.begin_close(reason, self._now())
        self._after()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_GRACE_S):
                while self._rules.engaged and self._conductor.alive:
                    await self._log.changed()
        try:
            await self._conductor.close()
        finally:
            self._rules.finish(reason, self._now())
            self._handling.close()
            self._alarm.set(None)
            self._recorder.note(self._summary)
            await self._recorder.close()
            self._log.end()
            self._over.set()

    async def _abandon(self) -> None:
        await self._conductor.abandon()
        await self._recorder.close()
        self._over.set()

    @property
    def closing(self) -> bool:
        """The session takes no more commands: it has ended, or is about to."""
        return self._closer is not None

    @property
    def lost(self) -> Exception | None:
        """Why the journal has not taken all of the session; None as long as it does."""
        return self._log.error

    async def over(self) -> None:
        """Wait until the session has ended and its agent is gone."""
        await self._over.wait()

    @property
    def idle_since(self) -> float | None:
        """Since when nothing happens, by the event loop's clock; None while something does."""
        return self._idle_since

    # Time ---------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _act(self, action: Action) -> None:
        if isinstance(action, (Hand, Back)):  # noted with what has led to it: one commit for both
            self._recorder.handed(action.message, back=isinstance(action, Back))
        if not isinstance(action, Back):
            self._conductor.put(action)

    def _after(self) -> None:
        """After every input: let readers look again, and set the clock for the next deadline."""
        self._log.wake()
        if not self._rules.quiet:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = self._now()
        self._recorder.note(self._summary)
        self._alarm.set(None if self._log.ended else self._rules.due())

    def _look(self) -> None:
        self._rules.look(self._now())
        self._after()

    def _summary(self) -> Summary:
        return summary(
            self._state,
            status=self.status,
            model=self._conductor.model or "",
            permission_mode=self._rules.mode,
        )

"""A live session: the rules, an agent, and the events, held together by one object."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Literal, Self

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.actions import Action
from midflight.agents import create
from midflight.agents.base import Agent, Support
from midflight.conductor import Conductor
from midflight.conversation import Conversation
from midflight.core import Limits
from midflight.errors import Conflict
from midflight.handling import Handling
from midflight.log import EventLog
from midflight.message import Message
from midflight.options import Options, slug
from midflight.requests import Request
from midflight.state import SessionStatus
from midflight.verbs import Verbs

__all__ = ["Session"]

CLOSE_GRACE_S = 2.0
"""How long a running turn may take to end by itself when the session is closed."""

WITHDRAW_TIMEOUT_S = 5.0
"""How long an agent may take to say whether it gives a message back."""

NOT_ENTERED = ("the session has not been entered", "use: async with midflight.dispatch(…)")

Factory = Callable[[Options], Agent]


class Session(Verbs):
    """One live conversation with one agent. The object is the state: there is nothing else to keep.

    Made by `midflight.dispatch` or `midflight.open`; use it as an async context manager. Leaving
    the block stops the agent and its tools. All of it belongs to one asyncio event loop.

    ``id`` is unique, ``name`` is for people, ``options`` are as given, ``capabilities`` tell what
    the agent supports itself, ``first`` is the receipt of the dispatched task.
    """

    def __init__(self, options: Options, task: str | None = None, agent: Factory = create) -> None:
        """Prepare a session; nothing is started. ``task`` is the first message."""
        self.id = uuid.uuid4().hex
        self.options = options
        self.name = options.name or slug(task or options.cwd.name)
        self._task = task
        self.first: Message | None = None
        self._attended = options.attended
        self._log = EventLog()
        self._reader = self._log.reader()
        self._stream: object = None
        self._stream_waits = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._messages: dict[str, Message] = {}
        self._newest: Message | None = None
        self._handling = Handling(self, options.on_request, self._waits)
        self._timer: asyncio.TimerHandle | None = None
        self._closer: asyncio.Task[None] | None = None
        self._rules = Conversation(
            Limits(**{name: getattr(options, name) for name in Limits.__struct_fields__}),
            tell=self._tell,
            act=self._act,
            attended=self._somebody,
            can=lambda capability: self.capabilities[capability],
            mode=options.permission_mode,
            spent_usd=options.spent_usd,
        )
        self._conductor = Conductor(self._rules, options, agent, self._after)

    # What can be seen ---------------------------------------------------------------------

    @property
    def status(self) -> SessionStatus:
        """``starting``, ``running``, ``waiting`` (for an answer), ``idle`` or ``closed``."""
        status = self._rules.state.status
        return "starting" if status != "closed" and not self._conductor.up else status

    @property
    def pending(self) -> tuple[Request, ...]:
        """The permission requests and questions that wait for an answer."""
        return tuple(self._rules.state.requests.pending.values())

    @property
    def queued(self) -> tuple[Message, ...]:
        """The messages that the agent has not read, first in line first."""
        return tuple(self._messages[entry.id] for entry in self._rules.state.outbox.waiting())

    @property
    def total_cost_usd(self) -> float:
        """US dollars so far; while a turn runs it may contain an estimate."""
        return self._rules.state.ledger.total_usd

    @property
    def capabilities(self) -> Mapping[str, Support]:
        """For each thing an agent can do: supported, emulated by midflight, or not."""
        return self._conductor.agent.capabilities

    @property
    def agent_session(self) -> str | None:
        """The agent's own id of the conversation, for `Options.resume`; None before it is known."""
        started = self._rules.state.started
        return started.agent_session if started else self.options.resume

    @property
    def last_seq(self) -> int:
        """The number of the newest durable event, for `events`."""
        return self._log.last_seq

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

    def _check_here(self) -> None:
        """A session works in the event loop that it was entered in, and in no other."""
        if self._loop is None:
            raise Conflict(*NOT_ENTERED)
        if self._loop is not asyncio.get_running_loop():
            raise Conflict("the session belongs to another event loop")

    def notice(
        self, level: Literal["info", "warning", "error"], text: str, command: str | None = None
    ) -> None:
        """Put a line for people among the events."""
        self._rules.notice(level, text, command)

    async def withdraw(self, message: Message) -> bool:
        """Cancel a message and wait until it is known whether that worked; see `Message.cancel`."""
        try:
            await self.command(c.Cancel(message=message.id))
        except Conflict:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_TIMEOUT_S):
                while message.state == "accepted" and self._is_leaving(message.id):
                    await self._log.changed()
        return message.state == "cancelled"

    def _is_leaving(self, message: str) -> bool:
        entry = self._rules.state.outbox.find(message)
        return entry is not None and entry.leaving

    # Events -------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[e.Event]:
        """Yield events from where the last stream stopped, until the session is quiet.

        Quiet: no turn runs, nothing is queued, no background task lives. A loop that is left
        early, or cancelled, is gone on with by the next `stream`. Raises `Conflict` if another
        stream is being read, `EventsExpired` if too much has happened since the last one.
        """
        if self._loop is None:
            raise Conflict(*NOT_ENTERED)
        self._check_stream(None)
        mine = self._stream = object()
        events = self._reader.read(lambda: self._rules.quiet)
        while True:
            self._check_stream(mine)
            self._stream_waits = True
            try:
                event = await anext(events, None)
            finally:
                self._stream_waits = False
            if event is None:
                return
            yield event

    def _check_stream(self, mine: object) -> None:
        """Only a stream that waits is being read: Python may close one that was left much later."""
        if self._stream_waits or (mine is not None and mine is not self._stream):
            raise Conflict("this session's stream is being read elsewhere", "use events()")

    async def events(self, after: int = 0) -> AsyncIterator[e.Event]:
        """Yield every event after a sequence number, until the session has ended.

        Any number of readers. Raises `EventsExpired` when those events are no longer in memory.
        """
        async for event in self._log.reader(max(0, after)).read(lambda: False):
            yield event

    def _tell(self, event: e.Event) -> e.Event:
        """Give an event its place, and let everybody see it who waits for it."""
        seq = self._log.last_seq + 1 if event.durable else None
        event = e.stamp(event, seq=seq, session=self.id, turn=event.turn, time=time.time())
        if seq is None:
            self._log.append(event)
            return event
        match event:
            case e.MessageAccepted(message=message):
                self._newest = self._messages[message] = Message(self, event)
            case e.TurnEnded(messages=messages):
                for message in messages:
                    self._inform(message, event)
            case e.PermissionRequested() | e.QuestionRequested():
                self._handling.call(event)
            case (
                e.MessageChanged(message=message)
                | e.MessageStarted(message=message)
                | e.MessageSteered(message=message)
                | e.MessageAnswered(message=message)
                | e.MessageCancelled(message=message)
                | e.MessageFailed(message=message)
            ):
                self._inform(message, event)
        self._log.append(event)
        return event

    def _inform(self, message: str, event: e.Event) -> None:
        if message in self._messages and self._messages[message].apply(event):
            del self._messages[message]

    def _receipt(self, message: str) -> Message:
        # The newest may have ended already, for example because the budget is spent.
        if self._newest is not None and self._newest.id == message:
            return self._newest
        if message not in self._messages:
            raise Conflict(f"message {message} was sent before and has ended")
        return self._messages[message]

    def _waits(self, request: str) -> bool:
        return request in self._rules.state.requests.pending

    def _somebody(self) -> bool | None:
        if self._attended is not None:
            return self._attended
        return None if self.options.on_request or self._log.read_by_somebody else False

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the agent and hand it the first message.

        Raises `AgentUnavailable`, `UnsupportedOption` or `AgentFailed`; nothing is left running.
        """
        if self._loop is not None:
            raise Conflict("a session is entered once", "dispatch a new one")
        self._loop = asyncio.get_running_loop()
        try:
            await self._conductor.start()
            if self._task is not None:
                self.first = await self.send(self._task)
            await self._conductor.wait_up()
        except BaseException:
            await self.close("failed to start")
            raise
        return self

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
        cancelled: asyncio.CancelledError | None = None
        while not self._closer.done():
            try:
                await asyncio.shield(self._closer)
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        self._closer.result()

    async def _close(self, reason: str) -> None:
        self._rules.begin_close(self._now())
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
            if self._timer is not None:
                self._timer.cancel()
            self._log.end()

    # Time ---------------------------------------------------------------------------------

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

    def _act(self, action: Action) -> None:
        self._conductor.put(action)

    def _after(self) -> None:
        """After every input: let readers look again, and set the clock for the next deadline."""
        self._log.wake()
        due = self._rules.due()
        if self._timer is not None:
            if due is not None and self._timer.when() <= due and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if due is not None and not self._log.ended:
            self._timer = asyncio.get_running_loop().call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        self._rules.look(self._now())
        self._after()

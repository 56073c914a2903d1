"""A session as its user has it, wherever it runs: state, verbs, events and receipts."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Literal

from msgspec import UNSET, UnsetType

from midflight import commands as c
from midflight import events as e
from midflight.agents.base import Support
from midflight.errors import Conflict, MidflightError, NotFound
from midflight.events import Request
from midflight.images import Image
from midflight.options import Options
from midflight.session.event_log import EventLog
from midflight.session.image_files import ImageSource, read_images
from midflight.session.message import Message
from midflight.state.outbox import MessageState
from midflight.state.session import State
from midflight.values import PermissionMode, SessionStatus

_FATES: Mapping[MessageState, str] = {
    "started": "the agent works on it",
    "steered": "the agent has read it",
    "answered": "the agent has answered it",
    "cancelled": "it was cancelled",
    "failed": "it has failed",
}
"""What has become of a message, for who wants to change it."""


class BaseSession(ABC):
    """A session, in the process that runs it or in any other.

    `Session` and `RemoteSession` are the two; annotate with this what works on both. ``id`` is
    unique, ``name`` is for people, ``agent`` is the agent's name, and ``first`` the receipt of the
    dispatched task, None without one.
    """

    def __init__(self, id: str, name: str, agent: str, log: EventLog) -> None:
        """Begin without an event."""
        self.id = id
        self.name = name
        self.agent = agent
        self.first: Message | None = None
        self._log = log
        self._reader = log.reader()
        self._stream: object = None
        self._stream_waits = False
        self._messages: dict[str, Message] = {}
        self._newest: Message | None = None

    @property
    @abstractmethod
    def _state(self) -> State:
        """The fold of the events so far."""

    @property
    @abstractmethod
    def _quiet(self) -> bool:
        """No turn runs, no message waits, no background task lives."""

    @abstractmethod
    def _await_quiet(self, stream: object) -> None:
        """This `stream` waits for an event, or for the session to be quiet."""

    @abstractmethod
    def _check_entered(self) -> None:
        """Raise `Conflict` if the session has not been entered."""

    def __repr__(self) -> str:
        """Show the name, the agent and the status."""
        return f"<{type(self).__name__} {self.name!r} agent={self.agent} {self.status}>"

    # State --------------------------------------------------------------------------------

    @property
    def status(self) -> SessionStatus:
        """``starting``, ``running``, ``waiting`` (for an answer), ``idle`` or ``closed``."""
        return self._state.status

    @property
    def pending(self) -> tuple[Request, ...]:
        """The permission requests and questions that wait for an answer."""
        return tuple(self._state.requests.pending.values())

    @property
    def queued(self) -> tuple[Message, ...]:
        """The messages that the agent has not read, first in line first."""
        waiting = (entry.id for entry in self._state.outbox.waiting())
        return tuple(self._messages[message] for message in waiting if message in self._messages)

    def numbered(self, number: int) -> Message:
        """Return the message with this `Message.number`, which the agent has not read.

        Raises `NotFound` if there is none, `Conflict` if it waits no longer.
        """
        entry = self._state.outbox.numbered(number)
        if entry is None:
            raise NotFound(f"there is no message {number}")
        if entry.state != "accepted":
            raise Conflict(f"message {number} waits no longer: {_FATES[entry.state]}")
        return self._messages[entry.id]

    @property
    def rules(self) -> tuple[str, ...]:
        """What the user's answers have allowed for the rest of this session."""
        return self._state.rules

    @property
    def total_cost_usd(self) -> float | None:
        """What the session has cost so far, in US dollars; None where a part is not known.

        May contain an estimate in a turn.
        """
        return self._state.ledger.total_usd

    @property
    def agent_session(self) -> str | None:
        """The agent's own id of the conversation, for `Options.resume`; None until it is known."""
        return self._state.started.agent_session if self._state.started else None

    @property
    def last_seq(self) -> int:
        """The number of the newest durable event, for `events`."""
        return self._log.shown_seq

    @property
    def oldest_seq(self) -> int:
        """The number of the oldest durable event in memory, 0 if there is none."""
        return self._log.oldest_seq

    @property
    @abstractmethod
    def options(self) -> Options:
        """The options that the session was opened with."""

    @property
    @abstractmethod
    def limits(self) -> dict[str, Any]:
        """The limits in force: those of a turn and the budget that are set, by their names."""

    @property
    @abstractmethod
    def capabilities(self) -> Mapping[str, Support]:
        """For each of `CAPABILITIES`: ``supported``, ``emulated`` (by midflight) or ``not``."""

    @property
    @abstractmethod
    def permission_mode(self) -> PermissionMode:
        """The permission mode in force."""

    @abstractmethod
    def attend(self, attended: bool | None) -> None:  # noqa: FBT001 - the value is the point
        """Set whether a person is there to answer; see `Options.attended`."""

    # Verbs --------------------------------------------------------------------------------

    @abstractmethod
    async def command(self, command: c.Command) -> None:
        """Carry out a command. Raises a `MidflightError` that says why it cannot be done."""

    @abstractmethod
    async def withdraw(self, message: str) -> bool:
        """Cancel a message, and return whether that worked; see `Message.cancel`."""

    @abstractmethod
    def notice(self, level: e.Level, text: str, command: str | None = None) -> None:
        """Publish a line for people as a `Notice`; ``command`` is the id of one that failed."""

    async def send(
        self,
        text: str,
        delivery: Literal["steer", "queue"] = "steer",
        *,
        id: str | None = None,
        images: Iterable[ImageSource] = (),
    ) -> Message:
        """Send a message to the agent, and return its receipt once the session has accepted it.

        While no turn runs, one starts. In a running turn, the agent reads a ``steer`` at its next
        step; a ``queue`` gets a turn of its own afterwards. The same ``id`` twice is one message.
        ``images`` are PNG, JPEG, GIF or WebP: paths of files, bytes, or `midflight.Image`.
        Raises `InvalidInput`, `Conflict`, `SessionClosed`, or `UnsupportedOption` for images that
        the agent does not take.
        """
        made = await _read(images)
        return await self._message(c.Send(text=text, delivery=delivery, id=id, images=made))

    async def redirect(
        self,
        text: str,
        *,
        drop_queued: bool = False,
        id: str | None = None,
        images: Iterable[ImageSource] = (),
    ) -> Message:
        """Stop the running turn with its tools, then start one for this text.

        Nothing comes between the two. Other waiting messages stay in line behind it, unless
        ``drop_queued``. While no turn runs, it is like `send`, and ``images`` are as there.
        """
        made = await _read(images)
        return await self._message(
            c.Redirect(text=text, drop_queued=drop_queued, id=id, images=made)
        )

    async def _message(self, command: c.Send | c.Redirect) -> Message:
        command = c.with_id(command)
        await self.command(command)
        return self._receipt(command.id or "")

    async def interrupt(self, *, keep_queued: bool = False) -> None:
        """Stop the running turn and cancel the queued messages. The session stays usable.

        While no turn runs, it stops the agent's background tasks.
        """
        await self.command(c.Interrupt(keep_queued=keep_queued))

    async def answer(
        self,
        request: str | Request,
        decision: Literal["allow", "deny"] = "allow",
        *,
        reason: str = "",
        input: dict[str, Any] | None = None,
        answers: dict[str, str | list[str]] | None = None,
        remember: Literal["session"] | None = None,
    ) -> None:
        """Resolve a request, given by its id or its event; see `midflight.commands.Answer`.

        With ``remember="session"`` an allow holds for all that the request's ``rule`` describes.

        Raises `AlreadyAnswered` if it was resolved before, `NotFound`, or `InvalidInput` if the
        answer does not fit; the request is then still pending.
        """
        request_id = request if isinstance(request, str) else request.request
        await self.command(
            c.Answer(
                request=request_id,
                decision=decision,
                reason=reason,
                input=input,
                answers=answers,
                remember=remember,
            )
        )

    async def revoke(self, rule: str) -> None:
        """Withdraw one of `rules`. Raises `NotFound` if there is no such rule."""
        await self.command(c.Revoke(rule=rule))

    async def set_model(self, model: str) -> None:
        """Switch the model for the calls that follow. Raises `Conflict` if the agent cannot."""
        await self.command(c.SetModel(model=model))

    async def set_permission_mode(self, mode: PermissionMode) -> None:
        """Switch the permission mode for the tool calls that follow.

        Raises `Conflict` if the agent cannot.
        """
        await self.command(c.SetPermissionMode(mode=mode))

    async def set_limits(
        self,
        *,
        max_turns: int | UnsetType | None = UNSET,
        max_budget_usd: float | UnsetType | None = UNSET,
        timeout: float | UnsetType | None = UNSET,
    ) -> None:
        """Change limits: what is left out stays as it is, and None lifts a limit.

        They hold at once; a limit that Claude Code itself keeps is raised from the next turn on,
        for which its program is started anew. A session whose limit was reached goes on with the
        next message. Raises `InvalidOption`, or `UnsupportedOption` for a budget where it is not
        known what the agent costs; `NotAllowed` inside of an agent.
        """
        await self.command(
            c.SetLimits(max_turns=max_turns, max_budget_usd=max_budget_usd, timeout=timeout)
        )

    async def submit(self, command: c.Command) -> None:
        """Carry out a command, and publish an error as a `Notice` with the command's id."""
        try:
            await self.command(command)
        except MidflightError as error:
            self.notice("error", str(error), command=command.id)

    # Events -------------------------------------------------------------------------------

    async def stream(self) -> AsyncIterator[e.Event]:
        """Yield events from where the last stream stopped, until the session is quiet.

        Quiet: no turn runs, no message waits, no background task lives; in the process that runs
        the session a silent task is waited for as long as `Options.background_timeout` says. After
        a loop that was left early or cancelled, the next `stream` continues where it stopped.
        Raises `Conflict` while another stream is read, `EventsExpired` if the next events are no
        longer in memory.
        """
        self._check_entered()
        self._check_stream(None)
        token = self._stream = object()
        events = self._reader.read(lambda: self._quiet)
        while True:
            self._check_stream(token)
            self._stream_waits = True
            self._await_quiet(token)
            try:
                event = await anext(events, None)
            finally:
                self._stream_waits = False
            if event is None:
                return
            yield event

    def _check_stream(self, token: object) -> None:
        """Raise `Conflict` if another stream is read.

        Only one that waits counts: Python may close a loop that was left much later.
        """
        if self._stream_waits or (token is not None and token is not self._stream):
            raise Conflict("this session's stream is being read elsewhere", "use events()")

    async def events(self, after: int = 0) -> AsyncIterator[e.Event]:
        """Yield every event after a sequence number, until the session has ended.

        Any number of readers. Raises `EventsExpired` when those events are no longer in memory.
        """
        reader = self._log.reader(max(0, after))
        async for event in reader.read(lambda: self._state.over):
            yield event

    async def events_together(
        self, after: int = 0, silence_s: float | None = None, *, rests: bool = False
    ) -> AsyncIterator[list[e.Event]]:
        """Yield like `events`, all that is there at a time, and nothing after a silence so long.

        With ``rests`` they go on when the session is resumed, and end when it is closed.
        """
        reader = self._log.reader(max(0, after))

        def over() -> bool:
            return self.status == "closed" if rests else self._state.over

        async for events in reader.read_together(over, silence_s):
            yield events

    # Receipts -----------------------------------------------------------------------------

    def _update_receipts(self, event: e.Event) -> None:
        """Apply a durable event to the receipts."""
        match event:
            case e.MessageAccepted(message=message):
                entry = self._state.outbox.find(message)
                number = entry.number if entry else 0  # of more than are kept
                self._newest = self._messages[message] = Message(self, event, number)
            case e.TurnEnded(messages=messages):
                for message in messages:
                    self._apply(message, event)
            case (
                e.MessageChanged(message=message)
                | e.MessageStarted(message=message)
                | e.MessageSteered(message=message)
                | e.MessageAnswered(message=message)
                | e.MessageCancelled(message=message)
                | e.MessageFailed(message=message)
            ):
                self._apply(message, event)

    def _apply(self, message: str, event: e.Event) -> None:
        if message in self._messages and self._messages[message].apply(event):
            del self._messages[message]

    def _receipt(self, message: str) -> Message:
        # The newest may have ended already, for example because the budget is spent.
        if self._newest is not None and self._newest.id == message:
            return self._newest
        if message not in self._messages:
            raise Conflict(f"message {message} was sent before and has ended")
        return self._messages[message]


async def _read(images: Iterable[ImageSource]) -> tuple[Image, ...]:
    """Read the files of a message's images, in a thread."""
    return await asyncio.to_thread(read_images, images) if images else ()

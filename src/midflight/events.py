"""What a session says: frozen events, and their JSON form.

Every event has ``type`` (its JSON tag), ``seq``, ``session``, ``turn``, ``time`` and ``parent``.
Durable events have a gapless ``seq`` from 1 in their session. Ephemeral ones (the deltas and
``tool.progress``) have ``seq: null``; they are shown once and never kept.
"""

from __future__ import annotations

import functools
import json
import operator
from typing import Any, ClassVar, Literal

import msgspec

from midflight.values import (
    Decision,
    Delivery,
    Denial,
    Kind,
    Origin,
    PlanEntry,
    Question,
    Resolver,
    Result,
    Status,
    TokenUsage,
    ToolStatus,
)

__all__ = [
    "Event",
    "Level",
    "MessageAccepted",
    "MessageAnswered",
    "MessageCancelled",
    "MessageChanged",
    "MessageFailed",
    "MessageStarted",
    "MessageSteered",
    "Notice",
    "PermissionRequested",
    "PermissionResolved",
    "Plan",
    "QuestionRequested",
    "QuestionResolved",
    "Raw",
    "Request",
    "Retry",
    "SessionCharged",
    "SessionEnded",
    "SessionResumed",
    "SessionStarted",
    "Stalled",
    "TaskEnded",
    "TaskStarted",
    "Text",
    "TextDelta",
    "Thinking",
    "ThinkingDelta",
    "ToolEnded",
    "ToolProgress",
    "ToolStarted",
    "TurnEnded",
    "TurnStarted",
    "Usage",
    "UsageLimitReached",
    "decode",
    "encode",
    "stamp",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """The fields that every event has.

    ``time`` is seconds since the epoch (UTC); ``parent`` is the tool call of the sub-agent that
    the event comes from. Order events by ``seq``, never by ``time``.
    """

    durable: ClassVar[bool] = True

    seq: int | None = None
    session: str = ""
    turn: int | None = None
    time: float = 0.0
    parent: str | None = None

    @property
    def type(self) -> str:
        """The event's name in JSON, for example ``turn.ended``."""
        return str(self.__struct_config__.tag)


def stamp(event: Event, *, seq: int | None, session: str, turn: int | None, time: float) -> Event:
    """Return the event with its place in a session filled in."""
    return msgspec.structs.replace(event, seq=seq, session=session, turn=turn, time=time)


Level = Literal["info", "warning", "error"]


class SessionStarted(Event, frozen=True, kw_only=True, tag="session.started"):
    """The agent is up and has told about itself; ``problems`` are lines for a person."""

    agent: str
    agent_version: str = ""
    agent_session: str = ""
    model: str = ""
    cwd: str = ""
    tools: tuple[str, ...] = ()
    skills: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


class SessionEnded(Event, frozen=True, kw_only=True, tag="session.ended"):
    """The last event of a session, unless it is resumed from its journal.

    A session that is ``parked`` or whose host has died (``host_died``) goes on with the next
    message.
    """

    reason: str


class SessionResumed(Event, frozen=True, kw_only=True, tag="session.resumed"):
    """A session goes on that had ended for this ``reason``."""

    reason: str


class SessionCharged(Event, frozen=True, kw_only=True, tag="session.charged"):
    """What others have cost so far on this session's account: it counts towards its budget.

    It is no part of the session's own ``total_cost_usd``. The figure never decreases.
    """

    usd: float


class MessageAccepted(Event, frozen=True, kw_only=True, tag="message.accepted"):
    """The session has taken a message and will bring it to an end."""

    message: str
    text: str
    delivery: Delivery


class MessageChanged(Event, frozen=True, kw_only=True, tag="message.changed"):
    """A waiting message was edited, moved or promoted.

    ``text`` and ``delivery`` are as they are now; ``before`` is the id of the message that it
    waits in front of, or null for the end of the line.
    """

    message: str
    text: str
    delivery: Delivery
    before: str | None = None


class MessageStarted(Event, frozen=True, kw_only=True, tag="message.started"):
    """The agent works on this message: the turn began with it."""

    message: str


class MessageSteered(Event, frozen=True, kw_only=True, tag="message.steered"):
    """The agent read this message in the middle of the turn."""

    message: str


class MessageAnswered(Event, frozen=True, kw_only=True, tag="message.answered"):
    """The turn that dealt with this message was completed."""

    message: str


class MessageCancelled(Event, frozen=True, kw_only=True, tag="message.cancelled"):
    """The message was withdrawn, or its turn was stopped."""

    message: str
    reason: str


class MessageFailed(Event, frozen=True, kw_only=True, tag="message.failed"):
    """The message could not be answered; ``reason`` is a reason of ``turn.ended``."""

    message: str
    reason: str


class TurnStarted(Event, frozen=True, kw_only=True, tag="turn.started"):
    """The agent began to work: for messages, or by itself (``origin="background"``)."""

    origin: Origin
    messages: tuple[str, ...] = ()


class TurnEnded(Event, frozen=True, kw_only=True, tag="turn.ended"):
    """The one end of a turn; the fields are those of `Result`."""

    status: Status
    reason: str
    text: str = ""
    cost_usd: float = 0.0
    total_cost_usd: float = 0.0
    usage: TokenUsage = TokenUsage()
    steps: int = 0
    duration_s: float = 0.0
    messages: tuple[str, ...] = ()
    denials: tuple[Denial, ...] = ()

    @property
    def result(self) -> Result:
        """The same facts as a `Result`."""
        return Result(**{name: getattr(self, name) for name in Result.__struct_fields__})


class TextDelta(Event, frozen=True, kw_only=True, gc=False, tag="text.delta"):
    """A piece of text as it streams; provisional until `Text`, void after `Retry`."""

    durable: ClassVar[bool] = False
    text: str


class Text(Event, frozen=True, kw_only=True, tag="text"):
    """A whole block of the agent's text."""

    text: str


class ThinkingDelta(Event, frozen=True, kw_only=True, gc=False, tag="thinking.delta"):
    """A piece of the agent's thinking as it streams."""

    durable: ClassVar[bool] = False
    text: str


class Thinking(Event, frozen=True, kw_only=True, tag="thinking"):
    """A whole block of the agent's thinking."""

    text: str


class ToolStarted(Event, frozen=True, kw_only=True, tag="tool.started"):
    """The agent calls a tool; ``name`` and ``input`` are the agent's own, ``kind`` is ACP's."""

    call: str
    name: str
    kind: Kind
    title: str = ""
    input: dict[str, Any]


class ToolProgress(Event, frozen=True, kw_only=True, tag="tool.progress"):
    """A sign of life of a tool that runs."""

    durable: ClassVar[bool] = False
    call: str
    text: str = ""


class ToolEnded(Event, frozen=True, kw_only=True, tag="tool.ended"):
    """The end of a tool call; ``output`` is cut to a bound."""

    call: str
    name: str
    status: ToolStatus
    output: str = ""


class PermissionRequested(Event, frozen=True, kw_only=True, tag="permission.requested"):
    """The agent waits for leave to run a tool; ``deadline`` (epoch seconds) may be null."""

    request: str
    call: str
    name: str
    input: dict[str, Any]
    reason: str = ""
    deadline: float | None = None


class PermissionResolved(Event, frozen=True, kw_only=True, tag="permission.resolved"):
    """The one end of a permission request."""

    request: str
    decision: Decision
    by: Resolver
    reason: str = ""


class QuestionRequested(Event, frozen=True, kw_only=True, tag="question.requested"):
    """The agent waits for answers to its questions."""

    request: str
    questions: tuple[Question, ...]
    deadline: float | None = None


class QuestionResolved(Event, frozen=True, kw_only=True, tag="question.resolved"):
    """The one end of a question; ``answers`` is empty when nobody answered."""

    request: str
    answers: dict[str, str | list[str]]
    by: Resolver
    reason: str = ""


class TaskStarted(Event, frozen=True, kw_only=True, tag="task.started"):
    """Work that goes on in the background, past the end of its turn."""

    task: str
    title: str = ""
    status: str = "running"


class TaskEnded(Event, frozen=True, kw_only=True, tag="task.ended"):
    """The end of background work."""

    task: str
    title: str = ""
    status: str


class Plan(Event, frozen=True, kw_only=True, tag="plan"):
    """The agent's list of things to do, whole."""

    entries: tuple[PlanEntry, ...]


class Usage(Event, frozen=True, kw_only=True, tag="usage"):
    """Tokens of this turn so far, and money: the turn's and the session's.

    Comes after every model call, sub-agents included; the figures never decrease. ``estimated``
    says that the money was worked out from tokens; the end of the turn brings the agent's own.
    """

    cost_usd: float
    total_cost_usd: float
    estimated: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Retry(Event, frozen=True, kw_only=True, tag="retry"):
    """The model's service failed and the agent tries again; text streamed before it is void."""

    attempt: int
    delay_s: float
    status: int | None = None
    error: str = ""


class UsageLimitReached(Event, frozen=True, kw_only=True, tag="usage_limit.reached"):
    """The account has no use of its model until ``resets_at`` (epoch seconds; null: not known).

    ``message`` goes on ``at`` this time, with ``give_up_at`` as the last; all null: no waiting.
    """

    resets_at: float | None
    message: str | None = None
    at: float | None = None
    give_up_at: float | None = None


class Stalled(Event, frozen=True, kw_only=True, tag="stalled"):
    """The agent is alive but has said nothing for ``silent_s`` seconds."""

    silent_s: float


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """A line for a person: ``info``, ``warning`` or ``error``.

    ``command`` is the id of the command that could not be carried out, if that is what it says.
    """

    level: Level
    text: str
    command: str | None = None


class Raw(Event, frozen=True, kw_only=True, tag="raw"):
    """What the agent said and midflight does not know."""

    data: Any


Request = PermissionRequested | QuestionRequested
"""What an agent waits for."""

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(
    functools.reduce(operator.or_, Event.__subclasses__())
)


def encode(event: Event) -> bytes:
    """Return the event as one line of JSON; half a character, which no encoding has, as "?"."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode(errors="replace")


def decode(line: bytes | str) -> Event:
    """Read one event from JSON. Raises `msgspec.ValidationError`, a `ValueError`, if it is none."""
    return _decoder.decode(line)

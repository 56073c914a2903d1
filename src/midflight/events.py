"""The events of a session: frozen, and with a JSON form.

Every event has ``type`` (its JSON tag), ``seq``, ``session``, ``turn``, ``time`` and ``parent``.
Durable events have a gapless ``seq`` from 1 in their session. Ephemeral ones (the deltas and
``tool.progress``) have ``seq: null``; readers see them once, and no journal stores them.
"""

from __future__ import annotations

import functools
import json
import operator
from typing import Any, ClassVar, get_args

import msgspec

from midflight.effects import Effect, OtherEffect
from midflight.images import ImageInfo
from midflight.values import (
    Decision,
    Delivery,
    Denial,
    Kind,
    Level,
    Origin,
    PlanEntry,
    Question,
    Resolver,
    Result,
    Status,
    TokenUsage,
    ToolStatus,
    Who,
)

__all__ = [
    "Event",
    "Level",
    "LimitsChanged",
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
    "RuleRevoked",
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


class SessionStarted(Event, frozen=True, kw_only=True, tag="session.started"):
    """The agent is up; these are its own facts. ``problems`` are lines for a person."""

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

    After the reasons ``parked`` and ``host_died`` (the host was killed), the next message resumes
    the session. After ``waiting`` a worker does, as soon as it has a place: what was said to it is
    to begin there.
    """

    reason: str


class SessionResumed(Event, frozen=True, kw_only=True, tag="session.resumed"):
    """A host has resumed a session that had ended for this ``reason``."""

    reason: str


class SessionCharged(Event, frozen=True, kw_only=True, tag="session.charged"):
    """What others have spent so far on this session's account, in US dollars.

    It counts towards the session's budget, and not to its own ``total_cost_usd``. It never
    decreases.
    """

    usd: float


class MessageAccepted(Event, frozen=True, kw_only=True, tag="message.accepted"):
    """The session has accepted a message; one event will end it.

    ``who`` has sent it; null for a message of midflight's own, and in old journals. Of its
    ``images`` there is no more than what they are: who sends one has it.
    """

    message: str
    text: str
    delivery: Delivery
    who: Who | None = None
    images: tuple[ImageInfo, ...] = ()


class MessageChanged(Event, frozen=True, kw_only=True, tag="message.changed"):
    """A waiting message was edited, moved or promoted.

    ``text`` and ``delivery`` are the new ones; ``before`` is the id of the message that it waits
    in front of, or null for the end of the line.
    """

    message: str
    text: str
    delivery: Delivery
    before: str | None = None


class MessageStarted(Event, frozen=True, kw_only=True, tag="message.started"):
    """The agent has read this message: the turn began with it."""

    message: str


class MessageSteered(Event, frozen=True, kw_only=True, tag="message.steered"):
    """The agent has read this message within the running turn."""

    message: str


class MessageAnswered(Event, frozen=True, kw_only=True, tag="message.answered"):
    """The turn that read this message was completed."""

    message: str


class MessageCancelled(Event, frozen=True, kw_only=True, tag="message.cancelled"):
    """The message was cancelled, or its turn was interrupted."""

    message: str
    reason: str


class MessageFailed(Event, frozen=True, kw_only=True, tag="message.failed"):
    """The message was not answered; ``reason`` is one of those of ``turn.ended``."""

    message: str
    reason: str


class TurnStarted(Event, frozen=True, kw_only=True, tag="turn.started"):
    """The agent began a turn: for messages, or by itself (``origin="background"``)."""

    origin: Origin
    messages: tuple[str, ...] = ()


class TurnEnded(Event, frozen=True, kw_only=True, tag="turn.ended"):
    """The one end of a turn; the fields are those of `Result`."""

    status: Status
    reason: str
    text: str = ""
    cost_usd: float | None = 0.0
    total_cost_usd: float | None = 0.0
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
    """A piece of text as it streams; provisional until `Text`, void after `Retry`.

    ``so_far`` is told to a reader who comes in the middle of a block: it is the text until now, in
    place of what he has of it.
    """

    durable: ClassVar[bool] = False
    text: str
    so_far: bool = False


class Text(Event, frozen=True, kw_only=True, tag="text"):
    """A whole block of the agent's text."""

    text: str


class ThinkingDelta(Event, frozen=True, kw_only=True, gc=False, tag="thinking.delta"):
    """A piece of the agent's thinking as it streams; ``so_far`` is as that of `TextDelta`."""

    durable: ClassVar[bool] = False
    text: str
    so_far: bool = False


class Thinking(Event, frozen=True, kw_only=True, tag="thinking"):
    """A whole block of the agent's thinking."""

    text: str


class ToolStarted(Event, frozen=True, kw_only=True, tag="tool.started"):
    """The agent calls a tool.

    ``name`` and ``input`` are the agent's own; ``kind`` is a word of the Agent Client Protocol.
    """

    call: str
    name: str
    kind: Kind
    title: str = ""
    input: dict[str, Any]


class ToolProgress(Event, frozen=True, kw_only=True, tag="tool.progress"):
    """A running tool has put something out; ``text`` is what has come since the last one.

    Only some agents tell it before the tool's end. ``so_far`` is as that of `TextDelta`.
    """

    durable: ClassVar[bool] = False
    call: str
    text: str = ""
    so_far: bool = False


class ToolEnded(Event, frozen=True, kw_only=True, tag="tool.ended"):
    """The end of a tool call; ``output`` is cut to a bound."""

    call: str
    name: str
    status: ToolStatus
    output: str = ""


class PermissionRequested(Event, frozen=True, kw_only=True, tag="permission.requested"):
    """The agent asks whether it may run a tool.

    ``effects`` say what will happen if it may; ``rule`` is what an answer with
    ``remember="session"`` would allow from then on, empty where nothing narrow describes it.
    Without an answer it is denied at ``deadline``, in seconds since the epoch; null for never.
    """

    request: str
    call: str
    name: str
    input: dict[str, Any]
    effects: tuple[Effect, ...] = ()
    rule: str = ""
    reason: str = ""
    deadline: float | None = None


class PermissionResolved(Event, frozen=True, kw_only=True, tag="permission.resolved"):
    """The one end of a permission request.

    ``rule`` is the session's rule that allowed it, or that the user's answer has added. ``who``
    has answered; null where nobody did, and in old journals.
    """

    request: str
    decision: Decision
    by: Resolver
    reason: str = ""
    rule: str = ""
    who: Who | None = None


class RuleRevoked(Event, frozen=True, kw_only=True, tag="rule.revoked"):
    """A rule of this session holds no longer."""

    rule: str


class LimitsChanged(Event, frozen=True, kw_only=True, tag="limits.changed"):
    """The session's limits are others now; ``limits`` has all that are set, by their names."""

    limits: dict[str, Any]


class QuestionRequested(Event, frozen=True, kw_only=True, tag="question.requested"):
    """The agent, or the session itself, asks questions.

    ``deadline`` is as in `PermissionRequested`.
    """

    request: str
    questions: tuple[Question, ...]
    deadline: float | None = None


class QuestionResolved(Event, frozen=True, kw_only=True, tag="question.resolved"):
    """The one end of a question; ``answers`` is empty if it was denied or cancelled.

    ``who`` is as in `PermissionResolved`.
    """

    request: str
    answers: dict[str, str | list[str]]
    by: Resolver
    reason: str = ""
    who: Who | None = None


class TaskStarted(Event, frozen=True, kw_only=True, tag="task.started"):
    """The agent began work in the background, which may outlive its turn."""

    task: str
    title: str = ""
    status: str = "running"


class TaskEnded(Event, frozen=True, kw_only=True, tag="task.ended"):
    """The end of background work."""

    task: str
    title: str = ""
    status: str


class Plan(Event, frozen=True, kw_only=True, tag="plan"):
    """The agent's plan, always as a whole."""

    entries: tuple[PlanEntry, ...]


class Usage(Event, frozen=True, kw_only=True, tag="usage"):
    """The tokens and US dollars of this turn so far, and the dollars of the whole session.

    Comes after every model call, sub-agents included; the figures never decrease. ``estimated``
    says that the money is computed from tokens; ``turn.ended`` has the agent's own figure. Money
    is null while nothing tells it, as in `Result`; with ``estimated`` an estimate is to follow.
    """

    cost_usd: float | None
    total_cost_usd: float | None
    estimated: bool
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0


class Retry(Event, frozen=True, kw_only=True, tag="retry"):
    """The model's service failed and the agent tries again; text streamed before is void."""

    attempt: int
    delay_s: float
    status: int | None = None
    error: str = ""


class UsageLimitReached(Event, frozen=True, kw_only=True, tag="usage_limit.reached"):
    """The account's usage limit is reached until ``resets_at``, null if that is not known.

    If the session waits, ``message`` is the id of the message that continues ``at`` this time,
    and ``give_up_at`` is the latest time for it. Else the three are null. Times are in seconds
    since the epoch.
    """

    resets_at: float | None
    message: str | None = None
    at: float | None = None
    give_up_at: float | None = None


class Stalled(Event, frozen=True, kw_only=True, tag="stalled"):
    """The agent is alive but has reported nothing for ``silent_s`` seconds."""

    silent_s: float


class Notice(Event, frozen=True, kw_only=True, tag="notice"):
    """A line for a person: ``info``, ``warning`` or ``error``.

    ``command`` is the id of the command that failed, if the line is about one.
    """

    level: Level
    text: str
    command: str | None = None


class Raw(Event, frozen=True, kw_only=True, tag="raw"):
    """What the agent reported and midflight does not know."""

    data: Any


Request = PermissionRequested | QuestionRequested
"""What an agent waits for: a permission or the answers to its questions."""

ANY: Any = functools.reduce(operator.or_, Event.__subclasses__())
"""The union of all events."""

TYPES = frozenset(str(kind.__struct_config__.tag) for kind in Event.__subclasses__())
"""The types of all events, as their JSON has them."""

_EFFECT_TAGS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(Effect))
_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(ANY)


def encode(event: Event) -> bytes:
    """Return the event as one line of JSON, without a newline; a lone surrogate becomes "?"."""
    try:
        return _encoder.encode(event)
    except UnicodeEncodeError:
        return json.dumps(msgspec.to_builtins(event), ensure_ascii=False).encode(errors="replace")


def decode(line: bytes | str) -> Event:
    """Return the event of a line of JSON. Raises `msgspec.ValidationError`, a `ValueError`.

    What a newer midflight has written is read as far as it is known, see `from_newer`.
    """
    try:
        try:
            return _decoder.decode(line)
        except msgspec.ValidationError:
            return from_newer(msgspec.json.decode(line))
    except RecursionError:
        raise msgspec.ValidationError("it is nested too deep for an event") from None


def from_newer(fields: Any) -> Event:
    """Return an event from its JSON object. Raises `msgspec.ValidationError`.

    A kind of event that is not known here is `Raw`, and a kind of effect is `OtherEffect`.
    """
    if isinstance(fields, dict) and isinstance(kind := fields.get("type"), str):
        if kind not in TYPES:
            common = {name: fields[name] for name in Event.__struct_fields__ if name in fields}
            return msgspec.convert({**common, "type": "raw", "data": fields}, Raw)
        if isinstance(effects := fields.get("effects"), list):
            fields = {**fields, "effects": [_known(effect) for effect in effects]}
    event: Event = msgspec.convert(fields, ANY)
    return event


def _known(effect: Any) -> Any:
    kind = effect.get("type") if isinstance(effect, dict) else None
    if isinstance(effect, dict) and not (isinstance(kind, str) and kind in _EFFECT_TAGS):
        return msgspec.to_builtins(OtherEffect(input=effect))
    return effect

"""The state of a session: a pure fold of its events, the same for its owner and for any reader."""

from __future__ import annotations

from typing import Any

from midflight.events import (
    Event,
    LimitsChanged,
    MessageFailed,
    MessageSteered,
    PermissionResolved,
    SessionEnded,
    SessionResumed,
    SessionStarted,
    TaskEnded,
    TaskStarted,
    Text,
    ToolEnded,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UsageLimitReached,
)
from midflight.state.ledger import Ledger
from midflight.state.outbox import Outbox
from midflight.state.requests import Requests
from midflight.state.rules import Rules
from midflight.values import Denial, SessionStatus

KEPT_CALLS = 1_000
"""How many tool calls are kept, so that one that the agent reports twice is published once."""

LAST_CHARACTERS = 200
"""The longest `State.last`."""

BUSY: tuple[SessionStatus, ...] = ("starting", "running", "waiting")
"""The statuses of a session that works, or waits for an answer or for a usage limit's reset."""

FOR_A_PLACE = "waiting"
"""The reason of ``session.ended`` for a session that goes on by itself: a worker will claim it."""

AT_REST = ("parked", "host_died", FOR_A_PLACE)
"""Reasons of ``session.ended`` after which a session is resumed, at its next message if not before.
"""

MOST_LOST = 3
"""After so many hosts in a row that have died with a session, nothing of it begins by itself."""

USAGE_LIMIT = "usage_limit"
"""The reason of a turn that ended at the account's usage limit."""


class Turn:
    """The turn that runs: its id, when it ``started``, its messages and its denials."""

    __slots__ = ("denials", "id", "messages", "started")

    def __init__(self, event: TurnStarted) -> None:
        """Begin with the messages that opened it."""
        self.id = event.turn or 0
        self.started = event.time
        self.messages = list(event.messages)
        self.denials: dict[str, Denial] = {}


class State:
    """The fold of a session's durable events. Only `apply` changes it.

    ``turn`` is the running turn, ``turns`` the number of the newest one; ``tasks`` and ``tools``
    are those that run; ``started`` is the newest ``session.started``; ``ended`` the reason of the
    session's end, None while it lives. ``cut_off`` says that the agent does not know how its last
    turn ended, because its host died; ``limit`` is the usage limit that ended the last turn;
    ``last`` is one line of what the agent said or did last, or how its turn ended if not well.
    ``limits`` are those in force, None if they have not been changed.
    """

    def __init__(self, spent_usd: float | None = 0.0) -> None:
        """Begin before the first event."""
        self.outbox = Outbox()
        self.requests = Requests()
        self.ledger = Ledger(spent_usd)
        self.turn: Turn | None = None
        self.turns = 0
        self.tasks: dict[str, TaskStarted] = {}
        self.tools: dict[str, ToolStarted] = {}
        self._calls: dict[str, None] = {}
        self.started: SessionStarted | None = None
        self.ended: str | None = None
        self.cut_off = False
        self.limit: UsageLimitReached | None = None
        self.last = ""
        self.limits: dict[str, Any] | None = None
        self._rules = Rules()

    def apply(self, event: Event) -> None:
        """Apply one event."""
        self._note_denial(event)
        self._note_last(event)
        self._note_limit(event)
        self.outbox.apply(event)
        self.requests.apply(event)
        self._rules.apply(event)
        self.ledger.apply(event)
        match event:
            case SessionStarted():
                self.started = event
            case SessionEnded(reason=reason):
                self.ended = reason
            case SessionResumed():
                self.ended = None
            case TurnStarted():
                self.turn = Turn(event)
                self.turns = event.turn or 0
                self.cut_off = False
            case MessageFailed(reason="host_died"):
                self.cut_off = True
            case MessageSteered(message=message) if self.turn:
                self.turn.messages.append(message)
            case TurnEnded(reason=reason):
                self.turn = None
                self.cut_off = reason == "host_died"
            case ToolStarted(call=call):
                self.tools[call] = event
                self._remember(call)
            case ToolEnded(call=call):
                self.tools.pop(call, None)
            case TaskStarted(task=task):
                self.tasks[task] = event
            case TaskEnded(task=task):
                self.tasks.pop(task, None)

    @property
    def rules(self) -> tuple[str, ...]:
        """What the user's answers have allowed for the rest of the session, the oldest first."""
        return tuple(self._rules.held)

    def _note_denial(self, event: Event) -> None:
        if self.turn and isinstance(event, PermissionResolved) and event.decision == "deny":
            request = self.requests.pending.get(event.request)
            call = getattr(request, "call", "")
            self.turn.denials[call] = Denial(
                call=call, name=getattr(request, "name", ""), reason=event.reason
            )

    def _note_last(self, event: Event) -> None:
        if isinstance(event, Text):
            self.last = _one_line(event.text)
        elif isinstance(event, ToolStarted):
            self.last = _one_line(f"{event.name} {event.title}")
        elif isinstance(event, TurnEnded) and event.status != "completed":
            reason = f" ({event.reason})" if event.reason != event.status else ""
            how, why = f"{event.status}{reason}", _one_line(event.text)
            self.last = f"{how}: {why}"[:LAST_CHARACTERS] if why else how
        elif isinstance(event, MessageFailed) and self.turn is None:
            self.last = f"failed ({event.reason})"  # as where the agent does not start

    def _note_limit(self, event: Event) -> None:
        if isinstance(event, LimitsChanged):
            self.limits = event.limits
        elif isinstance(event, UsageLimitReached):
            self.limit = event
        elif isinstance(event, TurnEnded) and event.reason != USAGE_LIMIT:
            self.limit = None

    def _remember(self, call: str) -> None:
        self._calls[call] = None
        if len(self._calls) > KEPT_CALLS:
            del self._calls[next(iter(self._calls))]

    def seen(self, call: str) -> bool:
        """Tell whether a tool call with this id has started, running or ended."""
        return call in self._calls

    @property
    def wait(self) -> UsageLimitReached | None:
        """The usage limit whose reset the session waits for, if it does."""
        entry = self.outbox.find(self.limit.message or "") if self.limit else None
        waits = entry is not None and entry.state == "accepted" and entry.delivery == "queue"
        return self.limit if waits else None

    @property
    def busy(self) -> bool:
        """A turn runs, a message waits, or a request is pending."""
        return bool(self.turn or self.outbox.waiting() or self.requests.pending)

    @property
    def over(self) -> bool:
        """The session has ended, and goes on no further by itself."""
        return self.ended not in (None, FOR_A_PLACE)

    @property
    def status(self) -> SessionStatus:
        """The status as the events tell it: never ``starting``."""
        if self.ended == FOR_A_PLACE:
            return "waiting"
        if self.ended is not None and not (self.ended in AT_REST and self.wait):
            return "idle" if self.ended in AT_REST else "closed"
        if self.requests.pending or self.wait:
            return "waiting"
        return "running" if self.busy else "idle"


def _one_line(text: str) -> str:
    """Return the last line of a text with a letter or digit, cut to `LAST_CHARACTERS`.

    An answer often ends with a block of code, whose fence says nothing; without such a line it is
    the last that is not blank.
    """
    lines = [line.strip() for line in text[-LAST_CHARACTERS * 4 :].splitlines() if line.strip()]
    lines = [line for line in lines if any(map(str.isalnum, line))] or lines
    return lines[-1][:LAST_CHARACTERS] if lines else ""

"""Messages to the orchestrator's agent about its children: facts, and nothing an agent said."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
from midflight.authorization import AnswerGrant
from midflight.errors import MidflightError
from midflight.orchestrate.child import Child
from midflight.session.session import Session
from midflight.state.session import AT_REST
from midflight.who import here

LEAD = "[midflight]"
"""Stands before all updates."""

GATHER_S = 0.2
"""How long an update waits for more, so that what comes together is sent together."""

MAX_CHILDREN = 10
"""How many children one message can be about: an id has 200 characters at most."""

_PREFIX = "news-"

NAME_WIDTH = 60
_QUIET_ENDS = ("closed", *AT_REST)
"""Ends of a session that its last turn has reported, or that are none for its user."""


class Update(NamedTuple):
    """One fact about a child; ``request`` is the one that it is about, if it is about one."""

    child: Child
    seq: int
    text: str
    request: str | None = None


def update_of(child: Child, event: e.Event, grant: AnswerGrant) -> Update | None:
    """Return the update that an event makes; most make none."""
    text, request = _text(child, event, grant), None
    if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
        request = event.request
    return Update(child, event.seq or 0, text, request) if text else None


def _text(child: Child, event: e.Event, grant: AnswerGrant) -> str:
    mine = grant.of(child.id, child.name)
    match event:
        case e.TurnEnded(status=status, reason=reason) if reason != "redirected":
            how = status if status in ("completed", reason) else f"{status} ({reason})"
            return f"turn {event.turn} {how}, {dollars(event.cost_usd)}"
        case e.PermissionRequested(name=name):
            return f"asks (permission {one_name(name, NAME_WIDTH)}): {_who_answers(event, mine)}"
        case e.QuestionRequested():
            return f"asks (question): {_who_answers(event, mine)}"
        case e.MessageFailed(message=message, reason=reason) if not child.started(message):
            return f"a message was not carried out ({reason})"
        case e.SessionEnded(reason=reason) if reason not in _QUIET_ENDS:
            return f"ended ({one_line(reason, NAME_WIDTH)})"
    return ""


def _who_answers(event: e.PermissionRequested | e.QuestionRequested, grant: AnswerGrant) -> str:
    return "you may answer it" if grant.covers(event) else "the user decides"


def reported(past: Iterable[e.Event]) -> dict[str, int]:
    """Return up to which event each child has been reported, by its short id."""
    messages: dict[str, dict[str, int]] = {}
    for event in past:
        match event:
            case e.MessageAccepted(message=message) if is_update(message):
                messages[message] = positions(message)
            case e.MessageCancelled(message=message) | e.MessageFailed(message=message):
                messages.pop(message, None)
    newest: dict[str, int] = {}
    for each in messages.values():
        for child, seq in each.items():
            newest[child] = max(seq, newest.get(child, 0))
    return newest


class UpdateSender:
    """Sends updates to the orchestrator's agent, one message at a time."""

    def __init__(self, session: Session, past: Iterable[e.Event] = ()) -> None:
        """``past`` are the session's events so far: what they report is not sent again."""
        self._session = session
        self._reported = reported(past)
        self._waiting: list[Update] = []
        self._sent: list[Update] = []
        self._held = False
        self._unread = ""
        self._changed = asyncio.Event()
        self._paused = False
        self.closed = False

    @property
    def idle(self) -> bool:
        """Nothing is about to be sent."""
        held = self._held or self._paused
        return self.closed or held or not (self._waiting or self._unread)

    def pause(self, *, paused: bool) -> None:
        """Send nothing while the budget is spent."""
        if paused != self._paused:
            self._paused = paused
            self._changed.set()

    def add(self, new: Update) -> None:
        """Send this, unless it has been reported."""
        if new.seq > self._reported.get(short_id(new.child.id), 0):
            self._waiting.append(new)
            self._held = False
            self._changed.set()

    def take(self, event: e.Event) -> None:
        """Follow what becomes of the updates, by the events of the orchestrator's session."""
        match event:
            case e.TurnStarted():
                self._held = False
            case e.MessageStarted(message=message) | e.MessageSteered(message=message):
                if message != self._unread:
                    return
                self._unread = ""
            case e.MessageCancelled(message=message) | e.MessageFailed(message=message):
                if message != self._unread:
                    return
                # After an interrupt the agent shall not go on at once: the next turn gets it.
                self._waiting, self._unread, self._held = self._sent + self._waiting, "", True
            case _:
                return
        self._changed.set()

    async def run(self) -> None:
        """Send what there is, until cancelled or the session takes no more."""
        while not self.closed:
            await self._changed.wait()
            self._changed.clear()
            if self._waiting and not (self._unread or self._held or self._paused):
                await asyncio.sleep(GATHER_S)
                await self._send()

    async def _send(self) -> None:
        children = list(dict.fromkeys(each.child.id for each in self._waiting))[:MAX_CHILDREN]
        batch = [each for each in self._waiting if each.child.id in children]
        self._waiting = [each for each in self._waiting if each.child.id not in children]
        self._sent = [each for each in batch if _is_open(each)]
        if self._sent and not self.closed:
            newest = {short_id(each.child.id): each.seq for each in self._sent}
            self._unread = new_id(newest)
            self._reported |= newest
            with contextlib.suppress(MidflightError):  # the session has ended
                news = c.Send(text=_message(self._sent), id=self._unread)
                await self._session.command(news, who=here())  # the user has typed none of it
                return
            self.closed = True
        self._changed.set()


def _is_open(new: Update) -> bool:
    """Whether it still holds: a request may have its answer by now."""
    return new.request is None or any(asked.request == new.request for asked in new.child.pending)


def _message(updates: Iterable[Update]) -> str:
    lines = [f"{one_name(each.child.name, NAME_WIDTH)}: {each.text}" for each in updates]
    return "\n".join([f"{LEAD} News of your sessions:", *lines])


# What has been reported stands in the ids of the messages ---------------------------------


def is_update(message: str) -> bool:
    """Whether a message is an update that midflight has sent itself."""
    return message.startswith(_PREFIX)


def short_id(child: str) -> str:
    """Return the part of a child's id that ids of messages hold."""
    return child[:8]


def new_id(newest: Mapping[str, int]) -> str:
    """Return a new id for an update on these children, by short id, up to these events."""
    parts = "-".join(f"{child}.{seq}" for child, seq in newest.items())
    return f"{_PREFIX}{uuid.uuid4().hex[:8]}-{parts}"


def positions(message: str) -> dict[str, int]:
    """Return what `new_id` has put into an id; nothing for any other id."""
    if not is_update(message):
        return {}
    parts = (part.partition(".") for part in message.removeprefix(_PREFIX).split("-")[1:])
    return {child: int(seq) for child, _, seq in parts if seq.isdecimal()}

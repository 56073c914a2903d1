"""What the orchestrator's agent is told of its children: facts, and nothing that an agent said."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from midflight import events as e
from midflight._util.sanitize import one_line
from midflight.authorization import AnswerGrant
from midflight.errors import MidflightError
from midflight.orchestrate.child import Child
from midflight.session.session import Session

LEAD = "[midflight]"
"""Stands before all news."""

GATHER_S = 0.2
"""How long news waits for more, so that what comes together is told together."""

MOST = 10
"""How many children one message can be about: an id has 200 characters at most."""

_PREFIX = "news-"

NAME_WIDTH = 60
_QUIET_ENDS = ("closed", "parked", "host_died")
"""Ends of a session that a turn's end has told, or that are none for its user."""


class Update(NamedTuple):
    """One thing to tell. ``request`` is what it says that is asked, if it does."""

    child: Child
    seq: int
    text: str
    request: str | None = None


def update_of(child: Child, event: e.Event, leave: AnswerGrant) -> Update | None:
    """Return what there is to tell of an event; of most of them nothing."""
    text, request = _text(child, event, leave), None
    if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
        request = event.request
    return Update(child, event.seq or 0, text, request) if text else None


def _text(child: Child, event: e.Event, leave: AnswerGrant) -> str:
    match event:
        case e.TurnEnded(status=status, reason=reason) if reason != "redirected":
            how = status if status in ("completed", reason) else f"{status} ({reason})"
            return f"turn {event.turn} {how}, ${event.cost_usd:.4f}"
        case e.PermissionRequested(name=name):
            return f"asks (permission {one_line(name, NAME_WIDTH)}): {_whose(event, leave)}"
        case e.QuestionRequested():
            return f"asks (question): {_whose(event, leave)}"
        case e.MessageFailed(message=message, reason=reason) if not child.started(message):
            return f"a message was not carried out ({reason})"
        case e.SessionEnded(reason=reason) if reason not in _QUIET_ENDS:
            return f"ended ({one_line(reason, NAME_WIDTH)})"
    return ""


def _whose(event: e.PermissionRequested | e.QuestionRequested, leave: AnswerGrant) -> str:
    return "you may answer it" if leave.covers(event) else "the user decides"


def told(past: Iterable[e.Event]) -> dict[str, int]:
    """Return how far the agent has been told of each child, by the beginning of its id."""
    given: dict[str, dict[str, int]] = {}
    for event in past:
        match event:
            case e.MessageAccepted(message=message) if is_news(message):
                given[message] = positions(message)
            case e.MessageCancelled(message=message) | e.MessageFailed(message=message):
                given.pop(message, None)
    far: dict[str, int] = {}
    for each in given.values():
        for child, seq in each.items():
            far[child] = max(seq, far.get(child, 0))
    return far


class UpdateSender:
    """Brings news to the orchestrator's agent, one message at a time."""

    def __init__(self, session: Session, past: Iterable[e.Event] = ()) -> None:
        """``past`` is what the session has told before: what was news then is none now."""
        self._session = session
        self._told = told(past)
        self._items: list[Update] = []
        self._sent: list[Update] = []
        self._held = False
        self._unread = ""
        self._stirred = asyncio.Event()
        self.closed = False

    @property
    def idle(self) -> bool:
        """There is nothing that is about to be told."""
        return self.closed or self._held or not (self._items or self._unread)

    def add(self, new: Update) -> None:
        """Tell this, unless it has been told."""
        if new.seq > self._told.get(short(new.child.id), 0):
            self._items.append(new)
            self._held = False
            self._stirred.set()

    def take(self, event: e.Event) -> None:
        """Follow what becomes of the news, by the events of the orchestrator's session."""
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
                # Who stops the agent does not want it to go on at once: the next turn is told.
                self._items, self._unread, self._held = self._sent + self._items, "", True
            case _:
                return
        self._stirred.set()

    async def run(self) -> None:
        """Bring what there is, until cancelled or the session takes no more."""
        while not self.closed:
            await self._stirred.wait()
            self._stirred.clear()
            if self._items and not self._unread and not self._held:
                await asyncio.sleep(GATHER_S)
                await self._send()

    async def _send(self) -> None:
        children = list(dict.fromkeys(each.child.id for each in self._items))[:MOST]
        batch = [each for each in self._items if each.child.id in children]
        self._items = [each for each in self._items if each.child.id not in children]
        self._sent = [each for each in batch if _holds(each)]
        if self._sent and not self.closed:
            far = {short(each.child.id): each.seq for each in self._sent}
            self._unread = new_id(far)
            self._told |= far
            with contextlib.suppress(MidflightError):  # the session has ended
                await self._session.send(_words(self._sent), id=self._unread)
                return
            self.closed = True
        self._stirred.set()


def _holds(new: Update) -> bool:
    """Tell whether it is still true: what was asked may have its answer by now."""
    return new.request is None or any(asked.request == new.request for asked in new.child.pending)


def _words(items: Iterable[Update]) -> str:
    lines = [f"{one_line(each.child.name, NAME_WIDTH)}: {each.text}" for each in items]
    return "\n".join([f"{LEAD} News of your sessions:", *lines])


# How far the agent has been told: in the ids of the messages -------------------------------


def is_news(message: str) -> bool:
    """Tell whether a message was sent by midflight itself, to tell of children."""
    return message.startswith(_PREFIX)


def short(child: str) -> str:
    """Return how a child is called in ids."""
    return child[:8]


def new_id(far: Mapping[str, int]) -> str:
    """Return a new id for news of these children, by their short names, up to these events."""
    parts = "-".join(f"{child}.{seq}" for child, seq in far.items())
    return f"{_PREFIX}{uuid.uuid4().hex[:8]}-{parts}"


def positions(message: str) -> dict[str, int]:
    """Return what `new_id` was given; nothing for any other id."""
    if not is_news(message):
        return {}
    parts = (part.partition(".") for part in message.removeprefix(_PREFIX).split("-")[1:])
    return {child: int(seq) for child, _, seq in parts if seq.isdecimal()}

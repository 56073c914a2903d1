"""What of a session's events a person can search for: what they say, and nothing of their form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from midflight import events as e

AROUND_CHARS = 60
"""How much of the text before and behind a hit is told with it."""


MOST_HITS = 1_000
"""How many hits are told at a time."""


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """An event that says what was looked for; ``excerpt`` is where it does, on one line."""

    seq: int
    type: str
    time: float
    excerpt: str


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """Where something is said in a session, the newest first; ``more``: and further back too."""

    hits: list[Hit]
    more: bool


def hit(event: e.Event, text: str) -> Hit | None:
    """Return the event as a hit if it says a text, in whatever case; else None."""
    wanted = text.casefold()
    for said in _said(event):
        at = said.casefold().find(wanted)
        if at >= 0:
            around = said[max(0, at - AROUND_CHARS) : at + len(text) + AROUND_CHARS]
            return Hit(
                seq=event.seq or 0,
                type=event.type,
                time=event.time,
                excerpt=" ".join(around.split()),
            )
    return None


def _said(event: e.Event) -> Iterator[str]:
    match event:
        case (
            e.MessageAccepted(text=text)
            | e.MessageChanged(text=text)
            | e.Text(text=text)
            | e.Thinking(text=text)
            | e.Notice(text=text)
        ):
            yield text
        case e.ToolStarted():
            yield f"{event.name} {event.title}"
            yield from _within(event.input)
        case e.ToolEnded(output=output):
            yield output
        case e.QuestionRequested(questions=questions):
            for question in questions:
                yield question.question
                yield from (f"{option.label} {option.description}" for option in question.options)
        case e.QuestionResolved(answers=answers):
            yield from _within(answers)
        case e.PermissionResolved(reason=reason):
            yield reason
        case e.TurnEnded(text=text) if event.status != "completed":  # else it was said before
            yield text


def _within(value: Any) -> Iterator[str]:
    """Yield the texts within an input."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _within(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _within(each)

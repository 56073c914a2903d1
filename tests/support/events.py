"""Readers of a session's events, each with a bound."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import TypeVar

import midflight
from midflight import events as e
from midflight.session.base import BaseSession

E = TypeVar("E", bound=e.Event)

PATIENCE_S = 60.0
"""How long a test waits for what only a fault keeps away, also on a busy machine."""


def of(kind: type[E], events: Iterable[e.Event]) -> list[E]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]


def texts(events: Iterable[e.Event]) -> list[str]:
    """Return what the texts among the events say."""
    return [event.text for event in of(e.Text, events)]


async def read(session: BaseSession, *, patience_s: float = PATIENCE_S) -> list[e.Event]:
    """Return the events until the session is quiet."""
    async with asyncio.timeout(patience_s):
        return [event async for event in session.stream()]


async def read_until(session: BaseSession, kind: type[E]) -> E:
    """Read the stream up to and with an event of a kind, and return that."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.stream():
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the session is quiet, and there was no {kind.__name__}")


async def until(session: BaseSession, kind: type[E], after: int = 0) -> E:
    """Return the first event of a kind behind a sequence number."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events(after):
            if isinstance(event, kind):
                return event
    raise AssertionError(f"the session ended before a {kind.__name__}")


async def ended(message: midflight.Message | None) -> midflight.Result:
    """Return the result of a message."""
    assert message is not None
    async with asyncio.timeout(PATIENCE_S):
        return await message.result()


async def so_far(session: BaseSession) -> AsyncIterator[e.Event]:
    """Yield the durable events that there have been."""
    last = session.last_seq
    async for event in session.events():
        yield event
        if event.seq == last:
            return

"""What all events have in common, and how one gets its place in a session."""

from __future__ import annotations

from typing import ClassVar

import msgspec

__all__ = ["Event", "stamp"]


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

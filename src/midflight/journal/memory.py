"""What an agent keeps of its conversation, so that it can go on with it on another machine.

Only drivers know what stands in it. It is bounded by who writes it, see `midflight.session.memory`,
and removed with its session.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, select

from midflight.errors import StoreRefused
from midflight.journal.schema import memory

MOST_BYTES = 300_000_000
"""So much is read of what one session remembers: more than midflight keeps, in any script."""

_ROW_BYTES = 100
"""What a line costs who reads it beside its text."""


class MemoryLines(msgspec.Struct, frozen=True):
    """Lines of a part, which stand in place of those that it had if they are ``anew``.

    ``number`` is the first one's; they are in order behind those with lower ones.
    """

    part: str
    number: int
    lines: tuple[str, ...]
    anew: bool


_ADD = insert(memory)
_FORGET = delete(memory).where(
    memory.c.session == bindparam("session"), memory.c.part == bindparam("part")
)


def keep(connection: Connection, kept: Iterable[tuple[str, MemoryLines]]) -> None:
    """Write what agents of sessions, which are named by their ids, keep: in this order."""
    gone: dict[tuple[str, str], None] = {}
    added: dict[tuple[str, str], list[dict[str, object]]] = {}
    for session, one in kept:
        place = session, one.part
        if one.anew:
            gone[place] = None
            added.pop(place, None)
        added.setdefault(place, []).extend(
            {"session": session, "part": one.part, "number": number, "line": line}
            for number, line in enumerate(one.lines, one.number)
        )
    if gone:
        connection.execute(_FORGET, [{"session": session, "part": part} for session, part in gone])
    if rows := [row for part in added.values() for row in part]:
        connection.execute(_ADD, rows)


def recall(connection: Connection, session: str) -> tuple[dict[str, tuple[str, ...]], int]:
    """Return the parts of a session's memory, and the number of the line to come.

    Raises `StoreRefused` for more than midflight keeps: somebody else has written it.
    """
    length = func.octet_length(memory.c.part) + func.octet_length(memory.c.line) + _ROW_BYTES
    of_session = memory.c.session == session
    if (connection.scalar(select(func.sum(length)).where(of_session)) or 0) > MOST_BYTES:
        raise StoreRefused(
            f"it has more than {MOST_BYTES // 1_000_000} MB, and midflight keeps less",
            "begin a new session",
        )
    query = (
        select(memory.c.part, memory.c.number, memory.c.line)
        .where(of_session)
        .order_by(memory.c.part, memory.c.number)
    )
    parts: dict[str, list[str]] = {}
    following = 0
    for part, number, line in connection.execute(query):
        parts.setdefault(part, []).append(line)
        following = max(following, number + 1)
    return {part: tuple(lines) for part, lines in parts.items()}, following

"""Who reads along on other machines: a row for each stream that a process wants of a session."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, func, insert, select, text, update

from midflight.errors import NotFound
from midflight.journal.database import Do
from midflight.journal.hosts import TTL_S, Server, ask_server, list_hosts
from midflight.journal.presence import channel, is_id, key
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.schema import leases, readers, sessions

MOST_OF_ONE = 200
"""So many streams one process gets of the sessions of one host; of further ones it reads on disk.
"""

MOST = 1_000
"""So many streams a host tells, of all its sessions."""

CROWDED = 0.1
"""No deltas are told while so much of what the server keeps for slow listeners is full.

What waits there is for all: where it is full no command could be called out any more.
"""

_STREAM = re.compile("[0-9a-f]{32}")


class Stream(NamedTuple):
    """A stream that a process wants, behind the event with the ``seq`` ``after``."""

    id: str
    session: str
    reader: str
    after: int
    attends: bool


class Streams(NamedTuple):
    """The streams that a host has to tell; ``crowded`` says that deltas have to wait."""

    wanted: list[Stream]
    crowded: bool


class Owned(NamedTuple):
    """What a reader sees of a stream: its host, None without one, and the newest event."""

    host: str | None
    seq: int


class Readers:
    """The streams of one journal on a server. Every method may raise `StoreFailed`."""

    def __init__(self, read: Do, write: Do, here: ProcessIdentity) -> None:
        """``read`` and ``write`` are those of the journal."""
        self._read = read
        self._write = write
        self._here = here

    async def join(self, stream: Stream, instead: str) -> None:
        """Want a stream, ``instead`` of another one, if there is one; its owner is called.

        Raises `NotFound` where there is no such session.
        """
        await self._write(lambda c: _join(c, stream, instead))

    async def leave(self, stream: str) -> None:
        """Want it no more."""
        await self._write(lambda c: _leave(c, stream))

    async def beat(self, reader: str) -> dict[str, Owned]:
        """Say that a process is there; return what is known of its streams."""
        found: dict[str, Owned] = await self._write(lambda c: _beat(c, reader, self._here))
        return found

    async def wanted(self, host: str) -> Streams:
        """Return the streams that are wanted of the sessions of a host.

        Those of processes that are not there any more are forgotten.
        """
        found, gone, crowded = await self._read(lambda c: _wanted(c, host))
        if gone:
            await self._write(lambda c: c.execute(delete(readers).where(readers.c.id.in_(gone))))
        return Streams(found, crowded)

    async def tell(self, payloads: Iterable[tuple[str, str]]) -> None:
        """Call processes by their ids, all at once, in this order; nobody, if there are none."""
        calls = [(channel(reader), payload) for reader, payload in payloads]
        if calls:
            to, what = zip(*calls, strict=True)
            await self._read(lambda c: c.execute(_CALLS, {"to": [*to], "what": [*what]}))


_CALLS = text("""
    SELECT pg_catalog.pg_notify(t.channel, t.payload)
    FROM unnest(CAST(:to AS text[]), CAST(:what AS text[]))
         WITH ORDINALITY AS t(channel, payload, number)
    ORDER BY t.number
""")


def _call_owner(connection: Connection, session: str) -> None:
    owner = select(leases.c.host).where(leases.c.session == session, leases.c.host.is_not(None))
    for host in connection.scalars(owner):
        connection.execute(select(func.pg_catalog.pg_notify(channel(host), "r")))


def _join(connection: Connection, stream: Stream, instead: str) -> None:
    there = select(sessions.c.id).where(sessions.c.id == stream.session)
    if connection.scalar(there) is None:
        raise NotFound(f"no session has the id {stream.session!r}", "midflight ls shows all")
    now = func.extract("epoch", func.clock_timestamp())
    connection.execute(delete(readers).where(readers.c.id == instead))
    connection.execute(insert(readers).values(**stream._asdict(), seen=now))
    _call_owner(connection, stream.session)


def _leave(connection: Connection, stream: str) -> None:
    left = delete(readers).where(readers.c.id == stream).returning(readers.c.session)
    for session in connection.scalars(left).all():
        _call_owner(connection, session)


def _beat(connection: Connection, reader: str, here: ProcessIdentity) -> dict[str, Owned]:
    now = func.extract("epoch", func.clock_timestamp())
    connection.execute(update(readers).where(readers.c.reader == reader).values(seen=now))
    alive = {host.id for host in list_hosts(connection, here) if host.alive}
    query = (
        select(readers.c.id, leases.c.host, sessions.c.seq)
        .join(leases, leases.c.session == readers.c.session)
        .join(sessions, sessions.c.id == readers.c.session)
        .where(readers.c.reader == reader)
    )
    return {
        row.id: Owned(row.host if row.host in alive else None, row.seq)
        for row in connection.execute(query)
    }


def _wanted(connection: Connection, host: str) -> tuple[list[Stream], list[str], bool]:
    of_one = func.row_number().over(partition_by=readers.c.reader, order_by=readers.c.id)
    numbered = (
        select(readers, of_one.label("number"))
        .join(leases, leases.c.session == readers.c.session)
        .where(leases.c.host == host)
        .subquery()
    )
    query = select(numbered).where(numbered.c.number <= MOST_OF_ONE).limit(MOST)
    rows = connection.execute(query.order_by(numbered.c.number, numbered.c.id)).all()
    if not rows:
        return [], [], False
    server = ask_server(connection)
    gone = [row.id for row in rows if not _is_there(row, server)]
    found = [
        Stream(row.id, row.session, row.reader, row.after, row.attends)
        for row in rows
        if row.id not in gone
    ]
    usage = connection.scalar(select(func.pg_notification_queue_usage())) or 0.0
    return found, gone, usage > CROWDED


def _is_there(row: Any, server: Server | None) -> bool:
    """Tell whether a row is one of ours, and its process there. Whoever may write has made it."""
    if server is None:  # a file has no readers
        return False
    well = is_id(row.reader) and _STREAM.fullmatch(row.id) is not None and row.after >= 0
    return well and key(row.reader) in server.locks and server.now - row.seen < TTL_S

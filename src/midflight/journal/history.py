"""What sessions have said and done, read back: in pages, by a text, and to resume one."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import ColumnElement, Connection, case, func, or_, select

from midflight.errors import InvalidInput, StoreRefused
from midflight.events import Event, MessageAccepted, decode
from midflight.images import Image
from midflight.journal import people
from midflight.journal.base import ONLY_SAID, WHOLE, Past
from midflight.journal.database import AnyRow
from midflight.journal.rows import Newest
from midflight.journal.schema import events, messages, sessions
from midflight.state.search import Found, Hit, hit
from midflight.state.session import State

_TURN_ENDED = "turn.ended"
PAGE_CHARS = 4_000_000
"""How long the events of a page may be together; a single one may be longer."""

MOST_PAST_BYTES = 1_000_000_000
"""So much is read on a server of the events of a session, to resume it."""

TOGETHER = 500
"""How many sessions one query names."""

LONG_CHARS = 20_000
"""How long a message may be to be read together with those of other sessions."""

SEARCHED = 2_000
"""How many events are looked through at a time for a text."""

MOST_IN_PATTERN = 1_000
"""How much of a text the database looks for; SQLite refuses a pattern of over 50,000 bytes."""


# Within one session -------------------------------------------------------------------------


def read_events(
    connection: Connection, name: str, session: str, after: int, limit: int | None
) -> list[Event]:
    """Return the events after a ``seq``, the oldest first. ``name`` is the database's.

    With a ``limit`` they are a page: together not longer than `PAGE_CHARS`, one event at least.
    """
    wanted = (events.c.session == session) & (events.c.seq > after)
    if limit is not None:
        last, _ = _page_end(connection, wanted, events.c.seq, limit)
        wanted &= events.c.seq <= last
    return _read(connection, name, session, wanted)


def _read(
    connection: Connection, name: str, session: str, wanted: ColumnElement[bool]
) -> list[Event]:
    query = select(events.c.seq, events.c.data).where(wanted).order_by(events.c.seq)
    return [read_event(name, session, row) for row in connection.execute(query)]


def tail(connection: Connection, name: str, session: str, count: int) -> list[Event]:
    """Return the newest events, the oldest of them first: a page, see `read_events`."""
    wanted = events.c.session == session
    first, _ = _page_end(connection, wanted, events.c.seq.desc(), count)
    return _read(connection, name, session, wanted & (events.c.seq >= first))


def search(
    connection: Connection, name: str, session: str, text: str, *, before: int | None, limit: int
) -> Found:
    """Return the newest events before a ``seq`` that say a text, ``limit`` of them at most.

    ``name`` is the database's.
    """
    of_session = events.c.session == session
    newest = connection.scalar(select(func.max(events.c.seq)).where(of_session)) or 0
    end = newest + 1 if before is None else min(before, newest + 1)
    # What JSON may write in another way is looked for in the event itself.
    plain = max(re.findall("[A-Za-z0-9 ]+", text), key=len, default="")[:MOST_IN_PATTERN]
    fits = of_session & events.c.data.icontains(plain)
    hits: list[Hit] = []
    while end > 1:
        start, last = max(1, end - SEARCHED), end
        wanted = fits & (events.c.seq >= start) & (events.c.seq < last)
        for event in reversed(_read(connection, name, session, wanted)):
            if (found := hit(event, text)) is None:
                continue
            if len(hits) == limit:
                return Found(hits=hits, more=True)
            hits.append(found)
        end = start
    return Found(hits=hits, more=False)


def _page_end(
    connection: Connection,
    wanted: ColumnElement[bool],
    order: ColumnElement[int],
    limit: int,
    chars: int = 0,
) -> tuple[int, int]:
    """Return the ``seq`` of the last event of a page, and how long it is then.

    What it would hold is not read for that. ``chars`` are on it already.
    """
    query = select(events.c.seq, func.length(events.c.data).label("length")).where(wanted)
    last, first = 0, chars == 0
    for row in connection.execute(query.order_by(order).limit(limit)):
        if chars + row.length > PAGE_CHARS and not first:
            break
        last, chars, first = row.seq, chars + row.length, False
    return last, chars


# Over all sessions --------------------------------------------------------------------------


def said(connection: Connection, name: str, cwd: str, most: int) -> list[MessageAccepted]:
    """Return messages of this person's sessions, the newest first, a folder's before all others.

    Very long ones, and those that were changed while they waited, are left out. ``name`` is the
    database's.
    """
    elsewhere = case((sessions.c.cwd == cwd, 0), else_=1).label("elsewhere")
    newest = (
        select(sessions.c.id, elsewhere)
        .where(people.begun_by(people.person(connection)))
        .order_by(elsewhere, sessions.c.updated.desc())
        .limit(TOGETHER)
        .subquery()
    )
    query = (
        select(events.c.session, events.c.seq, events.c.data)
        .join(
            messages, (messages.c.session == events.c.session) & (messages.c.said == events.c.seq)
        )
        .join(newest, newest.c.id == events.c.session)
        .where(func.length(events.c.data) <= LONG_CHARS)
        .order_by(newest.c.elsewhere, events.c.time.desc())
        .limit(most)
    )
    found = [read_event(name, row.session, row) for row in connection.execute(query)]
    return [event for event in found if isinstance(event, MessageAccepted)]


def newest(connection: Connection) -> dict[str, Newest]:
    """Return how far each session has come that has an event, by its id."""
    query = select(sessions.c.id, sessions.c.seq, sessions.c.updated).where(sessions.c.seq > 0)
    return {row.id: Newest(row.seq, row.updated) for row in connection.execute(query)}


def events_of(
    connection: Connection, name: str, after: Mapping[str, int], limit: int
) -> list[Event]:
    """Return a page of the next events of several sessions, each after a ``seq``.

    It is bounded as that of `read_events` is. ``name`` is the database's.
    """
    found: list[Event] = []
    chars = 0
    for session, seq in after.items():
        wanted = (events.c.session == session) & (events.c.seq > seq)
        room = limit - len(found)
        last, chars = _page_end(connection, wanted, events.c.seq, room, chars)
        if last:
            found += _read(connection, name, session, wanted & (events.c.seq <= last))
        if len(found) >= limit or chars > PAGE_CHARS:
            break
    latest: dict[str, float] = {}

    def moment(event: Event) -> float:
        """Keep the events of one session in their order, also where its clock was set back."""
        latest[event.session] = max(latest.get(event.session, 0.0), event.time or 0.0)
        return latest[event.session]

    return sorted(found, key=moment)


def seqs_before(connection: Connection, among: Collection[str], moment: float) -> dict[str, int]:
    """Return the newest event of each of some sessions before a moment; 0 where none is."""
    found = dict.fromkeys(among, 0)
    for session in among:
        query = select(func.max(events.c.seq)).where(
            events.c.session == session, events.c.time < moment
        )
        found[session] = connection.scalar(query) or 0
    return found


def read_event(name: str, session: str, row: AnyRow) -> Event:
    """Return the event that a row has. Raises `StoreRefused`; ``name`` is the database's."""
    try:
        return decode(row.data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise _damaged(name, f"event {row.seq} of session {session} cannot be read") from error


def _damaged(name: str, what: str) -> StoreRefused:
    return StoreRefused(f"{name} is damaged: {what}", "other sessions are not affected")


def past(connection: Connection, name: str, session: str) -> Past:
    """Return what there is of a session, to resume it.

    Raises `StoreRefused` where an event is missing, or none that could follow the ones before it,
    and where others have written more of them on a server than this process could hold.
    """
    ended = select(func.max(events.c.seq)).where(
        events.c.session == session, events.c.type == _TURN_ENDED
    )
    row = connection.execute(
        select(sessions.c.seq, sessions.c.waiting_since).where(sessions.c.id == session)
    ).first()
    newest = row.seq if row else 0
    whole_after = max(0, min(connection.scalar(ended) or 0, newest - WHOLE))
    matters = or_(events.c.seq > whole_after, events.c.type.not_in(ONLY_SAID))
    matters &= events.c.session == session
    if connection.dialect.name != "sqlite":
        size = connection.scalar(select(func.sum(func.octet_length(events.c.data))).where(matters))
        if (size or 0) > MOST_PAST_BYTES:
            raise _damaged(name, f"session {session} has more events than any could have")
    query = select(events.c.seq, events.c.data).where(matters).order_by(events.c.seq)
    handed = select(messages.c.id).where(messages.c.session == session, messages.c.handed)
    waiting = select(messages.c.id, messages.c.images).where(
        messages.c.session == session, messages.c.images.is_not(None)
    )
    found = [read_event(name, session, row) for row in connection.execute(query).all()]
    return Past(
        state=_folded(name, session, found, whole_after, newest),
        events=found,
        whole_after=whole_after,
        handed=frozenset(connection.scalars(handed)),
        images={one.id: _images(one.images) for one in connection.execute(waiting)},
        waiting_since=row.waiting_since if row else None,
    )


def _images(kept: str) -> tuple[Image, ...]:
    """Return the images of a message; none where they are damaged, so that it fails by itself."""
    try:
        return msgspec.json.decode(kept, type=tuple[Image, ...])
    except (msgspec.MsgspecError, InvalidInput):
        return ()


def _folded(name: str, session: str, found: list[Event], whole_after: int, newest: int) -> State:
    """Return what the events amount to. Raises `StoreRefused` for such with a hole.

    They could not be resumed from; better an error here than a failure later.
    """
    state, expected = State(), whole_after
    for event in found:
        seq = event.seq or 0
        if seq > whole_after:
            expected += 1
            if seq != expected:
                raise _damaged(name, f"event {expected} of session {session} is missing")
        try:
            state.apply(event)
        except (LookupError, ValueError) as error:
            what = f"event {seq} of session {session} does not follow from those before it"
            raise _damaged(name, what) from error
    if expected < newest:
        raise _damaged(name, f"event {expected + 1} of session {session} is missing")
    return state

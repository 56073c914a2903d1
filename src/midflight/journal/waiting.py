"""Sessions that wait for a worker, and who gets which: the one that has waited longest.

No table has them: such a session is one at rest, with something accepted that was not handed over,
a label, and the moment since when it waits. Who claims it takes its lease, in one transaction, so
that nobody else has it.
"""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from midflight.errors import InvalidOption
from midflight.journal import lease
from midflight.journal.database import shut_writers_out
from midflight.journal.hosts import Offer
from midflight.journal.presence import WORKERS
from midflight.journal.rows import from_json
from midflight.journal.schema import hosts, leases, sessions
from midflight.journal.stored_options import missing
from midflight.wire import WIRE

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def check_label(label: str, option: str = "on") -> str:
    """Return a label of workers. Raises `InvalidOption` for what cannot be one."""
    if not _LABEL.fullmatch(label):
        raise InvalidOption(
            option,
            f"{label!r} cannot be a label",
            "letters, digits, and . _ - between them; 64 characters at most",
        )
    return label


def check_shared(
    *,
    shared: bool,
    option: str = "on",
    hint: str = "leave it out, or name a postgresql:// journal",
) -> None:
    """Raise `InvalidOption` where a journal is not ``shared``: it is a file, and has no workers."""
    if not shared:
        raise InvalidOption(
            option,
            "a worker needs a journal that several machines share, and this one is a file",
            hint,
        )


def waits() -> ColumnElement[bool]:
    """Return what is true of a session that waits for a worker, and that nobody has."""
    has_label = sessions.c.label.is_not(None) & sessions.c.waiting_since.is_not(None)
    return has_label & leases.c.host.is_(None)


def is_understood() -> ColumnElement[bool]:
    """Return what is true of a session that no newer midflight has begun, or said something to.

    That one's is for workers that are as new: what it says may mean nothing here.
    """
    return or_(sessions.c.wire.is_(None), sessions.c.wire <= WIRE)


def oldest(
    connection: Connection, machine: str, offer: Offer, *, locked: bool = False
) -> str | None:
    """Return the session that has waited longest for what a worker on a machine offers, or None.

    One that another machine alone can go on with is passed over. One that is ``locked`` is not
    looked at by others until the transaction ends.
    """
    able = (
        sessions.c.label.in_(offer.labels)
        & waits()
        & or_(sessions.c.kept_on.is_(None), sessions.c.kept_on == machine)
        & is_understood()
    )
    waiting = select(sessions.c.needs).join(leases, leases.c.session == sessions.c.id).where(able)
    query = (
        waiting.with_only_columns(sessions.c.id, sessions.c.needs)
        .order_by(sessions.c.waiting_since, sessions.c.id)
        .limit(1)
    )
    if locked:
        query = query.with_for_update(of=leases, skip_locked=True)
    row = connection.execute(query).first()
    if row is None or _is_met(row.needs, offer):
        return None if row is None else str(row.id)
    # Different needs may be as many as somebody likes: all in one query, and not each by its own.
    needs = waiting.group_by(sessions.c.needs).order_by(func.min(sessions.c.waiting_since))
    for one in connection.scalars(needs).all():
        if _is_met(one, offer):
            fits = func.coalesce(sessions.c.needs, "") == (one or "")
            found = connection.execute(query.where(fits)).first()
            return None if found is None else str(found.id)
    return None


def _is_met(needs: str | None, offer: Offer) -> bool:
    wanted = from_json(needs, dict[str, Any], {})
    return needs is None or not missing(wanted, offer.variables, offer.servers)


def count_ahead(connection: Connection) -> dict[str, int]:
    """Return how many sessions wait before each one that waits, for the same label."""
    number = func.row_number().over(
        partition_by=sessions.c.label, order_by=(sessions.c.waiting_since, sessions.c.id)
    )
    query = (
        select(sessions.c.id, number).join(leases, leases.c.session == sessions.c.id).where(waits())
    )
    return {row[0]: row[1] - 1 for row in connection.execute(query)}


def claim(connection: Connection, host: str, machine: str, offer: Offer) -> str | None:
    """Return the session whose lease a host is to take in this transaction; see `oldest`.

    A host that is draining gets none.
    """
    shut_writers_out(connection)  # first, as in whatever else takes a lease
    if connection.scalar(select(hosts.c.draining).where(hosts.c.id == host)):
        return None
    return oldest(connection, machine, offer, locked=True)


def release(connection: Connection, session: str, host: str, generation: int) -> None:
    """Give a session back, unless it has been taken over; call the workers if it waits for one."""
    lease.release(connection, session, host, generation)
    call(connection, session)


def call(connection: Connection, session: str) -> None:
    """Call the workers if a session waits for one."""
    waiting = (
        select(sessions.c.id)
        .join(leases, leases.c.session == sessions.c.id)
        .where(sessions.c.id == session, waits())
    )
    if connection.dialect.name != "sqlite" and connection.scalar(waiting) is not None:
        connection.execute(select(func.pg_catalog.pg_notify(WORKERS, "")))

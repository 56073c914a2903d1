"""Sessions that wait for a worker, and who gets which: the one that has waited longest.

No table has them: such a session is one at rest, with something accepted that was not handed over,
a label, and the moment since when it waits. Who claims it takes its lease, in one transaction, so
that nobody else has it.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, func, select

from midflight.errors import InvalidOption
from midflight.journal import lease
from midflight.journal.presence import WORKERS
from midflight.journal.rows import SessionRow
from midflight.journal.schema import hosts, leases, sessions

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


def check_shared(*, shared: bool, option: str = "on") -> None:
    """Raise `InvalidOption` where a journal is not ``shared``: it is a file, and has no workers."""
    if not shared:
        raise InvalidOption(
            option,
            "a worker needs a journal that several machines share, and this one is a file",
            "leave it out, or name a postgresql:// journal",
        )


def waits() -> ColumnElement[bool]:
    """Return what is true of a session that waits for a worker, and that nobody has."""
    has_label = sessions.c.label.is_not(None) & sessions.c.waiting_since.is_not(None)
    return has_label & leases.c.host.is_(None)


def waits_for(row: SessionRow) -> str:
    """Say what a session waits for to go on, or nothing where it waits for nothing."""
    if row.label is None or row.host is not None or row.waiting_since is None:
        return ""
    return f"a worker with the label {row.label}"


def oldest(connection: Connection, labels: Collection[str], *, locked: bool = False) -> str | None:
    """Return the session that has waited longest under some labels; None where none waits.

    One that is ``locked`` is not looked at by others until the transaction ends.
    """
    query = (
        select(sessions.c.id)
        .join(leases, leases.c.session == sessions.c.id)
        .where(sessions.c.label.in_(labels), waits())
        .order_by(sessions.c.waiting_since, sessions.c.id)
        .limit(1)
    )
    if locked:
        query = query.with_for_update(of=leases, skip_locked=True)
    return connection.scalar(query)


def claim(connection: Connection, host: str, labels: Collection[str]) -> str | None:
    """Return the session whose lease a host is to take in this transaction; see `oldest`.

    A host that is draining gets none.
    """
    lease.lock(connection)  # first, as in whatever else takes a lease
    if connection.scalar(select(hosts.c.draining).where(hosts.c.id == host)):
        return None
    return oldest(connection, labels, locked=True)


def release(connection: Connection, session: str, host: str, generation: int) -> None:
    """Give a session back, unless it has been taken over; call the workers if it waits for one."""
    lease.release(connection, session, host, generation)
    waiting = (
        select(sessions.c.id)
        .join(leases, leases.c.session == sessions.c.id)
        .where(sessions.c.id == session, waits())
    )
    if connection.dialect.name != "sqlite" and connection.scalar(waiting) is not None:
        connection.execute(select(func.pg_notify(WORKERS, "")))

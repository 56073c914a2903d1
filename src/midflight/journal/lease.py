"""Who owns a session: one host at a time, for as long as it lives; see `midflight.journal.hosts`.

A lease has no end of its own. The owner that takes one gets the next generation. Every append looks
in its own transaction whether its generation is still the newest, so a host that was declared dead
by mistake writes nothing.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, func, select, update

from midflight.errors import LeaseHeld, NotFound
from midflight.journal.database import AnyRow, shut_writers_out
from midflight.journal.hosts import ask_server, beat, is_alive
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.schema import hosts, leases, sessions

GIVE_BACK_S = 3.0
"""How long a disk is waited for to give leases back; it may hang for good."""


def owners(connection: Connection, wanted: list[str]) -> list[AnyRow]:
    """Return the leases of sessions, with what is known of their owners and events.

    They stay as they are until the transaction ends.
    """
    return list(connection.execute(_OWNERS, {"wanted": wanted}))


def is_owned(connection: Connection, row: AnyRow, here: ProcessIdentity) -> bool:
    """Tell whether a lease has an owner who lives."""
    return row.boot is not None and is_alive(row, here, ask_server(connection))


def owner_of(row: AnyRow | None) -> str:
    """Name the owner for a person."""
    if row is None:
        return "nobody: it was removed"
    if row.host is None:
        return "nobody"
    if row.pid is None:
        return f"host {row.host}"
    return f"host {row.host} (process {row.pid} on {row.machine}, {row.address or 'no address'})"


_OWNERS = (
    select(
        leases.c.session,
        leases.c.host,
        leases.c.generation,
        sessions.c.seq,
        *(column for column in hosts.c if column.name != "id"),
    )
    .join(sessions, sessions.c.id == leases.c.session)
    .outerjoin(hosts, hosts.c.id == leases.c.host)
    .where(leases.c.session.in_(bindparam("wanted", expanding=True)))
    .with_for_update(of=leases, read=True)
)


def lost(connection: Connection, host: str, held: dict[str, int]) -> dict[str, str]:
    """Return those of the sessions ``held`` that a host has lost, each with its owner."""
    rows = {row.session: row for row in owners(connection, list(held))}
    return {
        session: owner_of(rows.get(session))
        for session, generation in held.items()
        if session not in rows
        or (rows[session].host, rows[session].generation) != (host, generation)
    }


def take(connection: Connection, session: str, host: str, here: ProcessIdentity) -> int:
    """Make a host the owner of a session that has no owner alive. Return its generation.

    Raises `NotFound`, or `LeaseHeld` that names the owner.
    """
    shut_writers_out(connection)
    beat(connection, host)  # or the lease would have a dead owner from the beginning
    rows = owners(connection, [session])
    if not rows:
        raise NotFound(f"no session has the id {session!r}", "midflight ls shows all of them")
    row = rows[0]
    if row.host != host and is_owned(connection, row, here):
        raise LeaseHeld(session, owner_of(row))
    if row.host not in {None, host}:  # it has died
        lost = func.coalesce(sessions.c.lost, 0) + 1
        connection.execute(update(sessions).where(sessions.c.id == session).values(lost=lost))
    connection.execute(
        update(leases)
        .where(leases.c.session == session)
        .values(host=host, generation=row.generation + 1)
    )
    return int(row.generation) + 1


def release(connection: Connection, session: str, host: str, generation: int) -> None:
    """Give a session back, unless it has been taken over."""
    connection.execute(
        update(leases)
        .where(
            leases.c.session == session,
            leases.c.host == host,
            leases.c.generation == generation,
        )
        .values(host=None)
    )

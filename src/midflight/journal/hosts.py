"""Hosts: which there are, what the workers among them are there for, and whether one lives.

A host lives as long as its process is there (by its id and its birth, so that a reused id is
another process), and has beaten in the last `TTL_S` seconds. Both are counted from the boot, so
that setting the clock, or a sleeping machine, changes nothing. One on another machine is judged by
the lock that it holds on their server, and by the server's clock.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    Boolean,
    Connection,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    true,
    update,
)

from midflight._util.process_id import lives
from midflight.errors import Conflict, LeaseLost
from midflight.journal.database import AnyRow, shut_writers_out
from midflight.journal.policies import works
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.rows import HostRow, from_json
from midflight.journal.schema import SCHEMA_VERSION, hosts, leases, sessions
from midflight.wire import WIRE

BEAT_S = 5.0
"""How often a host beats."""

TTL_S = 15.0
"""How long a host may be silent before others take its sessions."""

RETAKE_S = 15.0
"""How long after its start a server has not all the locks of its hosts: they connect anew."""


class Server(NamedTuple):
    """What a server knows of its hosts, by which those on several machines are judged.

    ``now`` is its time, ``up_s`` for how long it has been up; ``locks`` are the advisory locks that
    are held, each by a connection that lives.
    """

    now: float
    up_s: float
    locks: frozenset[int]


_SERVER = text("""
    SELECT extract(epoch FROM clock_timestamp()),
           extract(epoch FROM clock_timestamp() - pg_postmaster_start_time()),
           ARRAY(SELECT classid::bigint << 32 | objid::bigint FROM pg_locks
                 WHERE locktype = 'advisory' AND granted AND objsubid = 1
                 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
""")


def ask_server(connection: Connection) -> Server | None:
    """Ask the server, if there is one."""
    if connection.dialect.name == "sqlite":
        return None
    now, up_s, locks = connection.execute(_SERVER).one()
    return Server(float(now), float(up_s), frozenset(locks))


def shared_time(connection: Connection) -> float:
    """Return the time on which all machines agree: the server's, or of a file this machine's."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)


def is_far(host: AnyRow, here: ProcessIdentity, *, server: bool) -> bool:
    """Tell whether a host is on another machine, or in a container of its own.

    A file is used by one machine, whose name may change.
    """
    if not server:
        return False
    return (host.boot, host.machine, host.space) != (here.boot, here.machine, here.space)


def is_alive(host: AnyRow, here: ProcessIdentity, server: Server | None) -> bool:
    """Tell whether a host lives: its process is there, and has beaten lately."""
    if server is not None and is_far(host, here, server=True):
        held = host.lock is None or host.lock in server.locks or server.up_s < RETAKE_S
        return held and abs(server.now - host.seen) < TTL_S
    if host.boot != here.boot:  # an earlier boot of this machine has no processes left
        return False
    if time.monotonic() - host.beat >= TTL_S:
        return False
    return host.space != here.space or lives(host.pid, host.born)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is there for: sessions with these labels, so many turns at a time.

    ``version`` is that of its midflight, ``work`` its folder for checkouts. ``variables`` and
    ``servers`` are the names of environment variables and MCP servers whose values sessions get
    from it: those of no other are given.
    """

    labels: tuple[str, ...]
    capacity: int
    version: str
    work: str
    variables: tuple[str, ...] = ()
    servers: tuple[str, ...] = ()


_LISTS = ("labels", "variables", "servers")
"""The columns of a host that have a list, as JSON."""


def register(
    connection: Connection,
    host: str,
    here: ProcessIdentity,
    address: str,
    *,
    fires: str | None,
    offer: Offer | None,
) -> None:
    """Make this process known as a host; ``fires`` is whose schedules it fires, None: nobody's.

    One with an ``offer`` is a worker. Raises `Conflict` where its sessions could not go on there.
    """
    now = shared_time(connection)
    row = msgspec.structs.asdict(here) | {"id": host, "address": address, "wire": WIRE}
    row |= {
        "writes": SCHEMA_VERSION,
        "fires": fires,
        "beat": time.monotonic(),
        "seen": now,
        "started": time.time(),
    }
    if offer is not None:
        _check_work(connection, here, offer)
        row |= msgspec.structs.asdict(offer)
        row |= {name: msgspec.json.encode(row[name]).decode() for name in _LISTS}
    leave(connection, host)  # what is left of it where it was not heard that it has come, or gone
    connection.execute(insert(hosts).values(**row))


def _check_work(connection: Connection, here: ProcessIdentity, offer: Offer) -> None:
    """Raise `Conflict` where workers of one label have their checkouts at different paths.

    What an agent has said and done there names them. The row of a role that is neither this one nor
    a worker's may say anything: no session of somebody else comes to both.
    """
    others = select(hosts.c.id, hosts.c.machine, hosts.c.labels, hosts.c.work)
    believed = true() if connection.dialect.name == "sqlite" else or_(_MINE, works())
    others = others.where(hosts.c.work != offer.work, believed)
    for other in connection.execute(others).all():
        labels = {*_listed(other.labels)} & {*offer.labels}
        if labels and any(
            host.id == other.id and host.alive for host in list_hosts(connection, here)
        ):
            raise Conflict(
                f"the worker on {other.machine} has the checkouts of {', '.join(sorted(labels))}"
                f" in {other.work}, and this one would in {offer.work}",
                "name the same folder for all workers of a label: --work DIR",
            )


def beat(connection: Connection, host: str, **more: int | None) -> None:
    """Note that a host lives, and what it has changed of its row.

    Raises `LeaseLost` if others have declared it dead, and forgotten it.
    """
    now = shared_time(connection)
    done = connection.execute(
        update(hosts).where(hosts.c.id == host).values(beat=time.monotonic(), seen=now, **more)
    )
    if done.rowcount == 0:
        raise LeaseLost(
            "another host has declared this one dead",
            "its sessions are recovered elsewhere; restart it if it is needed",
        )


def leave(connection: Connection, host: str) -> None:
    """Give back all that a host holds, and forget it."""
    connection.execute(update(leases).where(leases.c.host == host).values(host=None))
    connection.execute(hosts.delete().where(hosts.c.id == host))


def list_hosts(connection: Connection, here: ProcessIdentity) -> list[HostRow]:
    """Return every host that is known, the living and the dead."""
    server = ask_server(connection)
    mine, for_all = (true(), true()) if server is None else (_MINE, _FOR_ALL)
    return [
        HostRow(
            id=row.id,
            machine=row.machine,
            pid=row.pid,
            address=row.address,
            started=row.started,
            alive=is_alive(row, here, server),
            far=not row.mine or is_far(row, here, server=server is not None),
            wire=row.wire or 1,
            labels=_listed(row.labels),
            variables=_listed(row.variables),
            servers=_listed(row.servers),
            silent_s=max(0.0, (time.time() if server is None else server.now) - row.seen),
            capacity=row.capacity,
            version=row.version or "",
            draining=bool(row.draining),
            writes=row.writes or 1,
            drain_s=_drain_s(row, server),
            person="" if row.mine else row.role,
            for_all=bool(row.for_all),
        )
        for row in connection.execute(
            select(hosts, mine.label("mine"), for_all.label("for_all")).order_by(hosts.c.started)
        )
    ]


# The socket of another role's host is another user's, or what its row says is not true.
_MINE = literal_column("coalesce(hosts.role, session_user::text) = session_user::text", Boolean)

# By the oid, since a role that is gone has no privileges to ask for by its name.
_FOR_ALL = literal_column(
    "(SELECT has_function_privilege(oid, to_regprocedure('midflight_works()'), 'EXECUTE')"
    " FROM pg_roles WHERE rolname = hosts.role)",
    Boolean,
)


def _drain_s(host: AnyRow, server: Server | None) -> float | None:
    if not host.draining or host.drain_by is None or server is None:
        return None
    left: float = host.drain_by - server.now
    return max(0.0, left)


def _listed(text: str | None) -> tuple[str, ...]:
    return from_json(text, tuple[str, ...], ())


def forget(connection: Connection, host: str, here: ProcessIdentity) -> bool:
    """Remove a dead host that owns nothing any more; tell whether it is gone.

    One of another role may be for others to remove.
    """
    shut_writers_out(connection)
    row = connection.execute(select(hosts).where(hosts.c.id == host)).first()
    if row is None:
        return True
    if is_alive(row, here, ask_server(connection)):
        return False
    left = select(leases.c.session).where(leases.c.host == host)
    # A session that never got an event was never shown.
    connection.execute(delete(sessions).where(sessions.c.id.in_(left), sessions.c.seq == 0))
    if connection.execute(left.limit(1)).first() is not None:
        return False
    return connection.execute(hosts.delete().where(hosts.c.id == host)).rowcount == 1

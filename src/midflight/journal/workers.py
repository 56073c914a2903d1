"""The workers of a journal: which there are, which of them is meant, and how one is drained."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, func, or_, select, update

from midflight.errors import Conflict, NotFound
from midflight.info import WorkerInfo
from midflight.journal.hosts import list_hosts, shared_time
from midflight.journal.people import person, shown_name
from midflight.journal.presence import WORKERS
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.rows import HostRow
from midflight.journal.schema import MOST_NUMBER, hosts, leases, sessions

ID_CHARS = 8
"""How much of an id a person is shown."""

_SAME = tuple(name for name in WorkerInfo.__struct_fields__ if name != "capacity")


def list_workers(connection: Connection, here: ProcessIdentity) -> list[HostRow]:
    """Return the workers that are known, the living and the dead, with what is at work on each."""
    busy = or_(sessions.c.turn_started.is_not(None), sessions.c.status == "running")
    query = (
        select(leases.c.host, sessions.c.name)
        .join(sessions, sessions.c.id == leases.c.session)
        .where(leases.c.host.is_not(None), sessions.c.label.is_not(None), busy)
        .order_by(sessions.c.turn_started, sessions.c.name)
    )
    me = person(connection)
    at_work: dict[str, list[str]] = {}
    for row in connection.execute(query):
        at_work.setdefault(row.host, []).append(shown_name(me, row.name))
    return [
        msgspec.structs.replace(host, at_work=tuple(at_work.get(host.id, ())))
        for host in list_hosts(connection, here)
        if host.labels
    ]


def as_info(host: HostRow) -> WorkerInfo:
    """Return a worker as other processes get it."""
    return WorkerInfo(capacity=host.capacity or 0, **{name: getattr(host, name) for name in _SAME})


def choose_worker(name: str, among: Sequence[WorkerInfo]) -> WorkerInfo:
    """Return the worker that is alive and meant: by its machine, or how that or its id begins.

    Raises `NotFound`, or `Conflict` that names the candidates.
    """
    alive = [each for each in among if each.alive]
    fitting = [each for each in alive if name in {each.machine, each.id}]
    fitting = fitting or [each for each in alive if each.machine.startswith(name)]
    fitting = fitting or [each for each in alive if each.id.startswith(name)]
    if not fitting:
        raise NotFound(f"no worker is called {name!r}", "midflight workers shows all of them")
    if len(fitting) > 1:
        ids = ", ".join(f"{each.id[:ID_CHARS]} on {each.machine}" for each in fitting)
        raise Conflict(f"{len(fitting)} workers are called {name!r}", f"name one by its id: {ids}")
    return fitting[0]


def drain(connection: Connection, host: str, within: float | None) -> None:
    """Have a worker claim no more, and end what still runs after so many seconds; None: undo it.

    In a time that never comes it ends nothing. It is called, to look at once.
    """
    by = shared_time(connection) + (within or 0.0)
    never = within is None or not by < MOST_NUMBER
    values = {"draining": within is not None, "drain_by": None if never else by}
    connection.execute(update(hosts).where(hosts.c.id == host).values(**values))
    connection.execute(select(func.pg_catalog.pg_notify(WORKERS, "")))

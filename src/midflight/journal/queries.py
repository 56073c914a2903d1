"""What is read of sessions beside their events: lists, and one by its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, case, or_, select

from midflight._util.text import did_you_mean
from midflight.errors import Conflict, NotFound
from midflight.events import Request
from midflight.info import RepositoryInfo, SessionInfo
from midflight.journal import people
from midflight.journal.history import TOGETHER, read_event
from midflight.journal.home import at_home
from midflight.journal.hosts import list_hosts
from midflight.journal.policies import may_own
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.rows import HostRow, SessionRow, from_json
from midflight.journal.schema import events, hosts, leases, requests, sessions
from midflight.journal.waiting import count_ahead, waits
from midflight.journal.waits_for import waits_for
from midflight.journal.workers import list_workers
from midflight.state.rules import RULE_EVENTS, Rules
from midflight.state.session import BUSY

NAMED = 5
"""How many candidates an error names."""


def _owned(known: Iterable[HostRow]) -> ColumnElement[bool]:
    """Return what is true of a lease whose owner lives, of all hosts that are ``known``."""
    return leases.c.host.in_([host.id for host in known if host.alive])


def _shown(owned: ColumnElement[bool]) -> ColumnElement[bool]:
    """Return what is true of a session that has begun, or that a host is about to begin."""
    return or_(sessions.c.seq > 0, owned)


def list_sessions(
    connection: Connection,
    here: ProcessIdentity,
    *,
    status: str | None = None,
    cwd: str | None = None,
    parent: str | None = None,
    id: str | None = None,
    limit: int | None = None,
    begun_here: bool = False,
) -> list[SessionRow]:
    """Return the sessions that fit, the newest first; ``begun_here`` leaves out those of others."""
    me = people.person(connection)
    known = list_hosts(connection, here)
    owned, far = _owned(known), {host.id for host in known if host.far}
    # The status that a dead host wrote is not true any more; that of a recovered session is. One
    # that was given back because it could not be written still has the status of one that runs.
    recovered = leases.c.host.is_(None) & sessions.c.status.not_in(("starting", "running"))
    still = or_(owned, recovered, sessions.c.status == "closed")
    shown = case((waits(), "waiting"), (still, sessions.c.status), else_="idle").label("shown")
    query = (
        select(
            sessions,
            shown,
            case((owned, leases.c.host)).label("host"),
            case((owned, hosts.c.address)).label("address"),
            at_home(here, server=connection.dialect.name != "sqlite").label("at_home"),
            may_own(connection).label("may_own"),
        )
        .join(leases, leases.c.session == sessions.c.id)
        .outerjoin(hosts, hosts.c.id == leases.c.host)
        .where(_shown(owned))
        .order_by(sessions.c.created.desc(), sessions.c.id)
        .limit(limit)
    )
    for column, wanted in (
        (shown, status),
        (sessions.c.cwd, cwd),
        (sessions.c.parent, parent),
        (sessions.c.id, id),
    ):
        if wanted is not None:
            query = query.where(column == wanted)
    if begun_here:
        query = query.where(people.begun_here(me, here))
    found = connection.execute(query)
    columns = tuple(found.keys())  # once, not for each: there may be thousands
    return [_session(dict(zip(columns, row, strict=True)), far, me) for row in found.all()]


def related(connection: Connection, among: Collection[str]) -> set[str]:
    """Return those of some sessions that have begun another one, or were begun by one."""
    children = sessions.alias()
    begun = select(children.c.id).where(children.c.parent == sessions.c.id).exists()
    wanted = sessions.c.id.in_(among) & (begun | (sessions.c.parent != ""))
    return set(connection.scalars(select(sessions.c.id).where(wanted)))


def _session(fields: dict[str, Any], far: Collection[str], me: str) -> SessionRow:
    del fields["needs"]
    fields["machine"] = fields["machine"] or ""
    fields["lost"] = fields["lost"] or 0
    fields["name"] = people.shown_name(me, fields["name"])
    fields["far"] = fields["host"] in far
    fields["status"] = fields.pop("shown")
    fields["options"] = from_json(fields["options"], dict[str, Any], {})
    fields["pending"] = from_json(fields["pending"], tuple[str, ...], ()) if fields["host"] else ()
    if fields["rules"] is not None:
        fields["rules"] = from_json(fields["rules"], tuple[str, ...], ())
    fields["limits"] = from_json(fields["limits"], dict[str, Any], None)
    fields["repository"] = from_json(fields["repository"], RepositoryInfo, None)
    fields["turn_started"] = fields["turn_started"] if fields["host"] else None
    fields["known_usd"] = fields["total_cost_usd"]
    if fields.pop("unpriced"):
        fields["total_cost_usd"] = None
    return SessionRow(**fields)


class _Named(NamedTuple):
    """A session by its name, as the person sees it and as the tables have it."""

    id: str
    name: str
    full: str
    cwd: str

    def begins_with(self, text: str, me: str) -> bool:
        by_id = people.is_own(me, self.full) and self.id.startswith(text)
        return by_id or self.name.startswith(text) or self.full.startswith(text)


def find(
    connection: Connection,
    here: ProcessIdentity,
    text: str | None,
    cwd: str | None = None,
    *,
    exact: bool = False,
    among: Collection[str] | None = None,
) -> SessionRow:
    """Return the session that is meant: by its id, its name, or the beginning of one.

    Without a text it is the newest one that this person has begun on this machine, in this folder
    if one is given; ``exact`` takes whole ids only. What another person has begun has their name
    before its own, and wants its whole id. ``among`` are the ids of those that can be meant. Raises
    `NotFound`, or `Conflict` that names the candidates.
    """
    if exact:
        found = list_sessions(connection, here, id=text)
        if not found:
            raise NotFound(f"no session has the id {text!r}", "midflight ls shows all of them")
        return found[0]
    if not text:
        some = among is not None
        newest = list_sessions(
            connection, here, cwd=cwd, limit=None if some else 1, begun_here=not some
        )
        newest = [row for row in newest if among is None or row.id in among]
        if not newest:
            where = f" in {cwd}" if cwd else ""
            raise NotFound(f"there is no session{where}", "midflight ls shows all of them")
        return newest[0]
    me = people.person(connection)
    found_names = connection.execute(
        select(sessions.c.id, sessions.c.name, sessions.c.cwd)
        .join(leases, leases.c.session == sessions.c.id)
        .where(_shown(_owned(list_hosts(connection, here))))
    )
    names = [
        _Named(row.id, people.shown_name(me, row.name), row.name, row.cwd)
        for row in found_names
        if among is None or row.id in among
    ]
    fitting = [row for row in names if row.id == text]  # whatever others are called
    fitting = fitting or [row for row in names if text in {row.name, row.full}]
    if not fitting:
        fitting = [row for row in names if row.begins_with(text, me)]
    if len(fitting) > 1:
        fitting = [row for row in fitting if row.cwd == cwd] or fitting
    if not fitting:
        hint = did_you_mean(text, (row.name for row in names), "midflight ls shows all of them")
        raise NotFound(f"no session is called {text!r}", hint)
    if len(fitting) > 1:
        named = sorted(row.name for row in fitting)
        more = f" and {len(named) - NAMED} more" if len(named) > NAMED else ""
        raise Conflict(
            f"{len(named)} sessions begin with {text!r}", f"{', '.join(named[:NAMED])}{more}"
        )
    return list_sessions(connection, here, id=fitting[0].id)[0]


def orphaned(
    connection: Connection, here: ProcessIdentity, host: str, live: Collection[str]
) -> list[str]:
    """Return the sessions that an owner has left as they were: dead, or this ``host`` itself.

    An owner that lives may have given one back that it could not write any more. ``live`` are
    those that this host works on. Those of others are theirs to recover.
    """
    alive = {known.id for known in list_hosts(connection, here) if known.alive}
    held = connection.execute(
        select(leases.c.session, leases.c.host)
        .join(sessions, sessions.c.id == leases.c.session)
        .where(or_(leases.c.host.is_not(None), sessions.c.status.in_(BUSY) & ~waits()))
        .where(sessions.c.seq > 0, may_own(connection))
    )
    return [
        row.session
        for row in held
        if row.host not in alive or (row.host == host and row.session not in live)
    ]


def waiting_for_reset(connection: Connection, here: ProcessIdentity) -> list[str]:
    """Return the sessions at rest that wait for the reset of a usage limit, without others' ones.

    A host that woke another person's would spend on its own account. Those with a label are for a
    worker, which claims them.
    """
    query = (
        select(sessions.c.id)
        .join(leases, leases.c.session == sessions.c.id)
        .where(leases.c.host.is_(None), sessions.c.status == "waiting", sessions.c.label.is_(None))
        .where(people.begun_here(people.person(connection), here))
    )
    return [row.id for row in connection.execute(query)]


def infos(
    connection: Connection, here: ProcessIdentity, name: str, rows: Sequence[SessionRow]
) -> list[SessionInfo]:
    """Return sessions as other processes get them. ``name`` is the database's."""
    waiting = _waits_for(connection, here, rows)
    rules = _rules(connection, name, [row.id for row in rows if row.rules is None])
    return [
        SessionInfo(
            **{field: getattr(row, field) for field in _SAME},
            pending=_pending(connection, name, row) if row.pending else (),
            rules=row.rules if row.rules is not None else rules[row.id],
            limits=row.limits_in_force,
            host=row.address,
            parent=row.parent or None,
            waits_for=waiting.get(row.id, ""),
        )
        for row in rows
    ]


def _waits_for(
    connection: Connection, here: ProcessIdentity, rows: Iterable[SessionRow]
) -> dict[str, str]:
    labelled = [row for row in rows if row.label is not None and row.host is None]
    if not any(row.waiting_since or row.lost for row in labelled):
        return {}
    workers, ahead = list_workers(connection, here), count_ahead(connection)
    return {row.id: waits_for(row, workers, ahead.get(row.id, 0)) for row in labelled}


def _pending(connection: Connection, name: str, row: SessionRow) -> tuple[Request, ...]:
    query = (
        select(events.c.seq, events.c.data)
        .join(requests, (requests.c.session == events.c.session) & _IS_ASKED)
        .where(requests.c.session == row.id, requests.c.id.in_(row.pending))
        .order_by(events.c.seq)
    )
    waiting = [read_event(name, row.id, one) for one in connection.execute(query)]
    return tuple(one for one in waiting if isinstance(one, Request))


def _rules(connection: Connection, name: str, sessions: list[str]) -> dict[str, tuple[str, ...]]:
    """Return the rules of sessions that only an older host has written."""
    rules = {session: Rules() for session in sessions}
    for first in range(0, len(sessions), TOGETHER):
        query = (
            select(events.c.session, events.c.seq, events.c.data)
            .where(events.c.session.in_(sessions[first : first + TOGETHER]))
            .where(events.c.type.in_(RULE_EVENTS))
            .order_by(events.c.session, events.c.seq)
        )
        for row in connection.execute(query):
            rules[row.session].apply(read_event(name, row.session, row))
    return {session: tuple(held.held) for session, held in rules.items()}


_IS_ASKED = requests.c.asked == events.c.seq
_SAME = tuple(
    name
    for name in SessionInfo.__struct_fields__
    if name not in {"pending", "rules", "limits", "host", "parent", "waits_for"}
)

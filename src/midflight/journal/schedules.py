"""The schedules of a journal and their runs: here it is decided who begins each of them, once.

When the next run is due stands in its schedule. Whoever moves that moment on has the run to begin,
and its session has the id of the run: begun twice, it is one session.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, func, insert, or_, select, update

from midflight.errors import Conflict, NotFound
from midflight.info import RunInfo, ScheduleInfo
from midflight.journal.database import AnyRow, Do, shut_writers_out
from midflight.journal.hosts import list_hosts
from midflight.journal.people import begun_by, begun_here, full_name, person, shown_name
from midflight.journal.policies import may_fire, works
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.queries import list_sessions
from midflight.journal.schema import events, hosts, schedule_runs, schedules
from midflight.journal.waiting import check_label, check_shared
from midflight.journal.writes import plain
from midflight.values import RUN_STATES

MOST = 1_000
"""How many schedules a person has at most."""

KEPT_RUNS = 200
"""How many runs of a schedule are kept, the newest."""

LOOKED_AT = 10
"""Among how many runs the newest that has begun is looked for."""

NAMED = 5
"""How many candidates an error names."""


class Unfinished(NamedTuple):
    """A run whose begin is not known to be over, and the host that has it to begin.

    ``held`` says that this host lives.
    """

    run: RunInfo
    schedule: ScheduleInfo
    holder: str
    held: bool


class Pending(NamedTuple):
    """What there is to do: runs that were cut, schedules that are due, and when the next one is."""

    unfinished: Sequence[Unfinished]
    due: Sequence[ScheduleInfo]
    next: float | None


class ScheduleStore:
    """What this person has scheduled on this machine. Every method may raise `StoreFailed`."""

    def __init__(self, read: Do, write: Do, here: ProcessIdentity) -> None:
        """``read`` and ``write`` are those of the journal; ``here`` is this process."""
        self._read = read
        self._write = write
        self._here = here

    async def all(self) -> list[ScheduleInfo]:
        """Return all schedules, the one that runs next first."""
        found: list[ScheduleInfo] = await self._read(lambda c: list_schedules(c, self._here))
        return found

    async def find(self, text: str) -> ScheduleInfo:
        """Return the schedule with this id, this name, or the beginning of its name.

        Raises `NotFound`, or `Conflict` that names the candidates.
        """
        found: ScheduleInfo = await self._read(lambda c: _find(c, self._here, text))
        return found

    async def add(self, new: ScheduleInfo) -> None:
        """Add a schedule. Raises `Conflict` where its name is taken, or there are too many."""
        await self._write(lambda c: _add(c, self._here, new))

    async def set_next(self, id: str, due: float | None, *, paused: bool) -> None:
        """Set when a schedule runs next, and whether it rests."""
        changed = update(schedules).where(schedules.c.id == id).values(due=due, paused=paused)
        await self._write(lambda c: c.execute(changed))

    async def remove(self, id: str) -> None:
        """Remove a schedule with its history. The sessions that it has begun stay."""
        await self._write(lambda c: c.execute(delete(schedules).where(schedules.c.id == id)))

    async def runs(self, id: str, limit: int) -> list[RunInfo]:
        """Return the runs of a schedule, the newest first."""
        found: list[RunInfo] = await self._read(lambda c: _runs(c, self._here, id, limit))
        return found

    async def is_fired(self, label: str | None = None) -> bool:
        """Tell whether a process lives that fires them, or those with a label."""
        fired: bool = await self._read(lambda c: _is_fired(c, self._here, label))
        return fired

    # Firing -------------------------------------------------------------------------------

    async def pending(self, now: float, *, for_workers: bool = False) -> Pending:
        """Return what there is to do at a moment.

        ``for_workers``: only of what has a label, and of whomever a worker of this role may fire.
        Another person's schedule has that name in front of its own.
        """
        found: Pending = await self._read(
            lambda c: _pending(c, self._here, now, for_workers=for_workers)
        )
        return found

    async def advance(
        self, schedule: ScheduleInfo, due: float | None, runs: Sequence[RunInfo], host: str
    ) -> bool:
        """Move a schedule on to its next run, and add what has become of those before it.

        Tell whether that was done here: of several that come at once, one does it. A run in the
        state ``starting`` is for ``host`` to begin.
        """
        moved: bool = await self._write(lambda c: _advance(c, schedule, due, runs, host))
        return moved

    async def working(self, id: str) -> RunInfo | None:
        """Return the newest run of a schedule that has begun, or is about to.

        One whose begin got no answer may have begun all the same.
        """
        found: list[RunInfo] = await self._read(
            lambda c: _runs(c, self._here, id, LOOKED_AT, ("starting", "begun", "failed"))
        )
        return next((run for run in found if run.state != "failed"), None)

    async def add_run(self, run: RunInfo, host: str) -> None:
        """Add a run that somebody has asked for, for ``host`` to begin."""
        await self._write(lambda c: _add_runs(c, run.schedule, [run], host))

    async def take_over(self, run: str, holder: str, host: str) -> bool:
        """Have a run that was cut begun by another ``host``; tell whether it is that one's now."""
        taken: bool = await self._write(lambda c: _change(c, run, holder, holder=host))
        return taken

    async def set_state(self, run: str, holder: str, state: str, note: str = "") -> None:
        """Note what has come of the begin of a run, unless another host has it now."""
        await self._write(lambda c: _change(c, run, holder, state=state, note=plain(note)))


def _own(connection: Connection, here: ProcessIdentity) -> ColumnElement[bool]:
    """Return what is true of what this person has scheduled on this machine; of all in a file.

    Another person's would run with this one's account, and another machine has other folders; what
    is for workers runs on none of these.
    """
    me = person(connection)
    for_workers = begun_by(me, schedules) & schedules.c.label.is_not(None)
    return or_(begun_here(me, here, schedules), for_workers)


def list_schedules(
    connection: Connection, here: ProcessIdentity, *which: ColumnElement[bool]
) -> list[ScheduleInfo]:
    """Return a person's schedules on this machine, the one that runs next first."""
    return _infos(connection, here, _own(connection, here), *which)


def _infos(
    connection: Connection, here: ProcessIdentity, *which: ColumnElement[bool]
) -> list[ScheduleInfo]:
    order = (schedules.c.due.is_(None), schedules.c.due, schedules.c.name)
    query = select(schedules).where(*which).order_by(*order)
    return [_info(connection, here, row) for row in connection.execute(query).all()]


def _find(connection: Connection, here: ProcessIdentity, text: str) -> ScheduleInfo:
    known = list_schedules(connection, here)
    found = [each for each in known if text in {each.id, each.name}]
    found = found or [each for each in known if text and each.name.startswith(text)]
    if not found:
        raise NotFound(f"there is no schedule {text!r}", "midflight schedule lists them")
    if len(found) > 1:
        names = ", ".join(sorted(each.name for each in found)[:NAMED])
        raise Conflict(f"{text!r} can be several schedules: {names}", "write more of its name")
    return found[0]


def _add(connection: Connection, here: ProcessIdentity, new: ScheduleInfo) -> None:
    if new.on is not None:
        check_label(new.on)
        check_shared(shared=connection.dialect.name != "sqlite")
    shut_writers_out(connection)
    name = full_name(person(connection), new.name)
    if connection.scalar(select(schedules.c.id).where(schedules.c.name == name)):
        raise Conflict(
            f"there is a schedule {new.name}", "remove it first, or give this one another --name"
        )
    own = select(func.count()).select_from(schedules).where(_own(connection, here))
    if (connection.scalar(own) or 0) >= MOST:
        raise Conflict(f"there are {MOST} schedules", "midflight schedule remove NAME")
    begins = _Begins(new.task, new.then, new.worktree, new.options)
    row: dict[str, Any] = {"id": new.id, "name": name, "cron": new.cron, "zone": new.zone}
    row |= {"machine": here.machine, "label": new.on}
    times = {"paused": new.paused, "due": new.next, "created": new.created}
    stored = msgspec.json.encode(begins).decode()
    connection.execute(insert(schedules).values(**row, **times, begins=stored))


def _pending(
    connection: Connection, here: ProcessIdentity, now: float, *, for_workers: bool
) -> Pending:
    own = _own(connection, here)
    if for_workers:
        own = schedules.c.label.is_not(None) & may_fire(connection)
    following = select(func.min(schedules.c.due)).where(own, schedules.c.due > now)
    starting = (
        select(schedule_runs)
        .join(schedules, schedules.c.id == schedule_runs.c.schedule)
        .where(own, schedule_runs.c.state == "starting")
        .order_by(schedule_runs.c.due)
    )
    rows = connection.execute(starting).all()
    alive = _alive(connection, here) if rows else set()
    unfinished = [
        Unfinished(
            run=_run(connection, here, row),
            schedule=_infos(connection, here, schedules.c.id == row.schedule)[0],
            holder=row.holder,
            held=row.holder in alive,
        )
        for row in rows
    ]
    due = _infos(connection, here, own, schedules.c.due <= now)
    return Pending(unfinished, due, connection.scalar(following))


def _advance(
    connection: Connection,
    schedule: ScheduleInfo,
    due: float | None,
    runs: Sequence[RunInfo],
    host: str,
) -> bool:
    as_read = (schedules.c.id == schedule.id) & (schedules.c.due == schedule.next)
    moved = connection.execute(update(schedules).where(as_read).values(due=due)).rowcount == 1
    if moved:
        _add_runs(connection, schedule.id, runs, host)
    return moved


def _add_runs(connection: Connection, schedule: str, runs: Sequence[RunInfo], host: str) -> None:
    for run in runs:
        row = {"id": run.id, "schedule": run.schedule, "due": run.due, "state": run.state}
        row |= {
            "by_hand": run.by_hand,
            "missed": run.missed,
            "note": plain(run.note),
            "holder": host,
        }
        connection.execute(insert(schedule_runs).values(**row))
    kept = (
        select(schedule_runs.c.id)
        .where(schedule_runs.c.schedule == schedule)
        .order_by(schedule_runs.c.due.desc())
        .limit(KEPT_RUNS)
    )
    older = (schedule_runs.c.schedule == schedule) & schedule_runs.c.id.not_in(kept)
    connection.execute(delete(schedule_runs).where(older))


def _change(connection: Connection, run: str, by: str, **columns: str) -> bool:
    """Change a run that is about to be begun by a host; tell whether it still was."""
    still = (
        (schedule_runs.c.id == run)
        & (schedule_runs.c.state == "starting")
        & (schedule_runs.c.holder == by)
    )
    changed = connection.execute(update(schedule_runs).where(still).values(**columns))
    return changed.rowcount == 1


def _is_fired(connection: Connection, here: ProcessIdentity, label: str | None) -> bool:
    me = person(connection)
    mine = hosts.c.fires == me
    if me and label is not None:
        mine |= hosts.c.labels.is_not(None) & works()
    fired = select(hosts.c.id).where(mine)
    if me and label is None:  # a worker fires only what is for workers
        fired = fired.where(hosts.c.machine == here.machine, hosts.c.labels.is_(None))
    return bool(set(connection.scalars(fired)) & _alive(connection, here))


def _alive(connection: Connection, here: ProcessIdentity) -> set[str]:
    return {host.id for host in list_hosts(connection, here) if host.alive}


def _runs(
    connection: Connection,
    here: ProcessIdentity,
    schedule: str,
    limit: int,
    states: Collection[str] = RUN_STATES,
) -> list[RunInfo]:
    newest = (
        select(schedule_runs)
        .where(schedule_runs.c.schedule == schedule, schedule_runs.c.state.in_(states))
        .order_by(schedule_runs.c.due.desc(), schedule_runs.c.id)
        .limit(limit)
    )
    return [_run(connection, here, row) for row in connection.execute(newest).all()]


def _info(connection: Connection, here: ProcessIdentity, row: AnyRow) -> ScheduleInfo:
    last = _runs(connection, here, row.id, 1)
    begins = msgspec.json.decode(row.begins, type=_Begins)
    return ScheduleInfo(
        id=row.id,
        name=shown_name(person(connection), row.name),
        cron=row.cron,
        zone=row.zone,
        **msgspec.structs.asdict(begins),
        paused=row.paused,
        on=row.label,
        next=row.due,
        created=row.created,
        last=last[0] if last else None,
    )


class _Begins(msgspec.Struct, frozen=True):
    """What each session of a schedule begins with, as JSON: no database minds what is in it."""

    task: str
    then: tuple[str, ...]
    worktree: bool
    options: dict[str, Any]


class _Ended(msgspec.Struct):
    """What a history shows of the end of a turn."""

    status: str
    reason: str


def _run(connection: Connection, here: ProcessIdentity, row: AnyRow) -> RunInfo:
    """Return a run, with what its session has come to: the events tell that, not this table."""
    run = RunInfo(
        id=row.id,
        schedule=row.schedule,
        due=row.due,
        state=row.state,
        by_hand=row.by_hand,
        missed=row.missed,
        note=row.note,
    )
    session = next(iter(list_sessions(connection, here, id=row.id)), None)
    if session is None:
        return run
    newest = (
        select(events.c.data)
        .where(events.c.session == row.id, events.c.type == "turn.ended")
        .order_by(events.c.seq.desc())
        .limit(1)
    )
    data = connection.scalar(newest)
    ended = _Ended("", "") if data is None else msgspec.json.decode(data, type=_Ended)
    return msgspec.structs.replace(
        run,
        state="begun",
        note="",
        session=session.name,
        status=session.status,
        outcome=ended.status,
        reason=ended.reason,
        total_cost_usd=session.total_cost_usd,
    )

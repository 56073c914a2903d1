"""The journal as asynchronous code uses it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection

from midflight.errors import InvalidInput, LeaseHeld, LeaseLost, StoreFailed
from midflight.events import Event, MessageAccepted
from midflight.info import SessionInfo, WorkerInfo
from midflight.journal import (
    history,
    hosts,
    lease,
    memory,
    people,
    policies,
    queries,
    waiting,
    workers,
    writes,
)
from midflight.journal.base import Past, Record
from midflight.journal.choice import JournalAddress, choose
from midflight.journal.database import Database
from midflight.journal.home import check_movable, relocate
from midflight.journal.hosts import Offer
from midflight.journal.inbox import Inbox
from midflight.journal.location import JournalLocation
from midflight.journal.migrations import prepare
from midflight.journal.own_host import OwnHost
from midflight.journal.policies import Kind
from midflight.journal.presence import Presence
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.readers import Readers
from midflight.journal.record import JournalRecord
from midflight.journal.rows import HostRow, Newest, SessionRow
from midflight.journal.schedules import ScheduleStore
from midflight.journal.writer import Writer
from midflight.options import Options
from midflight.state.search import Found

T = TypeVar("T")

LOOK_AGAIN_S = 0.2
"""How often it is looked whether a host that does not answer is dead."""


class Journal:
    """Sessions on disk, and who owns them. Use it as an asynchronous context manager.

    One thread writes, for all sessions of this process; reads run beside it. Every method may
    raise `StoreFailed`. ``host`` is this process as a host, which has to register before it can own
    sessions. ``inbox`` has the commands of other machines, ``readers`` who reads along there,
    ``schedules`` are tasks that begin by themselves. On a server ``presence`` is how others call
    this process. ``work_waits`` is for a worker, which puts an event there before it opens the
    journal: it is set whenever a session begins to wait.
    """

    def __init__(
        self,
        where: JournalAddress | Path | str | None = None,
        *,
        state: Path | None = None,
        here: ProcessIdentity | None = None,
    ) -> None:
        """``where`` is a folder or a ``postgresql://`` URL; without it see `choose`.

        With a URL ``state`` is the folder for sockets. ``here`` is what others know this process
        by, looked up if not given. Nothing is opened yet. Raises as `choose`.
        """
        self.address = choose(where)
        self._state = state
        self._id = uuid.uuid4().hex
        self._here = here or ProcessIdentity.find()
        self.presence: Presence | None = None
        self._held: dict[str, JournalRecord | None] = {}
        self.work_waits: asyncio.Event | None = None
        self._location: JournalLocation
        self._database: Database
        self._writer: Writer
        self.host: OwnHost
        self.inbox: Inbox
        self.schedules: ScheduleStore
        self.readers: Readers

    async def open(self) -> None:
        """Open it. Raises `StoreRefused` or `StoreFailed`, and leaves nothing open then."""
        await asyncio.to_thread(self._open)
        self._writer = Writer(self._database)
        self.host = OwnHost(self._writer.do, self.presence, self._here, self._id, self._held)
        self.inbox = Inbox(self._read, self._writer.do)
        self.schedules = ScheduleStore(self._read, self._writer.do, self._here)
        self.readers = Readers(self._read, self._writer.do, self._here)

    def _open(self) -> None:
        url = self.address.url
        elsewhere = url is not None and self._state is not None
        self._location = JournalLocation(self._state) if elsewhere else self.address.location
        self._database = Database.at(self._location.journal if url is None else url.whole)
        try:
            prepare(self._database, self._location if url is None else None)
        except BaseException:
            self._database.close()
            raise
        if self._database.server is not None:
            self.presence = Presence(self._database.server, self._id, self.work_waits)

    async def __aenter__(self) -> Self:
        """Open it."""
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Write what is waiting, and close. Leases stay with the host: see `OwnHost.leave`."""
        if self.presence is not None:
            await self.presence.leave()
        await self._writer.close()
        await asyncio.to_thread(self._database.close)

    async def _read(self, job: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._database.read, job)

    async def grant(self, role: str, kind: Kind, *, only_show: bool = False) -> list[str]:
        """Make a role of the database what it is to be, and return the statements; for the owner.

        Raises `InvalidInput` where there are no roles, or this one can be no person.
        """
        if not self.on_server:
            raise InvalidInput("a journal in a file has no roles", "name a database: --journal URL")
        if "/" in role:
            raise InvalidInput(f"the role {role!r} has a /, which stands behind a person's name")
        return await self._writer.do(lambda c: policies.grant(c, role, kind, only_show=only_show))

    def socket_path(self) -> Path:
        """Return where this process may make a socket, in a private folder that exists."""
        return self._location.socket(self._id)

    @property
    def machine(self) -> str:
        """The name of this machine, as others know it."""
        return self._here.machine

    @property
    def on_server(self) -> bool:
        """Whether hosts of other machines can have this journal too."""
        return self.presence is not None

    # Who there is --------------------------------------------------------------------------

    async def person(self) -> str:
        """Return who this is, as the server says; nothing for a file."""
        return await self._read(people.person)

    async def hosts(self) -> list[HostRow]:
        """Return the hosts that are known, the living and the dead, the oldest first."""
        return await self._read(lambda c: hosts.list_hosts(c, self._here))

    async def workers(self) -> list[WorkerInfo]:
        """Return the workers that are known, the living and the dead, the oldest first."""
        rows = await self._read(lambda c: workers.list_workers(c, self._here))
        return [workers.as_info(row) for row in rows]

    async def now(self) -> float:
        """Return the seconds since the epoch, by the server's clock where there is a server."""
        return await self._read(hosts.shared_time)

    async def drain(self, worker: str, within: float | None) -> None:
        """Have a worker, by its id, claim nothing more and give back its sessions.

        What still runs after ``within`` seconds is ended. None takes it back.
        """
        await self._writer.do(lambda c: workers.drain(c, worker, within))

    async def forget(self, host: str) -> bool:
        """Remove a dead host, if it has left no session; tell whether it is gone."""
        return await self._writer.do(lambda c: hosts.forget(c, host, self._here))

    # Sessions to write --------------------------------------------------------------------

    async def create(
        self,
        name: str,
        options: Options,
        *,
        id: str | None = None,
        parent: str = "",
        label: str | None = None,
        person: str = "",
    ) -> tuple[SessionRow, JournalRecord]:
        """Add a session and own it. Its name gets a number if another session has it.

        ``label`` is that of the workers that may run it, None: it is for this machine. ``person``
        is whose it is, nothing: this one's; only a worker may make another one's.

        The same id again is no second session: `Conflict`, or `LeaseHeld` while the first, which
        `take` returns, has an owner. Raises `InvalidInput` for an id that cannot be one.
        """
        host = self.host.required_id()
        session = uuid.uuid4().hex if id is None else id
        new = writes.NewSession(
            id=session, name=name, options=options, parent=parent, label=label, person=person
        )

        def made(connection: Connection) -> tuple[SessionRow, int]:
            writes.create(connection, new, self._here)
            return self._taken(connection, session, host)

        async with self._alone(session):
            return self._hold(host, *await self._writer.do(made))

    async def take(
        self, session: str, *, to_resume: bool = False, to_tell: bool = False
    ) -> tuple[SessionRow, JournalRecord, Past]:
        """Become the owner of a session that has none, or whose owner is dead.

        Returns what lists show of it, its record, and its `past`. Raises `NotFound`, `LeaseHeld`
        that names the owner, or `Conflict` ``to_resume`` one that is not at home here, and what
        `past_of` raises. ``to_tell`` it something for the worker that claims it, see `writes.tell`.
        """
        row, record = await self.hold(session, to_resume=to_resume, to_tell=to_tell)
        try:
            return row, record, await self.past_of(record)
        except BaseException:
            await record.close()
            raise

    async def hold(
        self, session: str, *, to_resume: bool = False, to_tell: bool = False
    ) -> tuple[SessionRow, JournalRecord]:
        """Do the same without its past."""
        host = self.host.required_id()

        def taken(connection: Connection) -> tuple[SessionRow, int]:
            row, generation = self._taken(connection, session, host)
            if to_resume:
                row.check_at_home(self.host.labels, self._here.machine)
            if to_tell:
                writes.tell(connection, session)
            return row, generation

        async with self._alone(session):
            return self._hold(host, *await self._writer.do(taken))

    async def claim(self, offer: Offer) -> tuple[SessionRow, JournalRecord] | None:
        """Become the owner of the session that has waited longest for what a worker offers.

        None where none waits; see `midflight.journal.waiting.claim`.
        """
        host = self.host.required_id()

        def claimed(connection: Connection) -> tuple[SessionRow, int] | None:
            session = waiting.claim(connection, host, self._here.machine, offer)
            return None if session is None else self._taken(connection, session, host)

        if await self._read(lambda c: waiting.oldest(c, self._here.machine, offer)) is None:
            return None  # so that who looks in vain keeps nobody from writing
        found = await self._writer.do(claimed)
        if found is None or found[0].id in self._held:  # this process takes it just now
            return None
        return self._hold(host, *found)

    @contextlib.asynccontextmanager
    async def _alone(self, session: str) -> AsyncIterator[None]:
        """One at a time may take a session in this process."""
        if session in self._held:
            raise LeaseHeld(session, "this process")
        self._held[session] = None
        try:
            yield
        finally:
            if self._held[session] is None:
                del self._held[session]

    def _taken(self, connection: Connection, session: str, host: str) -> tuple[SessionRow, int]:
        generation = lease.take(connection, session, host, self._here)
        return queries.find(connection, self._here, session, exact=True), generation

    def _hold(
        self, host: str, row: SessionRow, generation: int
    ) -> tuple[SessionRow, JournalRecord]:
        record = self._held[row.id] = JournalRecord(
            session=row.id,
            host=host,
            generation=generation,
            last_seq=row.seq,
            writer=self._writer,
            give_back=self._give_back,
            recall=functools.partial(self._recall, row.id) if self.on_server else None,
        )
        return row, record

    async def _recall(self, session: str) -> tuple[Mapping[str, Sequence[str]], int]:
        return await self._read(lambda c: memory.recall(c, session))

    async def _give_back(self, record: JournalRecord) -> None:
        """Write the rest and end the lease; where the disk fails, the host's end will end it."""
        session, host, generation = record.session, record.host, record.generation
        try:
            with contextlib.suppress(StoreFailed, TimeoutError):
                async with asyncio.timeout(lease.GIVE_BACK_S):
                    await self._writer.do(lambda c: waiting.release(c, session, host, generation))
        finally:
            del self._held[session]

    async def relocate(self, session: str, label: str) -> None:
        """Have a session go on at workers with another label: one at rest, or of this host.

        Raises `NotFound`, `InvalidOption`, `Conflict` for one that cannot move, or `LeaseHeld` that
        names another owner.
        """
        waiting.check_label(label)

        def write(connection: Connection) -> None:
            row = queries.find(connection, self._here, session, exact=True)
            row.check_own()
            check_movable(row)
            relocate(connection, row, label, self._here, self.host.id)
            waiting.call(connection, session)

        await self._writer.do(write)

    async def set_aside(self, session: str, why: str) -> None:
        """Show of a session that is damaged why it is, and no longer count it as `orphaned`."""
        await self._writer.do(lambda c: writes.set_aside(c, session, why))

    async def remove(self, session: str) -> None:
        """Delete a session and all its events. Raises `NotFound`, or `LeaseHeld`."""
        host = self.host.required_id()

        def gone(connection: Connection) -> None:
            lease.take(connection, session, host, self._here)
            writes.remove(connection, session)

        async with self._alone(session):
            await self._writer.do(gone)

    # Sessions to read ---------------------------------------------------------------------

    async def sessions(
        self,
        *,
        status: str | None = None,
        cwd: str | None = None,
        parent: str | None = None,
        limit: int | None = None,
    ) -> list[SessionRow]:
        """Return the sessions that fit, the newest first."""
        return await self._read(
            lambda c: queries.list_sessions(
                c, self._here, status=status, cwd=cwd, parent=parent, limit=limit
            )
        )

    async def related(self, among: Collection[str]) -> set[str]:
        """Return those of some sessions that have begun another one, or were begun by one."""
        return await self._read(lambda c: queries.related(c, among))

    async def find(
        self,
        text: str | None = None,
        cwd: str | None = None,
        *,
        exact: bool = False,
        among: Collection[str] | None = None,
    ) -> SessionRow:
        """Return the session with this id, this name, or the beginning of one.

        Without a text it is the newest one in ``cwd`` that this person has begun on this machine;
        ``exact`` takes whole ids only. ``among`` are the ids of those that can be meant. Raises
        `NotFound`, or `Conflict` that names the candidates.
        """
        return await self._read(
            lambda c: queries.find(c, self._here, text, cwd, exact=exact, among=among)
        )

    async def info(self, session: SessionRow | str) -> SessionInfo:
        """Return a session, or that with this id, as other processes get it. Raises `NotFound`."""
        row = await self.find(session, exact=True) if isinstance(session, str) else session
        return (await self.infos([row]))[0]

    async def infos(self, rows: Iterable[SessionRow]) -> list[SessionInfo]:
        """Return sessions as other processes get them, with the requests that wait."""
        found, name = list(rows), self._database.name
        return await self._read(lambda c: queries.infos(c, self._here, name, found))

    async def host_gone(self, session: str) -> None:
        """Wait until the host of a session, which does not answer, is known to be dead.

        That takes `TTL_S` at most; a host that is still there then lives, and does not answer.
        """
        host = (await self.find(session, exact=True)).host
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(hosts.TTL_S):
                # Another process can only be asked again.
                while host and (await self.find(session, exact=True)).host == host:  # noqa: ASYNC110
                    await asyncio.sleep(LOOK_AGAIN_S)

    async def orphaned(self) -> list[str]:
        """Return the sessions that their owner has left as they were: they may have been cut."""
        host = self.host.required_id()
        live = frozenset(self._held)
        return await self._read(lambda c: queries.orphaned(c, self._here, host, live))

    async def waiting_for_reset(self) -> list[str]:
        """Return this person's sessions at rest that wait for the reset of a usage limit."""
        return await self._read(lambda c: queries.waiting_for_reset(c, self._here))

    async def past(self, session: str) -> Past:
        """Return what is needed of a session to resume it."""
        return await self._read(lambda c: history.past(c, self._database.name, session))

    async def past_of(self, record: Record) -> Past:
        """Return the same of a session that this process has taken; its record begins behind it.

        Raises `LeaseLost` where others have written since: this process stood still, and was
        taken for dead.
        """
        past = await self.past(record.session)
        newest = past.events[-1].seq if past.events else 0
        if newest != record.last_seq:
            raise LeaseLost(f"another host has taken session {record.session} meanwhile")
        return past

    async def events(self, session: str, after: int = 0, limit: int | None = 1000) -> list[Event]:
        """Return the events after a ``seq``, the oldest first.

        With a ``limit`` they are a page: fewer where they are long, none only behind the newest.
        """
        name = self._database.name
        return await self._read(lambda c: history.read_events(c, name, session, after, limit))

    async def search(self, session: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events before a ``seq`` that say a text, ``limit`` of them at most."""
        name = self._database.name
        return await self._read(
            lambda c: history.search(c, name, session, text, before=before, limit=limit)
        )

    async def newest(self) -> dict[str, Newest]:
        """Return how far each session has come that has an event, by its id."""
        return await self._read(history.newest)

    async def events_of(self, after: Mapping[str, int], limit: int) -> list[Event]:
        """Return the next events of several sessions, each after a ``seq``: a page, see `events`.

        Those of one session follow each other without a gap; between sessions their time decides.
        """
        return await self._read(lambda c: history.events_of(c, self._database.name, after, limit))

    async def seqs_before(self, among: Collection[str], moment: float) -> dict[str, int]:
        """Return the newest event of each of some sessions that is older than a moment.

        That is 0 where none is.
        """
        return await self._read(lambda c: history.seqs_before(c, among, moment))

    async def said(self, cwd: str, most: int) -> list[MessageAccepted]:
        """Return messages of many sessions, the newest first, those of a folder before all others.

        Very long ones, and those that were changed while they waited, are left out.
        """
        return await self._read(lambda c: history.said(c, self._database.name, cwd, most))

    async def tail(self, session: str, count: int) -> list[Event]:
        """Return the newest events, the oldest of them first: fewer than ``count`` if long."""
        return await self._read(lambda c: history.tail(c, self._database.name, session, count))

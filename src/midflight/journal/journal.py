"""The journal as asynchronous code uses it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from sqlalchemy import Connection

from midflight.errors import Conflict, InvalidInput, LeaseHeld, LeaseLost, StoreFailed
from midflight.events import Event
from midflight.journal import lease, reading, store
from midflight.journal.database import Database
from midflight.journal.holding import Holding
from midflight.journal.migrations import prepare
from midflight.journal.place import Place
from midflight.journal.rows import HostRow, MessageRow, RequestRow, SessionRow
from midflight.journal.store import NewSession
from midflight.journal.writer import Writer
from midflight.record import Past

__all__ = ["Journal"]

T = TypeVar("T")

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


class Journal:
    """Sessions on disk, and who owns them. Use it as an asynchronous context manager.

    One thread writes, for all sessions of this process; reads run beside it. All methods may
    raise `StoreFailed`. ``place`` is the state folder, ``host`` this process's id as a host.
    """

    def __init__(self, place: Place, database: Database) -> None:
        """Use `Journal.open`."""
        self.place = place
        self.host: str | None = None
        self._database = database
        self._writer = Writer(database)
        self._here = lease.Here.find()
        self._held: dict[str, Holding | None] = {}

    @classmethod
    async def open(cls, where: Path | str | None = None, *, state: Path | None = None) -> Self:
        """Open the journal in a folder, or at a ``postgresql://`` URL.

        Without either it is the user's own state folder. With a URL ``state`` is the folder for
        sockets, the user's own if not given. Raises `StoreRefused` or `StoreFailed`.
        """

        def find() -> tuple[Place, Database]:
            url = isinstance(where, str) and "://" in where
            folder = state if url or where is None else Path(where)
            place = Place(folder)
            database = Database.at(str(where) if url else place.journal)
            try:
                prepare(database, None if url else place)
            except BaseException:
                database.close()
                raise
            return place, database

        return cls(*await asyncio.to_thread(find))

    async def __aenter__(self) -> Self:
        """Nothing to do: it is open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close it."""
        await self.close()

    async def close(self) -> None:
        """Write what is waiting, and close. Leases stay with the host: see `leave`."""
        await self._writer.close()
        await asyncio.to_thread(self._database.close)

    async def _read(self, job: Callable[[Connection], T]) -> T:
        return await asyncio.to_thread(self._database.read, job)

    # This process as a host ---------------------------------------------------------------

    async def register(self, address: str) -> str:
        """Make this process known as a host that can be reached at ``address``; return its id."""
        host = uuid.uuid4().hex
        await self._writer.do(lambda c: lease.register(c, host, self._here, address))
        self.host = host
        return host

    async def beat(self) -> None:
        """Say that this host lives; due every `lease.BEAT_S` seconds.

        Sessions that were taken over meanwhile fail with `LeaseLost`, each by itself. Raises
        `LeaseLost` if the whole host was given up.
        """
        host = self._registered()
        held = {key: one.generation for key, one in self._held.items() if one is not None}
        lost = await self._writer.do(lambda c: lease.beat(c, host, held))
        for session, owner in lost.items():
            holding = self._held.get(session)
            if holding is not None and holding.generation == held[session]:
                holding.fail(LeaseLost(f"session {session} now belongs to {owner}"))

    async def leave(self) -> None:
        """Give back all leases; this process is no host any more."""
        host, self.host = self.host, None
        if host is not None:
            await self._writer.do(lambda c: lease.leave(c, host))

    async def hosts(self) -> list[HostRow]:
        """Return the hosts that are known, the living and the dead, the oldest first."""
        return await self._read(lambda c: lease.list_hosts(c, self._here))

    async def forget(self, host: str) -> bool:
        """Remove a dead host, if nothing is left of it to settle; tell whether it is gone."""
        return await self._writer.do(lambda c: lease.forget(c, host, self._here))

    def _registered(self) -> str:
        if self.host is None:
            raise Conflict("this process is not a host", "register() comes first")
        return self.host

    # Sessions to write --------------------------------------------------------------------

    async def create(self, new: NewSession) -> Holding:
        """Add a session and take it. If there is one with this id already, that one is taken.

        Raises `InvalidInput` or `LeaseHeld`.
        """
        if not _ID.fullmatch(new.id):
            raise InvalidInput(
                f"{new.id!r} cannot be the id of a session",
                "use letters, digits, - and _; 64 at most",
            )
        async with self._claim(new.id):
            await self._writer.do(lambda c: store.create(c, new))
            return await self._take(new.id)

    async def take(self, session: str) -> Holding:
        """Become the owner of a session that nobody owns, or whose owner is dead.

        Raises `NotFound`, or `LeaseHeld` that names the owner.
        """
        async with self._claim(session):
            return await self._take(session)

    @contextlib.asynccontextmanager
    async def _claim(self, session: str) -> AsyncIterator[None]:
        """One at a time may take a session in this process."""
        if session in self._held:
            raise LeaseHeld(session, "this process")
        self._held[session] = None
        try:
            yield
        finally:
            if self._held[session] is None:
                del self._held[session]

    async def _take(self, session: str) -> Holding:
        host = self._registered()
        row = await self._writer.do(lambda c: lease.take(c, session, host, self._here))
        holding = Holding(
            session=session,
            name=row.name,
            host=host,
            generation=row.generation,
            last_seq=row.seq,
            writer=self._writer,
            give_back=self._give_back,
        )
        self._held[session] = holding
        return holding

    async def _give_back(self, holding: Holding) -> None:
        """Write the rest and end the lease; where the disk fails, the host's end will end it."""
        session, host, generation = holding.session, holding.host, holding.generation
        try:
            with contextlib.suppress(StoreFailed):
                await self._writer.do(lambda c: lease.release(c, session, host, generation))
        finally:
            del self._held[session]

    async def remove(self, session: str) -> None:
        """Delete a session and all its events. Raises `NotFound`, or `LeaseHeld`."""
        host = self._registered()

        def gone(connection: Connection) -> None:
            lease.take(connection, session, host, self._here)
            store.remove(connection, session)

        async with self._claim(session):
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
            lambda c: reading.list_sessions(
                c, self._here, status=status, cwd=cwd, parent=parent, limit=limit
            )
        )

    async def find(self, text: str | None = None, cwd: str | None = None) -> SessionRow:
        """Return the session with this id, this name, or the beginning of one.

        Without a text it is the newest one in ``cwd``. Raises `NotFound`, or `Conflict` that
        names the candidates.
        """
        return await self._read(lambda c: reading.find(c, self._here, text, cwd))

    async def unsettled(self) -> list[str]:
        """Return the sessions that their owner has left as they were: they may have been cut."""
        host = self._registered()
        live = frozenset(self._held)
        return await self._read(lambda c: reading.unsettled(c, self._here, host, live))

    async def past(self, session: str) -> Past:
        """Return all there is of a session, to go on with it."""
        return await self._read(lambda c: reading.past(c, self._database.name, session))

    async def events(self, session: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Return the events after a ``seq``, the oldest first."""
        name = self._database.name
        return await self._read(lambda c: reading.read_events(c, name, session, after, limit))

    async def tail(self, session: str, count: int) -> list[Event]:
        """Return the newest events, the oldest of them first."""
        return await self._read(lambda c: reading.tail(c, self._database.name, session, count))

    async def messages(self, session: str) -> list[MessageRow]:
        """Return the messages of a session, in the order of their newest wording."""
        return await self._read(lambda c: reading.list_messages(c, session))

    async def requests(self, session: str) -> list[RequestRow]:
        """Return the requests of a session, the oldest first."""
        return await self._read(lambda c: reading.list_requests(c, session))

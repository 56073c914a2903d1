"""This process as a host of a journal: others know it, and it says again and again that it lives.

What is known of all hosts stands in `midflight.journal.hosts`, how a server calls this one in
`midflight.journal.presence`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping

from sqlalchemy import Connection

from midflight.errors import Conflict, LeaseLost
from midflight.journal import hosts, lease, people
from midflight.journal.database import Do
from midflight.journal.hosts import Offer
from midflight.journal.presence import Presence
from midflight.journal.process_identity import ProcessIdentity
from midflight.journal.record import JournalRecord


class OwnHost:
    """This process as a host, between `register` and `leave`. All may raise `StoreFailed`.

    ``id`` is what it is known by, None while it is no host; ``labels`` are a worker's.
    ``valid_until`` is when others may take it for dead, by `time.monotonic`.
    """

    def __init__(
        self,
        write: Do,
        presence: Presence | None,
        here: ProcessIdentity,
        process: str,
        held: Mapping[str, JournalRecord | None],
    ) -> None:
        """``write`` is that of the journal; ``process`` is this one's id.

        ``held`` are the records of its sessions, which the journal hands out; None for one that it
        is about to have.
        """
        self.id: str | None = None
        self.labels: tuple[str, ...] = ()
        self.valid_until = 0.0
        self._write = write
        self._presence = presence
        self._here = here
        self._process = process
        self._held = held
        self._brief_lock = asyncio.Lock()
        self._brief_users: int | None = None

    def required_id(self) -> str:
        """Return its id. Raises `Conflict` while this process is no host."""
        if self.id is None:
            raise Conflict("this process is not a host", "register() comes first")
        return self.id

    async def register(
        self, address: str, *, fires: bool = False, offer: Offer | None = None
    ) -> None:
        """Make this process known as a host that can be reached at ``address``.

        ``fires`` says that it fires this person's schedules. One with an ``offer`` is a worker.
        """
        now = time.monotonic()

        def register(connection: Connection) -> None:
            whose = people.person(connection) if fires else None
            hosts.register(connection, self._process, self._here, address, fires=whose, offer=offer)

        await self._write(register)
        self.id, self.valid_until = self._process, now + hosts.TTL_S
        self.labels = offer.labels if offer else ()

    @contextlib.asynccontextmanager
    async def briefly(self) -> AsyncIterator[None]:
        """Have this process be a host within the block, for moments; one that is one stays one."""
        async with self._brief_lock:
            if self.id is None:
                await self.register("")
                self._brief_users = 0
            if self._brief_users is not None:
                self._brief_users += 1
        try:
            yield
        finally:
            async with self._brief_lock:
                if self._brief_users is not None:
                    self._brief_users -= 1
                    if not self._brief_users:
                        self._brief_users = None
                        await self.leave()

    async def beat(self) -> None:
        """Say that this host lives; due every `hosts.BEAT_S` seconds.

        Sessions that were taken over meanwhile fail with `LeaseLost`, each by itself. Raises
        `LeaseLost` if the whole host was declared dead.
        """
        host = self.required_id()
        held = {key: one.generation for key, one in self._held.items() if one is not None}
        now = time.monotonic()
        lock = self._presence.lock if self._presence else None

        def beat(connection: Connection) -> dict[str, str]:
            hosts.beat(connection, host, lock=lock)
            return lease.lost(connection, host, held)

        lost = await self._write(beat)
        self.valid_until = now + hosts.TTL_S
        for session, owner in lost.items():
            record = self._held.get(session)
            if record is not None and record.generation == held[session]:
                record.fail(LeaseLost(f"session {session} now belongs to {owner}"))

    async def stay(self) -> None:
        """Let the server see that this process lives, for as long as this runs.

        Where the journal is a file, others look for the process itself.
        """
        if self._presence is not None:
            async with self._presence.kept():
                await asyncio.Event().wait()

    async def leave(self) -> None:
        """Give back all leases; this process is no host any more.

        A disk that hangs is not waited for: others take this host for dead then.
        """
        host, self.id = self.id, None
        if host is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(lease.GIVE_BACK_S):
                    await self._write(lambda c: hosts.leave(c, host))

    # What it waits for --------------------------------------------------------------------

    async def until_beat(self) -> None:
        """Wait until a beat is due: it is time, or what it tells has changed."""
        await self._until(lambda presence: presence.lock_changed, hosts.BEAT_S)

    async def until_inbox_changed(self, seconds: float) -> None:
        """Wait until the journal's `inbox` may have something for it, or for so long."""
        await self._until(lambda presence: presence.inbox_changed, seconds)

    async def until_readers_changed(self, seconds: float) -> None:
        """Wait until the journal may have other `readers` than before, or for so long."""
        await self._until(lambda presence: presence.readers_changed, seconds)

    async def _until(self, which: Callable[[Presence], asyncio.Event], seconds: float) -> None:
        """Wait until something is set, or for so long; it is not set any more then."""
        event = which(self._presence) if self._presence else asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()
        event.clear()

    def look_at_inbox(self) -> None:
        """Have the inbox looked at again."""
        if self._presence is not None:
            self._presence.inbox_changed.set()

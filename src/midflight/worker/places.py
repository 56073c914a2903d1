"""Who gets a worker's places: what has waited longest, wherever it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from midflight._util.aio import TaskSet, survive
from midflight.errors import StoreFailed
from midflight.host.recovery import recover_all
from midflight.host.sessions import SessionTable
from midflight.journal import HostRow, Journal, Offer
from midflight.session.session import Session

LOOK_AGAIN_S = 3.0
"""How often it is looked for sessions without a call, which can be lost."""


class Places:
    """Gives so many sessions at a time a turn: a place is a turn that runs.

    A session that is live here gets its next turn where nobody else waits for the place. Else it is
    parked, and waits behind those, for this worker or another one. As many as there are places may
    be quiet and keep their agents; of more those are parked that have been so for longest. While
    the worker is drained none gets a turn, and each is parked when the one that runs has ended;
    ``drained`` is set then.
    """

    def __init__(
        self,
        journal: Journal,
        sessions: SessionTable,
        offer: Offer,
        changed: asyncio.Event,
        is_read: Callable[[str], bool],
    ) -> None:
        """``changed`` is set when a session may wait, or a turn has ended.

        ``is_read`` tells whether a session, by its id, has a reader: it is not parked when quiet.
        """
        self.drained = asyncio.Event()
        self._is_read = is_read
        self._recovered = float("-inf")
        self._journal = journal
        self._sessions = sessions
        self._offer = offer
        self._changed = changed
        self._draining = False
        self._parking = TaskSet()

    async def serve(self) -> None:
        """Give places for as long as this runs. An error ends no more than one round."""
        try:
            while True:
                self._changed.clear()
                if not await survive(self._round, "a worker goes on after an error", StoreFailed):
                    await asyncio.sleep(LOOK_AGAIN_S)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_AGAIN_S):
                        await self._changed.wait()
        finally:
            await self._parking.close()

    async def _round(self) -> bool:
        await self._look()
        await self.give()
        return True

    async def give(self) -> None:
        """Give the places that are free, and park who wants one in vain."""
        while self._free > 0 and (session := await self._sessions.claim(self._offer)) is not None:
            session.begin_turn()
        for session in self._wanting():
            if self._free > 0:
                session.begin_turn()
            else:
                self._park(session)
        quiet = [session for session in self._sessions.live() if self._is_quiet(session)]
        quiet.sort(key=lambda session: session.idle_since or 0.0, reverse=True)
        for session in quiet[self._offer.capacity :]:
            self._park(session)

    def _park(self, session: Session) -> None:
        if not session.closing:
            self._parking.start(session.close("parked"))

    def _is_quiet(self, session: Session) -> bool:
        return session.idle_since is not None and not self._is_read(session.id)

    @property
    def _free(self) -> int:
        if self._draining:
            return 0
        return self._offer.capacity - sum(session.engaged for session in self._sessions.live())

    def _wanting(self) -> list[Session]:
        return [session for session in self._sessions.live() if session.wants_place]

    async def _look(self) -> None:
        """End what hosts that have died meanwhile have left open, and see whether to drain."""
        hosts, now = await self._journal.hosts(), asyncio.get_running_loop().time()
        if now - self._recovered >= LOOK_AGAIN_S and not all(host.alive for host in hosts):
            self._recovered = now
            await recover_all(self._journal)
        for host in hosts:
            if host.id == self._journal.host.id:
                self._drain(host)

    def _drain(self, me: HostRow) -> None:
        live = self._sessions.live()
        if me.draining or self._draining:
            for session in live:
                session.leave_host(leaving=me.draining)
        if me.draining and me.drain_s == 0.0:
            for session in live:
                self._parking.start(session.close("parked"))
        self._draining = me.draining
        if me.draining and not self._sessions:
            self.drained.set()

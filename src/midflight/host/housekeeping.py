"""What a host does by itself: it beats, parks sessions, and adds up what families have spent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable

from midflight._util.aio import survive
from midflight.errors import LeaseLost, StoreFailed
from midflight.family import Family
from midflight.host.sessions import SessionTable
from midflight.host.warm_pool import WarmAgents
from midflight.journal import BEAT_S, Journal
from midflight.state.session import BUSY

SHARE_S = 1.0
"""How often what a family has spent is added up, while one with a budget works."""


class Housekeeping:
    """The duties of one host. An error in one round is logged, and the next round follows."""

    def __init__(
        self,
        journal: Journal,
        sessions: SessionTable,
        warm: WarmAgents,
        park_after: float | None,
        *,
        is_read: Callable[[str], bool],
        come_back: Callable[[], Awaitable[None]],
    ) -> None:
        """``is_read`` tells whether a session, by its id, has a reader: it is not parked then.

        ``come_back`` makes this a host again that others have forgotten.
        """
        self._journal = journal
        self._sessions = sessions
        self._warm = warm
        self._is_read = is_read
        self._come_back = come_back
        self._park_after = float("inf") if park_after is None else park_after

    async def beat(self) -> None:
        """Beat for as long as this host lives; sessions that were lost are severed."""
        while True:
            await self._survive(self._beat)
            await self._journal.host.until_beat()

    async def tend(self) -> None:
        """Park sessions that have been quiet for a while, and keep agents warm."""
        while True:
            self._sessions.changed.clear()
            await self._survive(self._warm.keep)
            waits = await self._park()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(waits, default=None)):
                    await self._sessions.changed.wait()

    async def end_lost(self) -> None:
        """End what is open in sessions that the journal could not take, when it can again."""
        while True:
            await asyncio.sleep(BEAT_S)
            await self._survive(self._sessions.end_lost)

    async def share(self) -> None:
        """Hold sessions to the budgets above them, which others of their family spend as well."""
        while True:
            await asyncio.sleep(SHARE_S)
            await self._survive(self._share)

    async def _share(self) -> None:
        """End the turns of those for which nothing is left: each was begun with all there was.

        One that has begun none and was begun by none shares with nobody.
        """
        limited = {
            session.id: session
            for session in self._sessions.live()
            if "max_budget_usd" in session.limits and session.status in BUSY
        }
        if not limited or not (related := await self._journal.related(limited)):
            return
        family = await Family.of(self._journal)
        for session in related:
            if (others := family.charge(session)) is not None:
                await self._survive(functools.partial(limited[session].charge, others))

    async def _survive(self, duty: Callable[[], Awaitable[None]]) -> None:
        """Do a duty once. A host that stopped doing them would be worse than one that fails."""
        await survive(duty, "a host goes on after an error")

    async def _beat(self) -> None:
        try:
            async with asyncio.timeout(BEAT_S):
                await self._journal.host.beat()
        except LeaseLost as error:  # it was taken for dead, and all that it had is with others
            self._miss(error)
            await self._come_back()
        except Exception as error:
            self._miss(error)
            if not isinstance(error, (StoreFailed, TimeoutError)):
                raise

    def _miss(self, error: Exception) -> None:
        """A host that cannot beat will be taken for dead: its agents end before that."""
        lost = isinstance(error, LeaseLost)
        if lost or time.monotonic() + 2 * BEAT_S > self._journal.host.valid_until:
            why = error if isinstance(error, StoreFailed) else StoreFailed("the journal hangs")
            for session in self._sessions.live():
                session.sever(why)

    async def _park(self) -> list[float]:
        """Park the sessions that have been quiet for long; return how long others still may be."""
        now = asyncio.get_running_loop().time()
        waits = []
        for session in self._sessions.live():
            since = session.idle_since
            left = self._park_after - (now - since if since is not None else 0.0)
            if left > 0:
                waits.append(left)
            elif not self._is_read(session.id):  # whose going is a change
                await self._survive(functools.partial(session.close, "parked"))
        return waits

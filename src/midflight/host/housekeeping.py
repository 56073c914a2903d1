"""What a host does by itself: it says that it lives, and lays sessions to rest."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from midflight.errors import LeaseLost, StoreFailed
from midflight.journal import BEAT_S

if TYPE_CHECKING:
    from midflight.host.host import Host
    from midflight.host.service import SessionService
    from midflight.host.warm_pool import WarmAgents

__all__ = ["Housekeeping"]


class Housekeeping:
    """The duties of one host. What goes wrong in one round is told, and the next one follows."""

    def __init__(
        self, host: Host, access: SessionService, warm: WarmAgents, park_after: float | None
    ) -> None:
        """Nothing is done yet."""
        self._host = host
        self._access = access
        self._warm = warm
        self._park_after = float("inf") if park_after is None else park_after

    async def beat(self) -> None:
        """Say that this host lives, as long as it does; sessions that were lost are abandoned."""
        while True:
            await self._survive(self._beat)
            await asyncio.sleep(BEAT_S)

    async def tend(self) -> None:
        """Lay sessions to rest that nobody has used for a while, and keep agents ready."""
        while True:
            self._host.changed.clear()
            await self._survive(self._warm.keep)
            waits = await self._park()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(waits, default=None)):
                    await self._host.changed.wait()

    async def _survive(self, duty: Callable[[], Awaitable[None]]) -> None:
        """Do it once. A host that no longer did its duties would be worse than one that fails."""
        try:
            await duty()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            told = {"message": "a host goes on after an error", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)

    async def _beat(self) -> None:
        try:
            async with asyncio.timeout(BEAT_S):
                await self._host.journal.beat()
        except Exception as error:
            self._miss(error)
            if not isinstance(error, (StoreFailed, TimeoutError)):
                raise

    def _miss(self, error: Exception) -> None:
        """Whoever cannot say that it lives will be taken for dead: its agents end before that."""
        lost = isinstance(error, LeaseLost)
        if lost or time.monotonic() + 2 * BEAT_S > self._host.journal.valid_until:
            why = error if isinstance(error, StoreFailed) else StoreFailed("the journal hangs")
            for session in list(self._host.sessions.values()):
                session.sever(why)

    async def _park(self) -> list[float]:
        """Lay to rest whom nobody needs; return how long others may still be quiet."""
        now = asyncio.get_running_loop().time()
        waits = []
        for session in list(self._host.sessions.values()):
            since = session.idle_since
            left = self._park_after - (now - since if since is not None else 0.0)
            if left > 0:
                waits.append(left)
            elif not self._access.readers[session.id]:  # whose going is a change
                await self._survive(functools.partial(session.close, "parked"))
        return waits

"""Sessions on their way into a host: one by one for each id, and none that outlasts the host."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncIterator

from midflight.errors import HostGone
from midflight.session.session import Session

__all__ = ["Starting"]


class Starting:
    """Knows what is on its way. True while there is anything."""

    def __init__(self, changed: asyncio.Event) -> None:
        """``changed`` is set whenever something has arrived, or has failed to."""
        self._changed = changed
        self._count = 0
        self._locks = weakref.WeakValueDictionary[str, asyncio.Lock]()
        self._entering: set[asyncio.Task[Session]] = set()

    def __bool__(self) -> bool:
        """Tell whether anything is on its way."""
        return self._count > 0

    @contextlib.asynccontextmanager
    async def alone(self, id: str) -> AsyncIterator[None]:
        """Nobody else begins or takes up this session meanwhile, and the host waits for it."""
        self._count += 1
        try:
            async with self._locks.setdefault(id, asyncio.Lock()):
                yield
        finally:
            self._count -= 1
            self._changed.set()

    async def enter(self, session: Session) -> None:
        """Enter a session. Raises what that raises, or `HostGone` when the host ends first."""
        entering = asyncio.get_running_loop().create_task(session.__aenter__())
        self._entering.add(entering)
        try:
            await entering
        except asyncio.CancelledError:
            me = asyncio.current_task()
            if me is None or me.cancelling():
                raise
            raise HostGone(
                "this host has ended before the agent was there", "send it again"
            ) from None
        finally:
            self._entering.discard(entering)

    async def cut(self) -> None:
        """End the starts under way, and wait until nothing is on its way any more.

        How long an agent takes to start is for itself to say; a host that ends cannot wait for it.
        """
        for entering in self._entering:
            entering.cancel()
        while self._count:  # each ends by itself, and needs the journal for that
            self._changed.clear()
            await self._changed.wait()

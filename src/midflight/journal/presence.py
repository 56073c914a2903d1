"""A host's own connection to the server: others see by it that the host lives, and call it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from midflight.errors import StoreRefused
from midflight.journal.postgresql import check_encrypted

_log = logging.getLogger("midflight")

AGAIN_S = 0.5
"""How long a connection that was lost, or could not be made, is left alone."""

# The server gives back the lock of a killed process at once, since the system closes its
# connection. Of a cut it hears later than the beat has told of it, so that the beat decides there.
_AT_START = """
    SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3
"""


class Presence:
    """Holds an advisory lock for a host, and hears when it is called.

    ``lock`` is the lock's key while it is held, None while it is not, and ``changed`` is set
    whenever that has changed. ``called`` is set when somebody calls, or may have unheard.
    """

    def __init__(self, parameters: Mapping[str, Any], host: str) -> None:
        """``parameters`` are those of its connection; its key and channel follow from its id."""
        self.lock: int | None = None
        self.changed = asyncio.Event()
        self.called = asyncio.Event()
        self._parameters = parameters
        self._host = host

    async def keep(self) -> None:
        """Be there for as long as this runs, by a new connection where one was lost."""
        import psycopg

        while True:
            try:
                await self._be_there()
            except (psycopg.Error, OSError, StoreRefused) as error:
                _log.debug("host %s is not seen by its server: %s", self._host, error)
            await asyncio.sleep(AGAIN_S)

    async def _be_there(self) -> None:
        """Hold the lock and listen, until the connection is lost."""
        from psycopg import AsyncConnection

        connection = await AsyncConnection.connect(**self._parameters, autocommit=True)
        async with connection:
            check_encrypted(connection)
            await connection.execute(_AT_START)
            # Shared, for the server may not yet know that the connection before is dead.
            await connection.execute("SELECT pg_advisory_lock_shared(%s)", [key(self._host)])
            await connection.execute(f"LISTEN {channel(self._host)}")
            self._hold(key(self._host))
            try:
                self.called.set()
                async for _ in connection.notifies():
                    self.called.set()
            finally:
                self._hold(None)

    def _hold(self, lock: int | None) -> None:
        self.lock = lock
        self.changed.set()


def key(host: str) -> int:
    """Return the key of a host's lock, which is a number of 64 bits with a sign."""
    return int.from_bytes(bytes.fromhex(host)[:8], signed=True)


def channel(host: str) -> str:
    """Return the name of the channel on which a host is called."""
    return f"midflight_{host}"

"""A process's own connection to the server: others see by it that it lives, and call it.

A call is a ``NOTIFY`` on the channel of that process. Whoever may connect to the database can call
any process whose id it knows, so a call is never believed: it says where to look. The one thing
that one carries is what streams at the moment, which is in no table; see `midflight.journal.relay`.
That comes on a channel which nobody knows but the owners of the sessions that are read.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import secrets
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from midflight._util.aio import TaskSet
from midflight.errors import StoreRefused
from midflight.journal.postgresql import NOTICE_THERE, check_encrypted

_log = logging.getLogger("midflight")

WORKERS = "midflight_workers"
"""The channel on which all workers are called: a session begins to wait, or what `TOLD` says."""

TOLD = "t"
"""What is said there when a session that nobody has is told something."""

AGAIN_S = 0.5
"""How long a connection that was lost, or could not be made, is left alone."""

LINGER_S = 5.0
"""How long a connection that nobody uses any more is kept: the next one may come soon."""

_ID = re.compile("[0-9a-f]{32}")
_KEY_CHARS = 16


class Presence:
    """Holds an advisory lock for a process, and hears when it is called.

    ``lock`` is the lock's key while it is held, None while it is not, and ``lock_changed`` is set
    whenever that has changed. ``inbox_changed`` and ``readers_changed`` are set when somebody calls
    about commands, or about who reads along, or may have unheard. So is ``work_waits``, if there is
    one, when a session begins to wait for a worker. ``reader`` is the id of the process as one who
    reads streams: its lock is the same, and what is said on its channel is all that is believed.
    """

    def __init__(
        self,
        parameters: Mapping[str, Any],
        id: str,
        work_waits: asyncio.Event | None = None,
    ) -> None:
        """``parameters`` are those of its connection; its key and channel follow from its id."""
        self.work_waits = work_waits
        self.lock: int | None = None
        self.lock_changed = asyncio.Event()
        self.inbox_changed = asyncio.Event()
        self.readers_changed = asyncio.Event()
        self.id = id
        self.reader = id[:_KEY_CHARS] + secrets.token_hex(8)
        self._parameters = parameters
        self._users = 0
        self._keeping: asyncio.Task[None] | None = None
        self._tasks = TaskSet()
        self._awaited: dict[str, asyncio.Event] = {}
        self._streams: dict[str, Callable[[str | None], None]] = {}
        self._there = asyncio.Event()

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Be there within the block, by a new connection where one was lost."""
        self._users += 1
        if self._keeping is None:
            self._keeping = self._tasks.start(self._keep())
        try:
            yield
        finally:
            self._users -= 1
            if not self._users:
                asyncio.get_running_loop().call_later(LINGER_S, self._end)

    def _end(self) -> None:
        if not self._users:
            self._stop()

    def _stop(self) -> None:
        keeping, self._keeping = self._keeping, None
        if keeping is not None:
            keeping.cancel()

    async def leave(self) -> None:
        """End the connection, and wait for one that is being ended."""
        self._stop()
        await self._tasks.join()

    async def _keep(self) -> None:
        import psycopg

        while True:
            try:
                await self._be_there()
            except (psycopg.Error, OSError, StoreRefused) as error:
                _log.debug("process %s is not seen by its server: %s", self.id, error)
            await asyncio.sleep(AGAIN_S)

    async def _be_there(self) -> None:
        """Hold the lock and listen, until the connection is lost."""
        from psycopg import AsyncConnection

        connection = await AsyncConnection.connect(**self._parameters, autocommit=True)
        try:
            check_encrypted(connection)
            # The server gives back the lock of a killed process at once, since the system closes
            # its connection. Of a cut it hears later than the beat has told of it, so that the beat
            # decides there. One that is stopped takes nothing any more: its server would keep for
            # it what everybody is told.
            await connection.execute(NOTICE_THERE)
            # Shared, for the server may not yet know that the connection before is dead.
            await connection.execute("SELECT pg_advisory_lock_shared(%s)", [key(self.id)])
            await connection.execute(f"LISTEN {channel(self.reader)}")
            await connection.execute(f"LISTEN {channel(self.id)}")
            if self.work_waits is not None:
                await connection.execute(f"LISTEN {WORKERS}")
            self._hold(key(self.id))
            try:
                self._look_everywhere()
                async for call in connection.notifies():
                    if call.channel == channel(self.reader):
                        self._hear_stream(call.payload)
                    elif call.channel != WORKERS or call.payload == TOLD:
                        self._hear(call.payload)
                    elif self.work_waits is not None:
                        self.work_waits.set()
            finally:
                self._hold(None)
                self._look_everywhere()
        finally:  # its own block would end the transaction first, and wait for the server
            await connection.close()

    def _hold(self, lock: int | None) -> None:
        self.lock = lock
        self.lock_changed.set()
        if lock is None:
            self._there.clear()
        else:
            self._there.set()

    def _look_everywhere(self) -> None:
        """Calls may have gone unheard: what hangs on them is looked at, and streams have a gap."""
        for each in (self.inbox_changed, self.readers_changed, *self._awaited.values()):
            each.set()
        if self.work_waits is not None:
            self.work_waits.set()
        for hear in [*self._streams.values()]:
            hear(None)

    def _hear(self, payload: str) -> None:
        """A call is about commands, who reads along, or a command that is done."""
        kind, rest = payload[:1], payload[1:]
        if kind in {"", TOLD}:
            self.inbox_changed.set()
        elif kind == "r":
            self.readers_changed.set()
        elif kind == "s" and rest in self._awaited:
            self._awaited[rest].set()

    def _hear_stream(self, payload: str) -> None:
        stream, _, piece = payload[1:].partition(":")
        if (hear := self._streams.get(stream)) is not None:
            hear(piece)

    async def there(self, timeout: float) -> bool:
        """Wait until calls are heard; tell whether they are."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._there.wait()
        return self._there.is_set()

    @property
    def hears(self) -> bool:
        """Whether calls are heard."""
        return self._there.is_set()

    @contextlib.contextmanager
    def awaiting(self) -> Iterator[tuple[str, asyncio.Event]]:
        """Enter where to reply to, and what is set when a reply has come, or may be unheard."""
        token, event = uuid.uuid4().hex, asyncio.Event()
        self._awaited[token] = event
        try:
            yield f"{self.id}:{token}", event
        finally:
            del self._awaited[token]

    @contextlib.contextmanager
    def hearing(self, stream: str, hear: Callable[[str | None], None]) -> Iterator[None]:
        """Within the block ``hear`` gets each piece of a stream; None when some may be lost."""
        self._streams[stream] = hear
        try:
            yield
        finally:
            del self._streams[stream]


def key(id: str) -> int:
    """Return the key of a process's lock, which is a number of 64 bits with a sign."""
    return int.from_bytes(bytes.fromhex(id[:_KEY_CHARS]), signed=True)


def channel(id: str) -> str:
    """Return the name of the channel on which a process is called."""
    return f"midflight_{id}"


def is_id(text: str) -> bool:
    """Tell whether a text is the id of a process; a table may say anything."""
    return _ID.fullmatch(text) is not None


def reply(to: str) -> tuple[str, str] | None:
    """Return the channel and the payload that reply to `Presence.awaiting`; None for no address."""
    process, _, token = to.partition(":")
    return (channel(process), f"s{token}") if is_id(process) and is_id(token) else None

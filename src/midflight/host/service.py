"""What other processes do on a host: carry out commands, and read along."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.host.recovery import settle
from midflight.info import Outcome
from midflight.session.session import Session

if TYPE_CHECKING:
    from midflight.host.host import Host

__all__ = ["SessionService"]

PAGE = 1_000
"""How many events are read from the journal at a time."""


class SessionService:
    """Brings commands to sessions and events to readers, and knows who is there to answer.

    ``readers`` counts the readers of each session: one that is read is not laid to rest.
    """

    def __init__(self, host: Host) -> None:
        """Begin without a reader."""
        self._host = host
        self.readers: Counter[str] = Counter()
        self._attended: Counter[str] = Counter()

    async def carry_out(self, id: str, command: c.Command) -> Outcome:
        """Carry out a command on a session; one at rest is taken up. Raises as the verb does."""
        if isinstance(command, c.Close):
            return await self._close(id)
        session = await self._host.session(id)
        if isinstance(command, c.Cancel):
            await session.withdraw(command.message)
            return _outcome(session, command.message)
        if isinstance(command, (c.Send, c.Redirect)) and not command.id:
            command = msgspec.structs.replace(command, id=str(uuid.uuid4()))
        await session.command(command)
        message = command.id if isinstance(command, (c.Send, c.Redirect)) else None
        return _outcome(session, message or getattr(command, "message", None))

    async def _close(self, id: str) -> Outcome:
        """Close a session, once: one that is closed, or about to be, is left as it is."""
        async with self._host.arrivals.alone(id):
            session = self._host.sessions.get(id)
            if session is not None:
                await session.close()
                await session.over()
                if session.lost is not None:  # asking such a disk for more would take as long
                    raise session.lost
            row = await self._host.journal.find(id, exact=True)
            if row.status == "closed":
                return Outcome(seq=row.seq)
            row, record, past = await self._host.journal.take(id)
            await settle(row, record, past, closed=True)
            return Outcome(seq=(await self._host.journal.find(id, exact=True)).seq)

    async def follow(self, id: str, after: int, *, attends: bool) -> AsyncGenerator[e.Event]:
        """Yield a session's events after a ``seq``: what is on disk, then what happens.

        It ends when the session has, or is laid to rest. ``attends`` says that the reader answers
        requests: as long as there is one they have no deadline. Raises `EventsExpired` when the
        reader falls too far behind.
        """
        self.readers[id] += 1
        self._attended[id] += attends
        self._attend(id)
        try:
            while (
                session := self._host.sessions.get(id)
            ) is None or after < session.oldest_seq - 1:
                page = await self._host.journal.events(id, after, PAGE)
                for event in page:
                    yield event
                    after = event.seq or after
                if session is None and not page:
                    return
            async for event in session.events(after):
                yield event
        finally:
            self.readers[id] -= 1
            self._attended[id] -= attends
            self._attend(id)
            self.readers, self._attended = +self.readers, +self._attended
            self._host.changed.set()

    def _attend(self, id: str) -> None:
        session = self._host.sessions.get(id)
        if session is not None and session.options.attended is not True:
            session.attend(True if self._attended[id] else session.options.attended)


def _outcome(session: Session, message: str | None) -> Outcome:
    """Look at the message that a command was about, if it was about one."""
    entry = session.entry(message) if message else None
    if entry is None:
        return Outcome(seq=session.last_seq)
    return Outcome(seq=session.last_seq, message=message, state=entry.state, turn=entry.turn)

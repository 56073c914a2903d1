"""Keeps what a session shows behind what its journal has on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midflight.errors import StoreFailed
from midflight.events import Event
from midflight.journal.base import Record, Summary
from midflight.session.event_log import EventLog
from midflight.state.session import State

CLOSE_S = 15.0
"""How long the rest may take to be written: longer than other writers may keep a database."""


def summary(
    state: State, *, status: str = "", model: str = "", permission_mode: str = ""
) -> Summary:
    """Return what lists are to show of a session; what is not given is as the state says."""
    started = state.started
    return Summary(
        status=status or state.status,
        turns=state.turns,
        total_cost_usd=state.ledger.total_usd,
        model=model or (started.model if started else ""),
        permission_mode=permission_mode,
        agent_session=started.agent_session if started else "",
        last=state.last,
        pending=tuple(state.requests.pending),
    )


class Recorder:
    """Between a session's log and its record: an event is shown when it has been written.

    Without a record it is shown at once.
    """

    def __init__(
        self,
        record: Record | None,
        log: EventLog,
        inform: Callable[[Event], None],
        failed: Callable[[Exception], None],
    ) -> None:
        """``inform`` gets each durable event that may be seen; ``failed`` is told at most once."""
        self._record = record
        self._log = log
        self._inform = inform
        self._failed = failed
        self._noted: Summary | None = None

    def begin(self) -> None:
        """Take the news from the journal in the event loop that runs."""
        if self._record is not None:
            self._record.begin(self._shown, self._failed)

    def _shown(self, seq: int) -> None:
        for event in self._log.show(seq):
            self._inform(event)

    def append(self, event: Event) -> None:
        """Have a durable event written."""
        if self._record is not None:
            self._record.append(event)
        else:
            self._inform(event)

    def handed(self, message: str, *, back: bool = False) -> None:
        """Have it written that the agent is about to be given a message, or has given it back."""
        if self._record is not None:
            self._record.handed(message, back=back)

    def note(self, summary: Callable[[], Summary]) -> None:
        """Have lists show this, if it is anything new."""
        if self._record is not None and (new := summary()) != self._noted:
            self._noted = new
            self._record.note(new)

    async def written(self) -> None:
        """Wait until all so far is on disk, and is shown. Raises `StoreFailed`."""
        if self._record is None:
            return
        await self._record.written()
        while self._log.behind and self._log.error is None:
            await self._log.changed()
        if self._log.error is not None:
            raise self._log.error

    def fail(self, error: Exception) -> None:
        """Write nothing more."""
        if self._record is not None:
            self._record.fail(error)

    async def close(self) -> None:
        """Write the rest, show it, and give the lease back. What fails has been told already.

        A disk that hangs is not waited for: that what is left is not written is told instead.
        """
        if self._record is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.written()
        except StoreFailed:
            pass
        except TimeoutError:
            self._record.fail(self._left())
        await self._record.close()

    def _left(self) -> StoreFailed:
        """Return the error that says what is not on disk."""
        left = self._log.hidden()
        kinds = ", ".join(dict.fromkeys(event.type for event in left))
        return StoreFailed(
            f"the journal has not answered for {CLOSE_S:.0f} seconds: "
            f"{len(left)} events of the session are not on disk ({kinds})",
            "whoever goes on with the session ends what they would have ended",
        )

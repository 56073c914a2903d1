"""Lets readers of a session see an event when the journal has it on disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midflight.errors import StoreFailed
from midflight.events import Event
from midflight.images import Image
from midflight.journal.base import Record, Summary
from midflight.session.event_log import EventLog
from midflight.state.session import State
from midflight.values import SessionStatus

CLOSE_S = 15.0
"""How long `close` waits for the journal: longer than another writer may lock the database."""


def summary(
    state: State,
    *,
    status: SessionStatus | None = None,
    model: str = "",
    permission_mode: str = "",
    waiting_since: float | None = None,
) -> Summary:
    """Return what lists show of a session; empty arguments are taken from the state."""
    started = state.started
    return Summary(
        status=status or state.status,
        turns=state.turns,
        total_cost_usd=state.ledger.total_usd,
        known_usd=state.ledger.known_usd,
        model=model or (started.model if started else ""),
        permission_mode=permission_mode,
        agent_session=started.agent_session if started else "",
        last=state.last,
        pending=tuple(state.requests.pending),
        rules=state.rules,
        limits=state.limits,
        turn_started=state.turn.started if state.turn else None,
        waiting_since=waiting_since,
    )


class Recorder:
    """Writes a session's events to its record, and shows each in the log when it is on disk.

    Without a record each is shown at once.
    """

    def __init__(
        self,
        record: Record | None,
        log: EventLog,
        on_shown: Callable[[Event], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        """``on_shown`` gets each durable event when readers may see it.

        ``on_failed`` gets the error of a journal that can take no more, at most once.
        """
        self._record = record
        self._log = log
        self._on_shown = on_shown
        self._on_failed = on_failed
        self._noted: Summary | None = None

    def begin(self) -> None:
        """Have the record report in the running event loop."""
        if self._record is not None:
            self._record.begin(self._show, self._on_failed)

    def _show(self, seq: int) -> None:
        for event in self._log.show(seq):
            self._on_shown(event)

    def append(self, event: Event, images: tuple[Image, ...] = ()) -> None:
        """Write a durable event, with the images of a message that it accepts."""
        if self._record is not None:
            self._record.append(event, images)
        else:
            self._on_shown(event)

    def handed(self, message: str, *, back: bool = False) -> None:
        """Write that a message is handed to the agent, or (``back``) waits again."""
        if self._record is not None:
            self._record.handed(message, back=back)

    def note(self, summary: Callable[[], Summary]) -> None:
        """Write the summary for lists, if it has changed."""
        if self._record is not None and (current := summary()) != self._noted:
            self._noted = current
            self._record.note(current)

    async def written(self) -> None:
        """Wait until all events so far are on disk and shown. Raises `StoreFailed`."""
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
        """Write and show the rest, and give the lease back.

        A failure of the journal was reported before. If the disk hangs for `CLOSE_S`, the session
        fails with the events that are not written.
        """
        if self._record is None:
            return
        try:
            async with asyncio.timeout(CLOSE_S):
                await self.written()
        except StoreFailed:
            pass
        except TimeoutError:
            self._record.fail(self._unwritten())
        await self._record.close()

    def _unwritten(self) -> StoreFailed:
        """Return the error that names the events that are not on disk."""
        events = self._log.hidden()
        kinds = ", ".join(dict.fromkeys(event.type for event in events))
        return StoreFailed(
            f"the journal has not answered for {CLOSE_S:.0f} seconds: "
            f"{len(events)} events of the session are not on disk ({kinds})",
            "the host that resumes the session ends what they would have ended",
        )

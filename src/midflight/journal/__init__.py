"""The append-only record of sessions on disk, and the leases that decide who may write it.

    async with Journal() as journal:
        await journal.host.register(address)            # beat() every 5 seconds from here on
        row, record = await journal.create("fix-the-tests", options)
        record.begin(shown=print, failed=print)
        record.append(event)                            # never blocks; in order
        await record.written()                          # now it is on disk
        await record.close()                            # gives the lease back
        await journal.events(row.id, after=0)
        await journal.host.leave()

`Journal.take` takes over a session, and returns its `Past` too. The record is a
`midflight.journal.base.Record`; `restored` makes options of ``row.options``.

What stands here is slow to import and is loaded when it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midflight.journal.hosts import BEAT_S, TTL_S, Offer
    from midflight.journal.journal import Journal
    from midflight.journal.location import JournalLocation
    from midflight.journal.record import JournalRecord
    from midflight.journal.rows import HostRow, Newest, SessionRow
    from midflight.journal.stored_options import restored, stored

__all__ = [
    "BEAT_S",
    "TTL_S",
    "HostRow",
    "Journal",
    "JournalLocation",
    "JournalRecord",
    "Newest",
    "Offer",
    "SessionRow",
    "restored",
    "stored",
]

_MODULES = {
    "BEAT_S": "hosts",
    "TTL_S": "hosts",
    "HostRow": "rows",
    "Journal": "journal",
    "JournalLocation": "location",
    "JournalRecord": "record",
    "Newest": "rows",
    "Offer": "hosts",
    "SessionRow": "rows",
    "restored": "stored_options",
    "stored": "stored_options",
}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Import what is asked for; most of it stands on SQLAlchemy."""
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"midflight.journal.{_MODULES[name]}")
        return globals().setdefault(name, getattr(module, name))

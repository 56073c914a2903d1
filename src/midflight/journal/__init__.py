"""The append-only record of sessions on disk, and the leases that say who may write it.

    async with Journal() as journal:
        await journal.register(address)                 # beat() every 5 seconds from here on
        row, record = await journal.create("fix-the-tests", options)
        record.begin(shown=print, failed=print)
        record.append(event)                            # never blocks; in order
        await record.written()                          # now it is on disk
        await record.close()                            # gives the lease back
        await journal.events(row.id, after=0)
        await journal.leave()

`Journal.take` goes on with a session, and returns all there is of it too. The record is a
`midflight.record.Record`; `restored` makes options of ``row.options``.

This package is slow to import and is loaded where it is needed.
"""

from midflight.journal.holding import Holding
from midflight.journal.journal import Journal
from midflight.journal.lease import BEAT_S, TTL_S
from midflight.journal.place import Place
from midflight.journal.rows import HostRow, MessageRow, RequestRow, SessionRow
from midflight.journal.stored_options import restored, stored

__all__ = [
    "BEAT_S",
    "TTL_S",
    "Holding",
    "HostRow",
    "Journal",
    "MessageRow",
    "Place",
    "RequestRow",
    "SessionRow",
    "restored",
    "stored",
]

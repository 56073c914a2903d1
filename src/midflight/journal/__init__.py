"""The append-only record of sessions on disk, and the leases that say who may write it.

    async with await Journal.open() as journal:
        await journal.register("unix:/…/a.sock")        # beat() every 5 seconds from here on
        record = await journal.create(
            NewSession(id=uuid4().hex, name="fix", agent=…, cwd="/src", options=stored(options))
        )
        record.begin(shown=print, failed=print)
        record.append(event)                            # never blocks; in order
        await record.written()                          # now it is on disk
        await record.close()                            # gives the lease back
        await journal.events(record.session, after=0)
        await journal.leave()

`Journal.take` goes on with a session, `Journal.past` tells all there is of it. The record is a
`midflight.record.Record`. This package is slow to import and is loaded where it is needed.
"""

from midflight.journal.holding import Holding
from midflight.journal.journal import Journal
from midflight.journal.lease import BEAT_S, TTL_S
from midflight.journal.place import Place
from midflight.journal.rows import HostRow, MessageRow, RequestRow, SessionRow
from midflight.journal.store import NewSession
from midflight.journal.stored_options import restored, stored

__all__ = [
    "BEAT_S",
    "TTL_S",
    "Holding",
    "HostRow",
    "Journal",
    "MessageRow",
    "NewSession",
    "Place",
    "RequestRow",
    "SessionRow",
    "restored",
    "stored",
]

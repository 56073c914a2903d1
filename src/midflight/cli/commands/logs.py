"""``midflight logs``: a session's events from the journal, and with ``-f`` those that follow."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from midflight import events as e
from midflight._util.files import current_folder
from midflight.authorization import Authorizer
from midflight.cli.output import columns, json_line, write
from midflight.cli.terminal.transcript import Transcript
from midflight.journal import Journal
from midflight.state.session import AT_REST


def logs(args: argparse.Namespace) -> int:
    """Print the session."""
    return asyncio.run(_logs(args))


async def _logs(args: argparse.Namespace) -> int:
    async with Journal() as journal:
        folder = current_folder(needed=args.session is None)
        row = await Authorizer.of_this_process(journal).find(args.session, str(folder))
        printer = _Printer(Path(row.cwd), as_json=args.json)
        after = 0
        while page := await journal.events(row.id, after):
            for event in page:
                printer.take(event)
            after = page[-1].seq or after
        if row.host is not None:
            printer.tell_waiting()
    if args.follow and (row.host is not None or row.waiting_since is not None):
        await _follow(row.id, after, printer)
    return 0


async def _follow(session: str, after: int, printer: _Printer) -> None:
    """Print what happens until the session ends or is parked; a host that dies is no end.

    Nor is one that waits for a worker.
    """
    from midflight.client.client import connect

    async with (
        connect() as client,
        await client.session(session, attend=False) as remote,
    ):
        async for event in remote.events(after):
            printer.take(event)


class _Printer:
    def __init__(self, cwd: Path, *, as_json: bool) -> None:
        self._transcript = None if as_json else Transcript(cwd, whole=True, width=columns())

    def tell_waiting(self) -> None:
        """Print which permissions are being asked for; as JSON, the events say it."""
        if self._transcript is not None:
            write(self._transcript.waiting)

    def take(self, event: e.Event) -> None:
        if self._transcript is None:
            write(json_line(e.encode(event)))
            return
        write(self._transcript.take(event))
        if isinstance(event, e.SessionEnded) and event.reason not in AT_REST:
            write(self._transcript.lines([("2", f"\nThe session has ended ({event.reason}).\n")]))

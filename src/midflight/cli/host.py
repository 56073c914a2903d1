"""``midflight host``: keeps sessions in the background, for as long as it has any."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal

import msgspec

from midflight.background import Ready
from midflight.cli.hosted import notifier_of_environment
from midflight.errors import MidflightError
from midflight.host import Host

__all__ = ["host"]

UNUSED_S = 60.0
"""How long a host without a session waits for one."""


def host(given: argparse.Namespace) -> int:
    """Be a host until nobody needs it, or SIGTERM; return the exit code."""
    return asyncio.run(_host(given))


async def _host(given: argparse.Namespace) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # its terminal may go, it stays
    try:
        notifier = notifier_of_environment()
        mine = Host(given.journal, park_after=given.park_after)
        if notifier is not None:
            mine.followers.append(notifier.follow)
        async with mine:
            ready, given.ready = given.ready, None  # closed, its number is soon somebody else's
            _tell(ready, Ready(address=mine.address))
            await mine.wake()
            unused = loop.create_task(mine.unused(UNUSED_S))
            stopping = loop.create_task(stopped.wait())
            await asyncio.wait([unused, stopping], return_when=asyncio.FIRST_COMPLETED)
            for task in (unused, stopping):
                task.cancel()
        if notifier is not None:
            await notifier.close()
    except MidflightError as error:
        _tell(given.ready, Ready(error=error.message, hint=error.hint))
        raise
    return 0


def _tell(descriptor: int | None, ready: Ready) -> None:
    """Say how it went to whoever has started this host and waits for it."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(descriptor, msgspec.json.encode(ready) + b"\n")
            os.close(descriptor)

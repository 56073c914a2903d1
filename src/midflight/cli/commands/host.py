"""``midflight host``: keeps sessions in the background, for as long as it has any."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import os
import signal
from collections.abc import Mapping
from typing import Any

import msgspec

from midflight.cli.config.options import in_the_words_of, said, settled_options
from midflight.cli.foreground import PARK_AFTER_VARIABLE, make_notifier
from midflight.cli.output import write
from midflight.cli.parser import seconds
from midflight.client.spawn import Ready
from midflight.errors import InvalidInput, InvalidOption, MidflightError
from midflight.host import Host
from midflight.host.host import PARK_AFTER_S
from midflight.options import Options

UNUSED_S = 60.0
"""How long a host without a session waits for one."""


def host(given: argparse.Namespace) -> int:
    """Be a host until nobody needs it, or SIGTERM; return the exit code.

    One that keeps an agent warm is needed until it is ended.
    """
    if not given.warm:
        if said(given):
            raise InvalidInput("what an agent is like goes with --warm", "midflight host --help")
        return asyncio.run(_host(given))
    settled = settled_options(given)
    try:
        return asyncio.run(_host(given, settled.options))
    except InvalidOption as error:
        raise in_the_words_of(settled.sources, error) from error


async def _host(given: argparse.Namespace, warm: Mapping[str, Any] | None = None) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # its terminal may go, it stays
    try:
        notifier = make_notifier(None)
        on_session = notifier.follow if notifier else None
        mine = Host(given.journal, park_after=_park_after(given), on_session=on_session)
        async with mine:
            ready, given.ready = given.ready, None  # closed, its number is soon somebody else's
            _tell(ready, Ready(address=mine.address()))
            await mine.wake()
            if warm is not None:
                await mine.keep_warm(**warm)
                write(f"an agent is ready in {Options.build(**warm).cwd}; Ctrl-C ends it\n")
            unused = loop.create_task(mine.unused(UNUSED_S if warm is None else math.inf))
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


def _park_after(given: argparse.Namespace) -> float:
    """Return what was said here, or where this host was started from. Raises `InvalidInput`."""
    if given.park_after is not None:
        return float(given.park_after)
    said = os.environ.get(PARK_AFTER_VARIABLE)
    try:
        return seconds(said) if said else PARK_AFTER_S
    except ValueError as error:
        raise InvalidInput(
            f"{PARK_AFTER_VARIABLE} is no span of time: {said}", "such as 900 or 15m"
        ) from error


def _tell(descriptor: int | None, ready: Ready) -> None:
    """Say how it went to whoever has started this host and waits for it."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(descriptor, msgspec.json.encode(ready) + b"\n")
            os.close(descriptor)

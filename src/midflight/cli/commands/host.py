"""``midflight host``: keeps sessions in the background, for as long as it has any."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import math
import os
import signal
from collections.abc import Mapping
from typing import Any

import msgspec

from midflight._util.files import current_folder
from midflight.cli.foreground import UNUSED_S, make_notifier, park_after
from midflight.cli.options import command_line_options, name_source, resolve_options
from midflight.cli.output import write
from midflight.client.spawn import Ready, host_environment
from midflight.environment import HostKind
from midflight.errors import InvalidInput, InvalidOption, MidflightError
from midflight.host import Host
from midflight.options import Options
from midflight.worktrees import setup_command


def host(args: argparse.Namespace) -> int:
    """Be a host until it is not needed any more, or SIGTERM; return the exit code.

    A host that keeps an agent warm is needed until it is ended.
    """
    if args.work is not None:
        args.work = current_folder(needed=False) / args.work
    if not args.warm:
        if command_line_options(args):
            raise InvalidInput("what an agent is like goes with --warm", "midflight host --help")
        os.chdir("/")  # each session has its own folder, and the one that it began in may go
        return asyncio.run(_host(args))
    resolved = resolve_options(args)
    here = current_folder(needed="cwd" not in resolved.options)
    warm = {"cwd": here, **resolved.options}
    os.chdir("/")
    try:
        return asyncio.run(_host(args, warm))
    except InvalidOption as error:
        raise name_source(resolved.sources, error, resolved.options["agent"]) from error


async def _host(args: argparse.Namespace, warm: Mapping[str, Any] | None = None) -> int:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # its terminal may go, it stays
    # Only one that was started for others takes their sessions: a person's own ends with a Ctrl-C,
    # and who gets one of its agents has its time to park as well.
    taking = args.ready is not None
    kind = HostKind(host_environment(), args.park_after if taking else None)
    try:
        notifier = make_notifier(None)
        on_session = notifier.follow if notifier else None
        mine = Host(
            park_after=park_after(args),
            on_session=on_session,
            kind=kind,
            taking=taking,
            work=args.work,
            setup=setup_command(),
        )
        async with mine:
            ready, args.ready = args.ready, None  # once closed, its number is used again
            _report_ready(ready, Ready(address=mine.address()))
            gc.freeze()  # what is loaded stays: to look at it again would hold up every stream
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
        _report_ready(args.ready, Ready(error=error.message, hint=error.hint))
        raise
    return 0


def _report_ready(descriptor: int | None, ready: Ready) -> None:
    """Report to the program that has started this host, and waits, whether it is ready."""
    if descriptor is not None:
        with contextlib.suppress(OSError):
            os.write(descriptor, msgspec.json.encode(ready) + b"\n")
            os.close(descriptor)

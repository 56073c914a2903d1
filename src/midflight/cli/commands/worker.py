"""``midflight worker``: runs sessions that wait for a machine, until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal

from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.foreground import make_notifier, park_after
from midflight.cli.output import write
from midflight.worker import CAPACITY, Worker
from midflight.worktrees import setup_command


def worker(args: argparse.Namespace) -> int:
    """Be a worker until SIGTERM or Ctrl-C; return the exit code."""
    return asyncio.run(_work(args))


def _stand_still() -> None:
    """Do nothing at Ctrl-Z: others would take the sessions while the agents here work on."""


async def _work(args: argparse.Namespace) -> int:
    notifier = make_notifier(None)
    worker = Worker(
        labels=args.label or ["default"],
        capacity=CAPACITY if args.capacity is None else args.capacity,
        park_after=park_after(args),
        on_session=notifier.follow if notifier else None,
        work=None if args.work is None else current_folder() / args.work,
        setup=setup_command(),
    )
    os.chdir("/")  # each session has its own folder
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    loop.add_signal_handler(signal.SIGTSTP, _stand_still)
    async with worker:
        labels = ", ".join(worker.labels)
        turns = "turn" if worker.capacity == 1 else "turns"
        write(
            f"{one_name(worker.machine)} works for {labels}, {worker.capacity} {turns} at a time;"
            " Ctrl-C ends it\n"
        )
        await stopped.wait()
    if notifier is not None:
        await notifier.close()
    return 0

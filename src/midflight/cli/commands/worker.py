"""``midflight worker``: runs sessions that wait for a machine, until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal

from midflight._util.aio import TaskSet
from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight._util.service_manager import ServiceManager
from midflight.cli.foreground import make_notifier, park_after
from midflight.cli.output import write
from midflight.errors import StoreFailed
from midflight.journal import TTL_S
from midflight.worker import CAPACITY, Worker
from midflight.worktrees import setup_command


def worker(args: argparse.Namespace) -> int:
    """Be a worker until SIGTERM, Ctrl-C, or it is drained; return the exit code."""
    return asyncio.run(_work(args))


def _stand_still() -> None:
    """Do nothing at Ctrl-Z: others would take the sessions while the agents here work on."""


async def _work(args: argparse.Namespace) -> int:
    manager, told = ServiceManager(), TaskSet()
    notifier = make_notifier(None)
    worker = Worker(
        labels=args.label or ["default"],
        capacity=CAPACITY if args.capacity is None else args.capacity,
        variables=args.env or (),
        park_after=park_after(args),
        on_session=notifier.follow if notifier else None,
        work=None if args.work is None else current_folder() / args.work,
        setup=setup_command(),
    )
    os.chdir("/")  # each session has its own folder
    asked, at_once = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        (at_once if asked.is_set() else asked).set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    loop.add_signal_handler(signal.SIGTSTP, _stand_still)
    async with worker:
        labels = ", ".join(worker.labels)
        turns = "turn" if worker.capacity == 1 else "turns"
        write(
            f"{one_name(worker.machine)} works for {labels}, {worker.capacity} {turns} at a time;"
            " Ctrl-C ends it\n"
        )
        told.start(manager.tell())
        await _first(asked, worker.drained)
        if not worker.drained.is_set() and worker.live():
            write(f"It ends when its turns have, in {args.drain_for:g} s at most; Ctrl-C: now\n")
            with contextlib.suppress(StoreFailed, TimeoutError):
                async with asyncio.timeout(args.drain_for + TTL_S):
                    await worker.drain(args.drain_for)
                    await _first(at_once, worker.drained)
    await told.close()
    if notifier is not None:
        await notifier.close()
    return 0


async def _first(*events: asyncio.Event) -> None:
    """Wait until one of several events is set."""
    waiting = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for each in waiting:
            each.cancel()

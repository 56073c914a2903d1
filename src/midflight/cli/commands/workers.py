"""``midflight workers``: who is there to run sessions, and what they have to do."""

from __future__ import annotations

import argparse
import asyncio
import math
import shutil
from collections.abc import Sequence

import msgspec

from midflight._util.sanitize import one_name
from midflight.authorization import Authorizer
from midflight.cli.output import BOLD, DIM, Fragment, json_line, write
from midflight.cli.terminal.table import age, align
from midflight.info import WorkerInfo
from midflight.journal import Journal
from midflight.journal.workers import ID_CHARS, choose_worker

NAME_WIDTH = 24
"""So much is shown of what a machine is called: nobody's name keeps the others from being seen."""


def workers(args: argparse.Namespace) -> int:
    """List the workers, drain one, or have it take sessions again."""
    asyncio.run(_workers(args))
    return 0


async def _workers(args: argparse.Namespace) -> None:
    name = args.drain or args.undrain
    async with Journal() as journal:
        found = await journal.workers()
        if name is None:
            _show(found, as_json=args.json)
            return
        Authorizer.of_this_process(journal).check_working()
        chosen = choose_worker(name, found)
        await journal.drain(chosen.id, args.within if args.drain else None)
        if args.json:
            (now,) = [each for each in await journal.workers() if each.id == chosen.id]
            write(json_line(msgspec.json.encode(now)))
        elif args.drain:
            stops = math.isfinite(args.within)
            ends = (
                f"what still runs in {age(args.within)} is stopped" if stops else "none is stopped"
            )
            write(
                f"{one_name(chosen.machine)} takes no more sessions, and ends when it has none;"
                f" {ends}. Say it again with another --within to change that: 0 is now, inf never\n"
            )
        else:
            write(f"{one_name(chosen.machine)} takes sessions again\n")


def _show(found: Sequence[WorkerInfo], *, as_json: bool) -> None:
    if as_json:
        write(json_line(msgspec.json.encode(found)))
    elif not found:
        write("No workers. On a machine that is to be one: midflight worker\n")
    else:
        write(table(found, shutil.get_terminal_size().columns))


def table(found: Sequence[WorkerInfo], width: int) -> list[Fragment]:
    """Return the table, no line longer than the terminal is wide."""
    rows = [("MACHINE", "ID", "PLACES", "VERSION", "BEAT", "STATUS", "LABELS")]
    rows += [
        (
            one_name(each.machine, NAME_WIDTH),
            one_name(each.id[:ID_CHARS], NAME_WIDTH),
            f"{each.taken}/{each.capacity}",
            one_name(each.version, NAME_WIDTH),
            age(each.silent_s),
            _status(each),
            one_name(", ".join(each.labels)),
        )
        for each in found
    ]
    styles = [BOLD, *("" if each.alive else DIM for each in found)]
    return [(style, f"{line}\n") for style, line in zip(styles, align(rows, width), strict=True)]


def _status(worker: WorkerInfo) -> str:
    if not worker.alive:
        return "dead"
    if not worker.draining:
        return "ready" if worker.taken < worker.capacity else "full"
    return "draining" if worker.drain_s is None else f"draining, {age(worker.drain_s)} left"

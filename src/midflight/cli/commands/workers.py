"""``midflight workers``: who is there to run sessions, and what they have to do."""

from __future__ import annotations

import argparse
import asyncio
import shutil
from collections.abc import Sequence

import msgspec

from midflight._util.sanitize import one_line, one_name
from midflight.authorization import Authorizer
from midflight.cli.output import BOLD, DIM, Fragment, json_line, write
from midflight.cli.terminal.table import age, align
from midflight.errors import Conflict, NotFound
from midflight.info import WorkerInfo
from midflight.journal import HostRow, Journal

ID_CHARS = 8
"""How much of an id a list shows."""

_SAME = tuple(name for name in WorkerInfo.__struct_fields__ if name != "capacity")


def workers(args: argparse.Namespace) -> int:
    """List the workers, drain one, or have it take sessions again."""
    asyncio.run(_workers(args))
    return 0


async def _workers(args: argparse.Namespace) -> None:
    name = args.drain or args.undrain
    async with Journal() as journal:
        found = [as_info(host) for host in await journal.workers()]
        if name is None:
            _show(found, as_json=args.json)
            return
        Authorizer.of_this_process(journal).check_working()
        chosen = find(name, found)
        await journal.drain(chosen.id, args.within if args.drain else None)
        if args.json:
            (now,) = [as_info(host) for host in await journal.workers() if host.id == chosen.id]
            write(json_line(msgspec.json.encode(now)))
        elif args.drain:
            write(
                f"{one_name(chosen.machine)} takes no more sessions, and ends when it has none;"
                f" what still runs in {age(args.within)} is stopped\n"
            )
        else:
            write(f"{one_name(chosen.machine)} takes sessions again\n")


def as_info(host: HostRow) -> WorkerInfo:
    """Return a worker as other processes get it."""
    return WorkerInfo(capacity=host.capacity or 0, **{name: getattr(host, name) for name in _SAME})


def find(name: str, among: Sequence[WorkerInfo]) -> WorkerInfo:
    """Return the worker that is alive and meant: by its machine, or how that or its id begins.

    Raises `NotFound`, or `Conflict` that names the candidates.
    """
    alive = [each for each in among if each.alive]
    fitting = [each for each in alive if name in {each.machine, each.id}]
    fitting = fitting or [each for each in alive if each.machine.startswith(name)]
    fitting = fitting or [each for each in alive if each.id.startswith(name)]
    if not fitting:
        raise NotFound(f"no worker is called {name!r}", "midflight workers shows all of them")
    if len(fitting) > 1:
        ids = ", ".join(f"{each.id[:ID_CHARS]} on {each.machine}" for each in fitting)
        raise Conflict(f"{len(fitting)} workers are called {name!r}", f"name one by its id: {ids}")
    return fitting[0]


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
            one_name(each.machine),
            each.id[:ID_CHARS],
            f"{each.taken}/{each.capacity}",
            one_name(each.version),
            age(each.silent_s),
            _status(each),
            one_line(", ".join(each.labels)),
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

"""``midflight ls``: every session in a table, what waits for the person first."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from midflight._util.sanitize import one_line, one_name
from midflight.authorization import Authorizer
from midflight.cli.answers import summary
from midflight.cli.output import BOLD, DIM, GREEN, YELLOW, Fragment, at_terminal, json_line, write
from midflight.cli.terminal.table import STATUS_ORDER, age, align
from midflight.info import SessionInfo
from midflight.journal import Journal

LOOK_AGAIN_S = 1.0
"""How often ``--watch`` looks for changes, at most."""

RECENT_S = 86_400.0
"""How long a closed session stays in the list."""

NAME_WIDTH = 32

COLOURS = {"waiting": YELLOW, "running": GREEN, "starting": GREEN, "closed": DIM}
HEAD = ("NAME", "AGENT", "STATUS", "AGE", "COST", "LAST")


def ls(args: argparse.Namespace) -> int:
    """List the sessions, once or until Ctrl-C."""
    args.cwd = str(Path(args.cwd).absolute()) if args.cwd else None
    try:
        asyncio.run(_watch(args) if args.watch else _once(args))
    except KeyboardInterrupt:
        if not args.watch:
            raise
    return 0


async def _once(args: argparse.Namespace) -> None:
    async with Journal() as journal:
        _print(await _find(journal, args), as_json=args.json)


async def _find(journal: Journal, args: argparse.Namespace) -> list[SessionInfo]:
    since = 0.0 if args.all else time.time() - RECENT_S
    rows = await journal.sessions(cwd=args.cwd)
    recent = [row for row in rows if row.status != "closed" or row.updated > since]
    readable = await Authorizer.of_this_process(journal).readable(row.id for row in recent)
    return in_order(await journal.infos(row for row in recent if row.id in readable))


def in_order(sessions: Iterable[SessionInfo]) -> list[SessionInfo]:
    """Sort sessions: what waits for an answer, what runs, what is idle, what has ended."""
    return sorted(sessions, key=lambda info: (STATUS_ORDER.index(info.status), -info.updated))


def _print(sessions: list[SessionInfo], *, as_json: bool, rows: int | None = None) -> int:
    """Print a list, and return how many lines that were."""
    if as_json:
        write(json_line(msgspec.json.encode(sessions)))
        return 1
    if not sessions:
        write('No sessions yet. To start one: midflight run -d "your task"\n')
        return 1
    width = shutil.get_terminal_size().columns
    shown = sessions if rows is None else sessions[:rows]
    lines = table(shown, width, time.time())
    if len(sessions) > len(shown):
        lines.append((DIM, f"… {len(sessions) - len(shown)} more\n"))
    write(lines)
    return len(shown) + 1 + (len(sessions) > len(shown))


async def _watch(args: argparse.Namespace) -> None:
    """Print the list whenever it has changed; at a terminal in the same place."""
    live = at_terminal() and not args.json
    before: list[SessionInfo] | None = None
    above = 0
    async with Journal() as journal:
        while True:
            sessions = await _find(journal, args)
            if live or sessions != before:  # ages change too, where one line replaces another
                if live:
                    write("", over=above)
                rows = shutil.get_terminal_size().lines - 3 if live else None
                above = _print(sessions, as_json=args.json, rows=rows)
                before = sessions
            await asyncio.sleep(LOOK_AGAIN_S)


def table(sessions: Iterable[SessionInfo], width: int, now: float) -> list[Fragment]:
    """Return the table, no line longer than the terminal is wide."""
    rows = [HEAD, *(_cells(info, now) for info in sessions)]
    styles = [BOLD, *(COLOURS.get(row[2], "") for row in rows[1:])]
    return [(style, f"{line}\n") for style, line in zip(styles, align(rows, width), strict=True)]


def _cells(info: SessionInfo, now: float) -> tuple[str, ...]:
    last = f"asks: {summary(info.pending[0], info.cwd)}" if info.pending else info.last
    return (
        one_name(info.name, NAME_WIDTH),
        one_name(info.agent, NAME_WIDTH),
        info.status,
        age(now - info.created),
        f"${info.total_cost_usd:.2f}",
        one_line(last),
    )

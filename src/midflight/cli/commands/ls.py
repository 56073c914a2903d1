"""``midflight ls``: every session in a table, what waits for the person first."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
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

NAME_WIDTH, SHORT_NAME_WIDTH = 24, 16

NARROW, WIDE = 72, 100
"""Below the one, a terminal shows what a session is called, whether it waits and for what; from the
other on, its folder too."""

COLOURS = {"waiting": YELLOW, "running": GREEN, "starting": GREEN, "closed": DIM}


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
        sessions, more = await _find(journal, args)
        _print(sessions, more, as_json=args.json)


async def _find(journal: Journal, args: argparse.Namespace) -> tuple[list[SessionInfo], str]:
    """Return the sessions to list; where there is none, also the command that lists others."""
    since = 0.0 if args.all else time.time() - RECENT_S
    rows = await journal.sessions(cwd=args.cwd)
    recent = [row for row in rows if row.status != "closed" or row.updated > since]
    readable = await Authorizer.of_this_process(journal).readable(row.id for row in rows)
    sessions = in_order(await journal.infos(row for row in recent if row.id in readable))
    if sessions:
        return sessions, ""
    if readable:
        return [], "midflight ls --all"
    return [], "midflight ls" if args.cwd and await journal.sessions() else ""


def in_order(sessions: Iterable[SessionInfo]) -> list[SessionInfo]:
    """Sort sessions: what waits, longest first, then what runs, what is idle, what has ended."""

    def key(info: SessionInfo) -> tuple[int, float]:
        since = info.pending[0].time if info.pending else -info.updated
        # What waits for a machine waits for nobody here.
        status = "running" if info.waits_for else info.status
        return STATUS_ORDER.index(status), since

    return sorted(sessions, key=key)


def _print(
    sessions: list[SessionInfo], more: str, *, as_json: bool, rows: int | None = None
) -> int:
    """Print a list, and return how many lines that were; ``more`` is how others are listed."""
    if as_json:
        write(json_line(msgspec.json.encode(sessions)))
        return 1
    if not sessions:
        start = 'To start one: midflight run -d "your task"'
        write(
            f"No such session. There are others: {more}\n"
            if more
            else f"No sessions yet. {start}\n"
        )
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
            sessions, more = await _find(journal, args)
            if live or sessions != before:  # ages change too, where one line replaces another
                if live:
                    write("", over=above)
                rows = shutil.get_terminal_size().lines - 3 if live else None
                above = _print(sessions, more, as_json=args.json, rows=rows)
                before = sessions
            await asyncio.sleep(LOOK_AGAIN_S)


def table(sessions: Sequence[SessionInfo], width: int, now: float) -> list[Fragment]:
    """Return the table, no line longer than the terminal is wide.

    Where there is not room for all, what a session asks or does is kept.
    """
    columns = ["NAME", "AGENT", "STATUS", "AGE", "COST", "LAST"]
    if width < NARROW:
        columns = ["NAME", "STATUS", "LAST"]
    elif width >= WIDE and len({info.cwd for info in sessions}) > 1:
        columns.insert(1, "FOLDER")
    cells = [_cells(info, now, width) for info in sessions]
    rows = [columns, *([row[name] for name in columns] for row in cells)]
    styles = [BOLD, *(COLOURS.get(info.status, "") for info in sessions)]
    return [(style, f"{line}\n") for style, line in zip(styles, align(rows, width), strict=True)]


def _cells(info: SessionInfo, now: float, width: int) -> dict[str, str]:
    last = f"asks: {summary(info.pending[0], info.cwd)}" if info.pending else info.last
    last = f"waits for {info.waits_for}" if info.waits_for else last
    return {
        "NAME": one_name(info.name, SHORT_NAME_WIDTH if width < NARROW else NAME_WIDTH),
        "FOLDER": one_name(Path(info.cwd).name, NAME_WIDTH),
        "AGENT": one_name(info.agent, NAME_WIDTH),
        "STATUS": info.status,
        "AGE": age(now - info.created),
        "COST": dollars(info.total_cost_usd, 2),
        "LAST": one_line(last),
    }

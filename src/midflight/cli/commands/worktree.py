"""``midflight worktree``: the work of sessions in worktrees of their own, merged or discarded."""

from __future__ import annotations

import argparse
import asyncio
from shlex import quote

import msgspec

from midflight._util.files import current_folder
from midflight._util.sanitize import one_line, one_name
from midflight.cli.output import BOLD, DIM, GREEN, RED, Fragment, json_line, write
from midflight.cli.terminal.table import align
from midflight.client.client import connect
from midflight.errors import InvalidInput
from midflight.git.merge import listed
from midflight.worktrees import (
    SessionWorktree,
    SessionWorktrees,
    WorktreeOutcome,
    WorktreeRow,
)

HEAD = ("NAME", "FROM", "CHANGES", "SESSION", "FOLDER")


def worktree(args: argparse.Namespace) -> int:
    """List, show, merge, publish or discard worktrees; return the exit code."""
    if args.name and args.action != "branch":
        raise InvalidInput("--as goes with branch", "midflight worktree branch --as NAME")
    return asyncio.run(_worktree(args))


async def _worktree(args: argparse.Namespace) -> int:
    here = current_folder(needed=args.session is None)
    async with connect(door="command") as client:
        worktrees = SessionWorktrees(client)
        if args.action == "ls":
            lines = [await worktree.row() for worktree in await worktrees.listed(here)]
            write(json_line(msgspec.json.encode(lines)) if args.json else _table(lines))
            return 0
        worktree = await worktrees.find(args.session, here)
        if args.action == "diff":
            diff = await worktree.diff()
            text = json_line(msgspec.json.encode(diff._asdict()))
            write(text if args.json else _diff(diff.diff))
            return 0
        done = await worktree.do(args.action, name=args.name or "", tell=not args.no_message)
    write(json_line(msgspec.json.encode(done)) if args.json else _report(done, worktree))
    return 1 if done.conflicts else 0


def _table(lines: list[WorktreeRow]) -> list[Fragment]:
    if not lines:
        return [("", 'No worktrees yet. To begin one: midflight run --worktree "your task"\n')]
    rows = [HEAD, *(_cells(line) for line in lines)]
    styles = [BOLD, *([""] * len(lines))]
    return [(style, f"{text}\n") for style, text in zip(styles, align(rows), strict=True)]


def _cells(line: WorktreeRow) -> tuple[str, ...]:
    sessions = ", ".join(f"{name} ({status})" for name, status in line.sessions.items())
    cells = (line.worktree, line.origin or "-", _changes(line), sessions or "-", line.folder)
    return tuple(map(one_line, cells))


def _changes(line: WorktreeRow) -> str:
    """Return how much there is to merge, in words."""
    if line.gone:
        return "its folder is gone"
    if line.damaged:
        return f"damaged: {one_line(line.damaged, 60)}"
    parts = [_count(line.commits, "commit")] if line.commits else []
    parts += [f"{_count(line.uncommitted, 'file')} not committed"] if line.uncommitted else []
    if line.branch != f"midflight/{line.worktree}":
        parts.append(f"is on {line.branch or 'no branch'}")
    return ", ".join(parts) or "none"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _diff(text: str) -> list[Fragment]:
    styles = {"+": GREEN, "-": RED, "@": DIM, "d": BOLD}
    return [(styles.get(line[:1], ""), f"{line}\n") for line in text.split("\n") if text]


def _report(done: WorktreeOutcome, worktree: SessionWorktree) -> str:
    """Return what came of it, and what can be done next."""
    if done.action == "discard":
        return _discarded(done)
    if done.action == "branch":
        text = f"{one_line(done.branch)} has all of it ({done.commit[:10]})\n"
        return text + (f"To publish it: {one_line(done.command)}\n" if done.command else "")
    if done.conflicts:
        return _conflicting(done, worktree)
    into, where = one_line(done.into), one_line(done.folder, 1000)
    text = (
        f"merged {done.branch} into {into} ({done.commit[:10]}) in {where}\n"
        if done.new
        else f"{into} in {where} has all of {done.branch} already\n"
    )
    return f"{text}To throw the worktree away: midflight worktree discard {_named(worktree)}\n"


def _conflicting(done: WorktreeOutcome, worktree: SessionWorktree) -> str:
    name, into = _named(worktree), one_line(done.into)
    text = (
        f"{done.branch} conflicts with {into} in: {listed(done.conflicts)}\n"
        f"Nothing was changed in {one_line(done.folder, 1000)}.\n"
    )
    if done.told:
        text += (
            f"{one_name(worktree.name)} was told to merge {into} into its branch."
            f" To follow it: midflight attach {name}\n"
        )
    elif worktree.folder is not None:
        folder = quote(one_line(str(worktree.folder), 1000))
        text += f"To resolve it: git -C {folder} merge {quote(into)}\n"
    return f"{text}When it is resolved: midflight worktree merge {name}\n"


def _discarded(done: WorktreeOutcome) -> str:
    text = f"threw away the worktree {done.worktree} and its branch {done.branch}\n"
    if not done.snapshot:
        return f"{text}Nothing is lost: other branches have all of it.\n"
    return (
        f"{text}What was only there is in {done.snapshot}\n"
        f"To get it back: git branch {done.worktree} {done.snapshot}\n"
    )


def _named(worktree: SessionWorktree) -> str:
    return quote(one_name(worktree.name))

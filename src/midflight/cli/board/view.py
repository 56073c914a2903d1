"""The lines of the board: its head, its rows, what is chosen, and what can be done."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from rich.cells import cell_len

from midflight._util.sanitize import exact, one_line, one_name
from midflight.cli.board import words
from midflight.cli.board.board import Board
from midflight.cli.board.boxes import Box
from midflight.cli.board.groups import Group, Row
from midflight.cli.board.rows import NARROW, Cells, columns, heading, row_line
from midflight.cli.board.tail import Tail
from midflight.cli.board.wrap import Line, wrap
from midflight.cli.output import BLUE, BOLD, DIM, RED, REVERSE, Fragment
from midflight.cli.terminal.render import diff_lines
from midflight.cli.terminal.table import cut
from midflight.git.diff import Diff
from midflight.info import SessionInfo

_HEADINGS: dict[Group, tuple[str, str]] = {
    "waits": ("Waits for you", words.WAITS),
    "runs": ("Running", BLUE),
    "rests": ("At rest", BOLD),
}

SAID_LINES = 3
"""A message has so many lines at most."""

_LETTERS: dict[Group, str] = {"waits": "?", "runs": "*", "rests": "-"}
_HINTS = (
    "Enter open",
    "m message",
    "u queue",
    "r redirect",
    "s stop",
    "d diff",
    "c new",
    "/ filter",
    "w next that waits",
    "Space fold",
    "q quit",
    "? keys",
)

_KEYS = """\
Look
  j k, arrows   choose.  g G, Home End: the first, the last.  Or the mouse
  Enter         open it in this terminal; leaving that comes back here
  w             the next that waits for you
  Space         fold and unfold: children, and what has rested for a day
  /             only what has these words; wait run rest fail.  Esc: all
  d             what has changed in its folder
When it asks, and all of it has been on the screen for half a second
  y   n         allow; deny, for a reason or for none
  a             allow for the rest of the session
  e             write another command, and allow that
  1 to 9        an option of a question.  Of several: choose, then Enter
  t             answer in your own words
Say
  m             a message: it is read at the agent's next step
  u             queue one: it gets a turn of its own
  r             redirect: ends the turn, starts one.  Tab: another of these
Begin and end
  c             a new session in the background
  s             stop: then s the turn, k not its queue, x the session
  q             leave.  Nothing stops
"""
KEYS: list[Fragment] = [
    ("" if line[0] == " " else BOLD, f" {line}\n") for line in _KEYS.splitlines()
]
"""What the keys do, on one screen."""


def header(board: Board, width: int, now: float) -> Line:
    """Return the first line: how many wait, run and rest, and what today's have cost."""
    counts = board.counts
    parts: Line = [(BOLD, " midflight"), ("", "  ")]
    for group, letter in _LETTERS.items():
        count = counts.get(group, 0)
        word = "" if width < NARROW else f" {group.removesuffix('s')}"
        style = {"waits": words.WAITS if count else DIM, "runs": BLUE}.get(group, DIM)
        parts.append((style, f" {letter} {count}{word}  "))
    if board.filter:
        parts.append((BOLD, f"/ {one_line(board.filter, width // 4)}"))
    right = f"today {_today(board, now)}{'   ? keys' if width >= NARROW else ''} "
    left = sum(cell_len(text) for _, text in parts)
    return [*parts, (DIM, f"{right:>{max(0, width - left)}}")]


def _today(board: Board, now: float) -> str:
    """Return what the sessions have cost that were begun since midnight."""
    midnight = time.mktime((*time.localtime(now)[:3], 0, 0, 0, 0, 0, -1))
    today = [info for info in board.infos.values() if info.created >= midnight]
    known = sum(info.total_cost_usd or 0.0 for info in today)
    open_ = any(info.total_cost_usd is None or info.status == "running" for info in today)
    return words.money(known, estimated=open_)


def row(board: Board, row: Row, width: int, now: float) -> Line:
    """Return a row of the list, marked and reversed if it is chosen."""
    if row.key is None:
        return _heading(board, row.group, width)
    if row.info is None:
        line: Line = [(DIM, cut(f"   {len(row.below)} older: Space", width - 1))]
    else:
        line = row_line(cells(board, row, row.info, now, narrow=width < NARROW), width - 1)
    if row.key != board.chosen:
        return [("", " "), *line]
    used = sum(cell_len(text) for _, text in line)
    line = [(BOLD, ">"), *line, ("", " " * (width - 1 - used))]
    # One colour, since each that is reversed would be a block of its own.
    bold = f"{BOLD};{REVERSE}"
    return [(bold if BOLD in style.split(";") else REVERSE, text) for style, text in line]


def _heading(board: Board, group: Group, width: int) -> Line:
    word, style = _HEADINGS[group]
    whole = board.counts.get(group, 0)
    shown = sum(row.group == group and row.info is not None for row in board.rows)
    count = f"{shown} of {whole}" if board.filter else str(whole)
    right = {"waits": "oldest first", "runs": columns(width)}.get(group, "newest first")
    return heading(word, style, count, right, width)


def box_title(box: Box, width: int) -> Line:
    """Return the line above what is typed."""
    title = cut(f" {box.title} ", width - 1)
    return [(BOLD, title), (DIM, "─" * max(0, width - cell_len(title)))]


def changes(diff: Diff) -> list[Fragment]:
    """Return which files are different, and how."""
    files = [("", f" {exact(line)}\n") for line in diff.files.rstrip().split("\n")]
    return [*files, ("", "\n"), *diff_lines(diff.diff.rstrip("\n"))]


def hints(board: Board, width: int, problem: str = "", *, reading: bool = False) -> list[Line]:
    """Return the last lines: what was just done, what a key is asked for, or what keys there are.

    They are one line, and more only where a message is longer.
    """
    if reading and board.box is None:
        return [[(DIM, " j k, PgUp PgDn move   g G to the ends   Esc back")]]
    if board.said:
        return wrap([[(BOLD, f" {one_line(board.said, 1000)}")]], width)[:SAID_LINES]
    if board.box is not None:
        return [[(DIM, cut(f" {board.box.hint}", width))]]
    if info := board.infos.get(board.stopping):
        kept = f"k keeps the {board.queued} queued   " if board.queued else ""
        turn = f"s the turn   {kept}" if info.status != "idle" else ""
        stop = f" Stop {one_name(info.name, 40)}?   {turn}x ends the session   Esc"
        return [[(words.WAITS, cut(stop, width))]]
    if problem:
        return wrap([[(RED, f" {one_line(problem, 1000)}")]], width)[:SAID_LINES]
    if hidden := board.hidden_waiting:
        others = "1 other waits" if hidden == 1 else f"{hidden} others wait"
        line = f" ? {others}, hidden by the filter: w shows them"
        return [[(words.WAITS, cut(line, width))]]
    line = ""
    for hint in _HINTS:
        if len(line) + len(hint) + 3 > width:
            break
        line += f" {hint} "
    return [[(DIM, line)]]


def cells(board: Board, row: Row, info: SessionInfo, now: float, *, narrow: bool) -> Cells:
    """Return what a row says."""
    activity = board.activity(info.id)
    mark, mark_style = words.MARKS[board.state(info)]
    style = words.WAITS if info.pending else mark_style if mark == "!" else ""
    does = words.doing(info, activity)
    if answered := board.answered(info):
        mark, mark_style = words.MARKS["runs" if info.pending else board.state(info)]
        does, style = answered, BOLD
    elif info.pending and narrow:
        does = does.removeprefix("asks: ")
    elif info.pending and row.key is not None and not row.key.above:
        does = f"{does}, above"
    elif row.below:
        does = words.folded((each, board.activity(each.id)) for each in (info, *row.below))
    return Cells(
        mark=mark,
        mark_style=mark_style,
        name=one_name(info.name),
        folder="" if row.branch else one_name(Path(info.cwd).name),
        doing=does,
        doing_style=style,
        time=words.time_of(info, activity, now),
        cost=board.cost(info),
        branch=row.branch,
    )


class Lower(NamedTuple):
    """The lower part: the chosen session, and what it asks or does last.

    ``keys`` stand at its end; ``whole`` tells whether nothing is missing of what is asked.
    """

    lines: list[Line]
    keys: list[Line]
    whole: bool


def lower(board: Board, tail: Tail | None, width: int, height: int, now: float) -> Lower:
    """Return the lower part for a screen of this size."""
    info = board.session
    if info is None:
        return Lower(_nothing(board, width), [], whole=True)
    head = _head(board, info, width)
    if board.asking is None:
        mine = tail if tail is not None and tail.session == info.id else None
        return Lower(
            [head, *(mine.lines(width - 1, height - 1, now) if mine else [])], [], whole=True
        )
    asked = board.asking.shown(width - 1)
    room = height - 1 - len(asked.keys)
    if len(asked.body) <= room:
        return Lower([head, *asked.body], asked.keys, whole=True)
    read: Line = [
        (BOLD, f" Enter reads all {len(asked.body)} lines"),
        ("", ", then it can be answered"),
    ]
    return Lower([head, *asked.body[: height - 2]], [read], whole=False)


def _head(board: Board, info: SessionInfo, width: int) -> Line:
    limit = info.limits.get("max_budget_usd")
    of = f" of {words.money(limit)}" if limit else ""
    where = f"{one_name(words.folder(info.cwd))} · {one_name(f'{info.agent} {info.model}'.strip())}"
    right = f" {where} · {words.cost(info, board.activity(info.id))}{of} "
    name = cut(f" {one_name(info.name)} ", max(8, width // 3))
    right = cut(right, max(0, width - cell_len(name) - 3))
    line = "─" * max(0, width - cell_len(name) - cell_len(right))
    return [(BOLD, name), (DIM, f"{line}{right}")]


def _nothing(board: Board, width: int) -> list[Line]:
    if not board.loaded:
        return [[(DIM, " Reading the journal")]]
    if board.filter:
        text = f' Nothing matches "{one_line(board.filter)}". Esc shows all {len(board.infos)}.'
    elif board.rows:
        text = " Space or Enter shows them"
    else:
        text = ' No sessions yet. c starts one, or: midflight "task"'
    return [[("", cut(text, width))]]

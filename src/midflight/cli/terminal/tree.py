"""An orchestrator's children at its terminal: a small tree that is alive, and what they ask."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from midflight import commands as c
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import dollars
from midflight.cli.terminal.table import STATUS_ORDER, age, cut
from midflight.errors import MidflightError
from midflight.orchestrate.child import Child
from midflight.orchestrate.children import Children

MOST = 8
"""How many lines the tree has, the last one not counted."""

NAME_WIDTH = 24
LEAST_LAST = 12
"""How many columns must be left for what a child does, so that it is shown."""

MARKS = {"waiting": "?", "starting": "*", "running": "*", "closed": "x"}
STYLES = {"waiting": "ansiyellow", "starting": "", "running": ""}

Line = tuple[str, str]
"""A style of the terminal's library, and a line."""


class Tree:
    """What the terminal shows of the children, and where answers go."""

    def __init__(self, children: Children) -> None:
        """``children`` are being followed."""
        self.children = children

    def lines(self, width: int) -> list[Line]:
        """Return the tree as it is now; nothing before there is a child."""
        children = self.children
        if not children.children:
            return []
        cap = children.session.limits.get("max_budget_usd")
        of = "" if cap is None else f" of ${cap:g}"
        last = f"  {len(children.working)} at work · {dollars(children.spent_usd)}{of} for all"
        return [
            *tree_lines(children.children, width, asyncio.get_running_loop().time()),
            ("ansibrightblack", cut(last, width)),
        ]

    def asker(self, session: str) -> str:
        """Return the name of a child that asks something; nothing if it is none."""
        return one_line(self.children.named(session), NAME_WIDTH)

    def folder(self, session: str) -> Path | None:
        """Return the folder of a child that asks something; None if it is none."""
        return self.children.folder(session)

    async def answer(self, session: str, answer: c.Answer) -> str:
        """Answer a child; return what is wrong, or nothing."""
        try:
            await self.children.answer(session, answer)
        except MidflightError as error:
            return one_line(str(error))
        return ""


def tree_lines(children: Sequence[Child], width: int, now: float) -> list[Line]:
    """Return a line for each child, no longer than the terminal is wide.

    Where there are too many, those are shown that wait or work, and of the others the newest.
    """
    ranked = sorted(
        range(len(children)), key=lambda at: (STATUS_ORDER.index(children[at].status), -at)
    )
    shown = sorted(ranked[:MOST])
    lines = [_line(children[at], width, now) for at in shown]
    if more := len(children) - len(shown):
        lines.append(("ansibrightblack", f"  … {more} more"))
    return lines


def _line(child: Child, width: int, now: float) -> Line:
    status = child.status
    mark, indent = MARKS.get(status, "-"), "  " * child.depth
    name = one_name(child.name, NAME_WIDTH)
    word = "asks" if child.pending else status
    facts = f"{indent}{mark} {name}  {word}  {age(now - child.began)}  {dollars(child.cost_usd, 2)}"
    room = width - len(facts) - 2
    last = one_line(child.last, room) if room >= LEAST_LAST else ""
    return STYLES.get(status, "ansibrightblack"), cut(f"{facts}  {last}".rstrip(), width)

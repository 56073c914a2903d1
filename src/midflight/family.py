"""Which session has begun which, and what one that an agent begins may have: no more than those.

This is the one home of that rule, whatever door the agent has come through: a tool of MCP, the
command line in its shell, a host's socket, or a program that imports midflight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from midflight import lineage
from midflight.errors import NotAllowed
from midflight.journal import Journal, SessionRow
from midflight.lineage import UNKNOWN
from midflight.narrowing import check_mode, strictest, within
from midflight.options import Options
from midflight.state.session import BUSY
from midflight.values import PermissionMode, Who

MAX_DEPTH, MAX_CHILDREN = 3, 8
"""How deep agents may dispatch agents, and how many at a time work for one, unless set."""

INHERITED = ("max_budget_usd", "disallowed_tools")
"""The options that a session is begun with otherwise than it was asked for."""


class Beginning(NamedTuple):
    """With which options a session begins, and whose it is: the id of its parent, or nothing.

    ``who`` gives it its task: the program that begins it, unless that is told.
    """

    options: Options
    parent: str = ""
    held: bool = False
    who: Who | None = None


class FamilyBounds(NamedTuple):
    """What a session at most hands down: its permission mode, and the folders that it works in."""

    mode: PermissionMode
    folders: tuple[str, ...]


class Family:
    """Sessions as the journal has them, by their parents."""

    def __init__(self, rows: Iterable[SessionRow]) -> None:
        """The rows are all that there are: the cost of each counts for those above it."""
        self._rows = {row.id: row for row in rows}

    @classmethod
    async def of(cls, journal: Journal) -> Family:
        """Return that of a journal, as it is now."""
        return cls(await journal.sessions())

    def upwards(self, session: str) -> list[str]:
        """Return a session, the one that has begun it, and so on; of one not known only itself."""
        line: list[str] = []
        while session and session not in line:
            line.append(session)
            session = self._rows[session].parent if session in self._rows else ""
        return line

    def line(self, inside: Sequence[str]) -> tuple[str, ...]:
        """Return the session of a caller and its ancestors, itself first.

        A session that is in no journal counts as the one around it that is. Raises `NotAllowed`
        where it is not known, or where what the caller says of itself cannot be.
        """
        if UNKNOWN in inside:
            raise NotAllowed(
                "it is not known which session this agent belongs to",
                "give the server of its own session in mcp_servers=",
            )
        line: list[str] = []
        for session in reversed(inside):  # the nearest first
            known = session in self._rows
            if known and session not in line and any(each in self._rows for each in line):
                raise NotAllowed(
                    "this program is inside of one session and says that it is of another one",
                    f"leave {lineage.SESSION_VARIABLE} as it is",
                )
            line += [each for each in self.upwards(session) if each not in line]
        return (*sorted(line, key=lambda each: each not in self._rows),)

    def descends(self, session: str, ancestor: str) -> bool:
        """Tell whether a session was begun by another one, or by one that this has begun, or so."""
        return ancestor in self.upwards(session)[1:]

    # What is handed down ------------------------------------------------------------------

    def mode_of(self, line: Sequence[str]) -> PermissionMode:
        """Return the widest permission mode that a session below all of these may have."""
        return strictest(
            cast("PermissionMode", row.permission_mode) if row else "default"
            for row in self._above(line)
        )

    def bounds(self, line: Sequence[str]) -> FamilyBounds:
        """Return what the first of these sessions may hand down."""
        row = self._rows.get(line[0]) if line else None
        folders = (row.cwd, *row.options.get("add_dirs", ())) if row else ()
        return FamilyBounds(self.mode_of(line), folders)

    def begin(self, options: Options, line: Sequence[str]) -> Options:
        """Return the options with which the first of these sessions may begin another one.

        Raises `NotAllowed` for what is wider than what any of them has, and where a limit is
        reached. A ``line`` without a session is that of a caller of which nothing is known.
        """
        check_mode(options.permission_mode, self.mode_of(line))
        self._check_tools(options, line)
        self._check_depth(line)
        left = self._left_usd(line)
        if left is not None:
            mine = min(options.max_budget_usd or left, left)
            options = msgspec.structs.replace(options, max_budget_usd=mine)
        denied = [rule for row in self._above(line) if row for rule in _tools(row, "disallowed")]
        if denied:
            all_denied = tuple(dict.fromkeys((*(options.disallowed_tools or ()), *denied)))
            options = msgspec.structs.replace(options, disallowed_tools=all_denied)
        return options

    def check_children(self, parent: str, new: str = "") -> None:
        """Raise `NotAllowed` where so many sessions work for one as may, beside a ``new`` one."""
        row = self._rows.get(parent)
        most = row.options.get("max_children") if row else None
        mine = [each for each in self._rows.values() if each.parent == parent and each.id != new]
        check_children(sum(each.status in BUSY for each in mine), most or MAX_CHILDREN)

    def _above(self, line: Sequence[str]) -> list[SessionRow | None]:
        return [self._rows.get(session) for session in line] or [None]

    def _check_tools(self, options: Options, line: Sequence[str]) -> None:
        for row in self._above(line):
            if row and row.permission_mode == "bypassPermissions":
                continue
            has = _tools(row, "allowed") if row else ()
            more = set(options.allowed_tools or ()) - set(within(options.allowed_tools or (), has))
            if more:
                raise NotAllowed(
                    "an agent cannot allow another one more than it has: "
                    f"{', '.join(sorted(more))} is not among its own allowed_tools",
                    f"allowed_tools: {', '.join(has) or 'leave them out'}",
                )

    def _check_depth(self, line: Sequence[str]) -> None:
        wanted = [row.options.get("max_depth") for row in self._above(line) if row]
        check_depth(len(line), min((depth for depth in wanted if depth), default=MAX_DEPTH))

    def _left_usd(self, line: Sequence[str]) -> float | None:
        """Return the US dollars left of the budgets of these sessions; None: no limit.

        The limit of a session holds for all its descendants together. Raises `NotAllowed` where
        nothing is left.
        """
        caps = {
            session: cap
            for session in line
            if session in self._rows
            and (cap := self._rows[session].options.get("max_budget_usd")) is not None
        }
        spent = dict.fromkeys(caps, 0.0)
        for row in self._rows.values() if caps else ():
            for above in self.upwards(row.id):
                if above in spent:
                    spent[above] += row.total_cost_usd
        left = [cap - spent[session] for session, cap in caps.items()]
        if left and min(left) <= 0:
            raise NotAllowed("the budget is spent", "report what there is; the user can begin anew")
        return min(left, default=None)


def check_depth(depth: int, most: int) -> None:
    """Raise `NotAllowed` for an agent that stands so deep below the user that it is the last."""
    if depth >= most:
        raise NotAllowed(
            f"agents may dispatch agents {most} deep, and this one is there", "do it yourself"
        )


def check_children(busy: int, most: int) -> None:
    """Raise `NotAllowed` for an agent for which so many sessions work as may."""
    if busy >= most:
        raise NotAllowed(f"{busy} sessions work for you already, which is the most", "wait for one")


async def check_unkept(options: Options) -> None:
    """Raise `NotAllowed` for a session that no host has, where this process may not begin it."""
    inside = lineage.inside()
    if not inside:
        return
    async with Journal() as journal:
        family = await Family.of(journal)
    allowed = family.begin(options, family.line(inside))
    for name in INHERITED:
        if getattr(options, name) != getattr(allowed, name):
            raise NotAllowed(
                f"{name}: an agent's session has no more than its agent",
                f"{name}: {getattr(allowed, name)}",
            )


def _tools(row: SessionRow, which: str) -> tuple[Any, ...]:
    return tuple(row.options.get(f"{which}_tools") or ())

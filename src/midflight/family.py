"""Which session has begun which, and what one that an agent begins may have: no more than those.

This is the one home of that rule, whatever door the agent has come through: a tool of MCP, the
command line in its shell, a host's socket, or a program that imports midflight.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import msgspec

from midflight import lineage
from midflight.agents import cost_of
from midflight.errors import NotAllowed
from midflight.images import Image
from midflight.journal import Journal, SessionRow
from midflight.journal.base import SessionReader
from midflight.lineage import UNKNOWN
from midflight.narrowing import STRICTEST_FIRST, check_mode, strictest, within
from midflight.options import Options
from midflight.reach import Reach
from midflight.state.session import BUSY
from midflight.trust.decision import by_caller
from midflight.values import PermissionMode, Who

MAX_DEPTH, MAX_CHILDREN = 3, 8
"""How deep agents may dispatch agents, and how many at a time work for one, unless set."""

INHERITED = ("max_budget_usd", "disallowed_tools")
"""The options that a session is begun with otherwise than it was asked for."""


class Beginning(NamedTuple):
    """With which options a session begins, and whose it is: the id of its parent, or nothing.

    ``who`` gives it its task: the program that begins it, unless that is told. ``terminal`` has the
    variables of the terminal that it is begun from: this process's, unless they are told.
    ``images`` come with the task. ``person`` is whose it is where that is another one, for whom a
    worker begins it.
    """

    options: Options
    parent: str = ""
    held: bool = False
    who: Who | None = None
    terminal: Mapping[str, str] | None = None
    images: tuple[Image, ...] = ()
    person: str = ""


class FamilyBounds(NamedTuple):
    """What a session at most hands down: its permission mode, and the folders that it works in."""

    mode: PermissionMode
    folders: tuple[str, ...]


class Family:
    """Sessions as the journal has them, by their parents."""

    def __init__(
        self,
        rows: Iterable[SessionRow],
        *,
        unkept: Mapping[str, Sequence[str]] | None = None,
        listed: Reach | None = None,
    ) -> None:
        """The rows are all that there are: the cost of each counts for those above it.

        ``unkept`` are the sessions that work and are in no journal, see `lineage.unkept`;
        ``listed`` is what the user's file lists.
        """
        self._rows = {row.id: row for row in rows}
        self._unkept = unkept or {}
        self._listed = listed or Reach()

    @classmethod
    async def of(cls, journal: SessionReader) -> Family:
        """Return that of a journal, as it is now."""
        return cls(await journal.sessions())

    @classmethod
    async def beginning(cls, journal: SessionReader) -> Family:
        """Return it with all that decides about one that begins. Raises `InvalidConfig`."""
        unkept, listed = await asyncio.to_thread(lambda: (lineage.unkept(), Reach.listed()))
        return cls(await journal.sessions(), unkept=unkept, listed=listed)

    def row(self, session: str) -> SessionRow | None:
        """Return a session as the journal has it, or None."""
        return self._rows.get(session)

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
        where it is not known, where what the caller says of itself cannot be, and where its session
        is in another journal: here it would be bound by nothing.
        """
        if UNKNOWN in inside:
            raise NotAllowed(
                "it is not known which session this agent belongs to",
                "give the server of its own session in mcp_servers=",
            )
        line: list[str] = []
        for name in reversed(inside):  # the nearest first
            session = lineage.plain(name)
            known = session in self._rows
            if not known and session == name:
                raise NotAllowed(
                    "the session that this program is a part of is not in this journal",
                    "leave --journal, MIDFLIGHT_JOURNAL and XDG_STATE_HOME as they are",
                )
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
        reached, or where they agree to something for the user. A ``line`` without a session is that
        of a caller of which nothing is known.
        """
        if by_caller(options):
            raise NotAllowed("an agent cannot trust a folder", "the user runs: midflight trust")
        check_mode(options.permission_mode, self.mode_of(line))
        self._check_tools(options, line)
        self._check_reach(options, line)
        check_depth(len(line), self._most("max_depth", line, MAX_DEPTH))
        left = self._check_left(line)
        if left is not None:
            if cost_of(options.agent) == "not":
                raise NotAllowed(
                    f"there is a budget, and {options.agent} tells neither money nor tokens",
                    "use an agent that does",
                )
            mine = min(options.max_budget_usd or left, left)
            options = msgspec.structs.replace(options, max_budget_usd=mine)
        denied = [rule for row in self._above(line) if row for rule in _tools(row, "disallowed")]
        if denied:
            all_denied = tuple(dict.fromkeys((*(options.disallowed_tools or ()), *denied)))
            options = msgspec.structs.replace(options, disallowed_tools=all_denied)
        return options

    def check_children(self, parent: str, new: str = "") -> None:
        """Raise `NotAllowed` where so many sessions work for one as may, beside a ``new`` one.

        Those that are in no journal count as well.
        """
        most = self._most("max_children", self.upwards(parent), MAX_CHILDREN)
        mine = [each for each in self._rows.values() if each.parent == parent and each.id != new]
        others = sum(parent in above and key != new for key, above in self._unkept.items())
        check_children(sum(each.status in BUSY for each in mine) + others, most)

    def check_told(self, session: str, line: Sequence[str]) -> None:
        """Raise `NotAllowed` for telling a session what to do that may do more than those above it.

        What the user has taken away from these they would have again by that; and what it costs
        comes out of their budget.
        """
        row = self._rows.get(session)
        mode, widest = row.permission_mode if row else "default", self.mode_of(line)
        if mode in STRICTEST_FIRST and strictest((mode, widest)) != mode:
            raise NotAllowed(
                "an agent cannot have another one do what it may not: that one works in "
                f"{mode}, which is wider than {widest}",
                f"the user gives it permission mode {widest}, or dispatch another one",
            )
        self._check_left(line)

    def charge(self, session: str) -> float | None:
        """Return what others have spent of a budget of this session or above it, if it is spent."""
        row = self._rows.get(session)
        spent = [spent for cap, spent in self._budgets(self.upwards(session)) if spent >= cap]
        return max(spent) - row.known_usd if row and spent else None

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

    def _check_reach(self, options: Options, line: Sequence[str]) -> None:
        own = self._rows.get(line[0]) if line else None
        reach = self._listed.plus(own.agent, own.cwd, own.options) if own else self._listed
        mine = {
            row.agent_session
            for row in self._rows.values()
            if own and own.id in self.upwards(row.id) and row.agent_session
        }
        reach = msgspec.structs.replace(reach, conversations=mine)
        reach.check(options, anywhere=not line)

    def _most(self, option: str, line: Sequence[str], usual: int) -> int:
        """Return the least that any of these sessions may; an agent's own has no more than usual.

        Only what the user begins may have more.
        """
        rows = [row for row in self._above(line) if row]
        said: list[int] = [most for row in rows if (most := row.options.get(option))]
        by_user = any(row.options.get(option) for row in rows if not row.parent)
        return min(said if by_user else [*said, usual])

    def _budgets(self, line: Sequence[str]) -> list[tuple[float, float]]:
        """Return the budgets of these sessions in US dollars, and what each has been spent of.

        That of a session holds for it and all its descendants together.
        """
        caps = {
            session: cap
            for session in line
            if session in self._rows and (cap := self._rows[session].max_budget_usd) is not None
        }
        spent = dict.fromkeys(caps, 0.0)
        for row in self._rows.values() if caps else ():
            for above in self.upwards(row.id):
                if above in spent:
                    spent[above] += row.known_usd
        return [(cap, spent[session]) for session, cap in caps.items()]

    def _check_known(self, line: Sequence[str]) -> None:
        """Raise `NotAllowed` where it is not known what a budget of these has been spent of.

        Of a session at work that may still follow.
        """
        capped = {
            row.id for row in map(self._rows.get, line) if row and row.max_budget_usd is not None
        }
        for row in self._rows.values() if capped else ():
            unknown = row.total_cost_usd is None and row.status not in BUSY
            if unknown and capped & {*self.upwards(row.id)}:
                raise NotAllowed(
                    f"it is not known what {row.name} has cost, so the budget cannot be kept",
                    "report what there is; the user can begin anew",
                )

    def has_budget(self, line: Sequence[str]) -> bool:
        """Tell whether any of these sessions has a budget."""
        return bool(self._budgets(line))

    def _check_left(self, line: Sequence[str]) -> float | None:
        """Return the US dollars left of the budgets of these sessions; None: no limit.

        Raises `NotAllowed` where nothing is left, or where it is not known what is.
        """
        self._check_known(line)
        left = min((cap - spent for cap, spent in self._budgets(line)), default=None)
        if left is not None and left <= 0:
            raise NotAllowed("the budget is spent", "report what there is; the user can begin anew")
        return left


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


async def check_unkept(options: Options, session: str = "") -> None:
    """Raise `NotAllowed` for a session that no host has, where this process may not begin it.

    ``session`` is its id once its agent is there: others may have begun one at the same time.
    """
    inside = lineage.inside()
    if not inside:
        return
    async with Journal() as journal:
        family = await Family.beginning(journal)
    line = family.line(inside)
    family.check_children(line[0], session)
    allowed = family.begin(options, line)
    if family.has_budget(line):
        raise NotAllowed(
            "a budget holds for this agent, and nobody counts what a session in no journal spends",
            "begin it with midflight run, or with a Host",
        )
    if options.disallowed_tools != allowed.disallowed_tools:
        raise NotAllowed(
            "disallowed_tools: an agent's session has no more than its agent",
            f"disallowed_tools: {allowed.disallowed_tools}",
        )


def _tools(row: SessionRow, which: str) -> tuple[Any, ...]:
    return tuple(row.options.get(f"{which}_tools") or ())

"""Which session stands where: what waits, what runs, what rests, and children below parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

from midflight.info import SessionInfo
from midflight.state.session import BUSY

Group = Literal["waits", "runs", "rests"]

RECENT_S = 86_400.0
"""What has been at rest for longer is one line, until that is unfolded."""


class Key(NamedTuple):
    """What a row is about, whatever place it has; ``above`` is among what waits.

    A session of a family that waits has two rows. The line for what is older has no session.
    """

    session: str
    above: bool = False


class Row(NamedTuple):
    """A row of the list. A heading has no key.

    ``branch`` is what stands before a child's mark, and ``root`` the oldest parent. ``below`` are
    the sessions that are folded away here.
    """

    group: Group
    key: Key | None = None
    info: SessionInfo | None = None
    branch: str = ""
    root: str = ""
    below: tuple[SessionInfo, ...] = ()


class Family(NamedTuple):
    """What a session and all that it has begun have cost; ``open`` is one that may yet grow."""

    usd: float | None
    open: bool


def arrange(
    infos: Sequence[SessionInfo],
    answered: Mapping[str, float],
    folded: Collection[str],
    now: float,
    *,
    older: bool,
    flat: bool,
) -> list[Row]:
    """Put sessions into groups.

    ``answered`` are those that have just been answered, with when they had asked: they keep their
    places for a moment. ``folded`` are parents whose children are hidden, ``older`` unfolds what
    has been at rest for long, and ``flat`` takes children for sessions of their own.
    """
    asked = {each.id: each.pending[0].time for each in infos if each.pending} | dict(answered)
    waits = sorted((each for each in infos if each.id in asked), key=lambda each: asked[each.id])
    runs: list[tuple[SessionInfo, list[Row]]] = []
    rests: list[tuple[SessionInfo, list[Row]]] = []
    for root, rows in _families(infos, folded, flat=flat):
        members = [*(row.info for row in rows if row.info), *rows[0].below]
        works = any(each.status in BUSY for each in members)
        if len(members) == 1 and root.id in asked:
            continue
        (runs if works else rests).append((root, rows))
    runs.sort(key=lambda family: (is_held(family[0]), family[0].created, family[0].id))
    rests.sort(key=lambda family: (-family[0].updated, family[0].id))
    late = [] if older or flat else [f for f in rests if f[0].updated < now - RECENT_S]
    recent = rests[: len(rests) - len(late)]
    rows = [Row("waits"), *(Row("waits", Key(each.id, above=True), each) for each in waits)]
    rows += [Row("runs"), *(row._replace(group="runs") for _, family in runs for row in family)]
    rows += [Row("rests"), *(row for _, family in recent for row in family)]
    if late:
        rows.append(Row("rests", Key(""), below=tuple(root for root, _ in late)))
    return _without_empty(rows)


def is_held(info: SessionInfo) -> bool:
    """Tell whether a session waits for the reset of a usage limit, and for nobody."""
    return info.status == "waiting" and not info.pending


def group_of(info: SessionInfo) -> Group:
    """Return the group that a session alone is in."""
    if info.pending:
        return "waits"
    return "runs" if info.status in BUSY else "rests"


def _without_empty(rows: list[Row]) -> list[Row]:
    """Leave out the headings with nothing below them."""
    following = [*rows[1:], Row("waits")]
    return [row for row, after in zip(rows, following, strict=True) if row.key or after.key]


def _families(
    infos: Sequence[SessionInfo], folded: Collection[str], *, flat: bool
) -> Iterator[tuple[SessionInfo, list[Row]]]:
    """Yield each session without a parent here, with the rows of all that it has begun."""
    known = {info.id for info in infos}
    children: dict[str, list[SessionInfo]] = defaultdict(list)
    for info in sorted(infos, key=lambda info: (info.created, info.id)):
        children["" if flat or info.parent not in known else info.parent or ""].append(info)
    placed: set[str] = set()
    # Sessions that are each other's parents, as only a damaged journal has them, are roots too.
    for root in [*children[""], *infos]:
        if root.id not in placed:
            yield root, _family(root, children, folded, placed)


def _family(
    root: SessionInfo,
    children: Mapping[str, list[SessionInfo]],
    folded: Collection[str],
    placed: set[str],
) -> list[Row]:
    rows: list[Row] = []
    hidden: list[SessionInfo] = []
    # (session, the indent of its children, its own branch)
    stack = [(root, "", "")]
    while stack:
        info, indent, branch = stack.pop()
        if info.id in placed:
            continue
        placed.add(info.id)
        if root.id in folded and info is not root:
            hidden.append(info)
        else:
            rows.append(Row("rests", Key(info.id), info, branch, root.id))
        below = [each for each in children.get(info.id, ()) if each.id not in placed]
        for at in range(len(below) - 1, -1, -1):
            last = at == len(below) - 1
            own = f"{indent}  {'└' if last else '├'} "
            stack.append((below[at], f"{indent}  {' ' if last else '│'} ", own))
    rows[0] = rows[0]._replace(below=tuple(hidden))
    return rows


def families(infos: Mapping[str, SessionInfo]) -> dict[str, Family]:
    """Return what families have cost, by the session that has begun the others."""
    parents = {info.parent for info in infos.values() if info.parent in infos}
    whole = {info.id: Family(info.total_cost_usd, info.status in BUSY) for info in infos.values()}
    for info in sorted(infos.values(), key=lambda info: -info.created):  # children come first
        if info.parent in whole and info.parent != info.id:
            mine, above = whole[info.id], whole[info.parent]
            unknown = mine.usd is None or above.usd is None
            usd = None if unknown else (above.usd or 0.0) + (mine.usd or 0.0)
            whole[info.parent] = Family(usd, mine.open or above.open)
    return {parent: whole[parent] for parent in parents if parent is not None}

"""What an agent hands down to the sessions that it begins: no more than any above it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

from midflight.errors import NotAllowed
from midflight.family import Family
from midflight.journal import SessionRow
from midflight.narrowing import STRICTEST_FIRST
from midflight.options import Options


def row(id: str, parent: str = "", **changed: Any) -> SessionRow:
    own = {"permission_mode": "default", "status": "idle", "total_cost_usd": 0.0}
    own |= {name: changed.pop(name) for name in tuple(own) if name in changed}
    return SessionRow(
        id=id,
        name=id,
        agent="fake",
        model="",
        cwd="/work",
        options=changed,
        parent=parent,
        last="",
        pending=(),
        turns=0,
        agent_session="",
        seq=1,
        created=0.0,
        updated=0.0,
        host=None,
        address=None,
        **own,  # type: ignore[arg-type]
    )


def family(*rows: SessionRow) -> Family:
    return Family(rows)


def asked(**options: Any) -> Options:
    return Options.build(cwd=Path("/"), **options)


# Who is who ---------------------------------------------------------------------------------


def test_line_goes_from_a_session_to_those_above_it() -> None:
    known = family(row("a"), row("b", "a"), row("c", "b"))
    assert known.line(["c"]) == ("c", "b", "a")
    assert known.line(["a", "b", "c"]) == ("c", "b", "a")
    assert known.line([]) == ()


def test_session_in_no_journal_counts_as_the_one_around_it() -> None:
    known = family(row("a"))
    assert known.line(["a", "nowhere"])[0] == "a"
    assert known.line(["outer", "inner"]) == ("inner", "outer")


@fault("S17")
@pytest.mark.parametrize("inside", [["a", "other"], ["b", "a", "other"], ["?"], ["a", "?"]])
def test_program_that_says_that_it_is_of_another_session_is_refused(inside: list[str]) -> None:
    with pytest.raises(NotAllowed):
        family(row("a"), row("b", "a"), row("other")).line(inside)


@fault("S19")
def test_descendants_are_what_a_session_has_begun_at_any_depth() -> None:
    known = family(row("a"), row("b", "a"), row("c", "b"), row("other"))
    assert [each for each in ("a", "b", "c", "other") if known.descends(each, "a")] == ["b", "c"]


# What is handed down ------------------------------------------------------------------------


@fault("S16", "S17")
@pytest.mark.parametrize("above", STRICTEST_FIRST)
@pytest.mark.parametrize("mode", STRICTEST_FIRST)
def test_permission_mode_is_none_that_is_wider(above: str, mode: str) -> None:
    known = family(row("a", permission_mode=above))
    if STRICTEST_FIRST.index(mode) <= STRICTEST_FIRST.index(above):
        assert known.begin(asked(permission_mode=mode), ["a"]).permission_mode == mode
    else:
        with pytest.raises(NotAllowed, match=f"{mode} is wider than {above}"):
            known.begin(asked(permission_mode=mode), ["a"])


@fault("S17")
def test_the_strictest_session_above_decides() -> None:
    known = family(row("a", permission_mode="plan"), row("b", "a", permission_mode="acceptEdits"))
    with pytest.raises(NotAllowed):
        known.begin(asked(permission_mode="default"), ["b", "a"])


@fault("S17")
@pytest.mark.parametrize("line", [[], ["nowhere"]], ids=["unseen", "in no journal"])
@pytest.mark.parametrize(
    "more", [{"permission_mode": "acceptEdits"}, {"allowed_tools": ["Edit"]}], ids=str
)
def test_caller_of_which_nothing_is_known_hands_nothing_down(
    line: list[str], more: dict[str, Any]
) -> None:
    known = family(row("a", permission_mode="bypassPermissions"))
    assert known.begin(asked(), line) == asked()
    with pytest.raises(NotAllowed):
        known.begin(asked(**more), line)


@fault("S16", "S17")
def test_allowed_tools_are_among_those_of_every_session_above() -> None:
    known = family(
        row("a", allowed_tools=["Bash(git log)", "Edit"]),
        row("b", "a", allowed_tools=["Bash", "Edit"]),
        row("free", permission_mode="bypassPermissions"),
    )
    line = ["b", "a"]
    assert known.begin(asked(allowed_tools=["Edit"]), line).allowed_tools == ("Edit",)
    known.begin(asked(allowed_tools=["Bash(git log)"]), line)
    for tools in (["Bash"], ["Bash(ls)"], ["Edit", "Write"]):
        with pytest.raises(NotAllowed, match="not among its own"):
            known.begin(asked(allowed_tools=tools), line)
    known.begin(asked(allowed_tools=["Bash"]), ["free"])


@fault("S17")
def test_what_is_denied_above_is_denied_below() -> None:
    known = family(
        row("a", disallowed_tools=["WebFetch"]), row("b", "a", disallowed_tools=["Bash"])
    )
    made = known.begin(asked(disallowed_tools=["Write"]), ["b", "a"])
    assert made.disallowed_tools == ("Write", "Bash", "WebFetch")


@fault("S16", "S17")
def test_budget_is_what_is_left_of_every_budget_above() -> None:
    known = family(
        row("a", max_budget_usd=1.0, total_cost_usd=0.25),
        row("b", "a", max_budget_usd=2.0, total_cost_usd=0.25),
        row("c", "a", total_cost_usd=0.25),
        row("other", total_cost_usd=9.0),
    )
    assert known.begin(asked(), ["b", "a"]).max_budget_usd == 0.25
    assert known.begin(asked(max_budget_usd=5), ["b", "a"]).max_budget_usd == 0.25
    assert known.begin(asked(max_budget_usd=0.1), ["b", "a"]).max_budget_usd == 0.1
    assert known.begin(asked(), ["c"]).max_budget_usd is None
    spent = family(row("a", max_budget_usd=1.0), row("b", "a", total_cost_usd=1.0))
    with pytest.raises(NotAllowed, match="budget is spent"):
        spent.begin(asked(), ["a"])


@fault("S17")
def test_depth_ends_where_any_session_above_says() -> None:
    three = [row("a"), row("b", "a"), row("c", "b")]
    family(*three).begin(asked(), ["b", "a"])
    with pytest.raises(NotAllowed, match="3 deep"):
        family(*three).begin(asked(), ["c", "b", "a"])
    with pytest.raises(NotAllowed, match="1 deep"):
        family(row("a", max_depth=1)).begin(asked(), ["a"])
    family(row("a", max_depth=4), *three[1:]).begin(asked(), ["c", "b", "a"])


@fault("S17")
def test_no_more_sessions_work_for_one_than_may() -> None:
    def children(count: int, status: str) -> list[SessionRow]:
        return [row(f"{status}{n}", "a", status=status) for n in range(count)]

    family(row("a"), *children(7, "running"), *children(20, "idle")).check_children("a")
    with pytest.raises(NotAllowed, match="8 sessions"):
        family(row("a"), *children(8, "waiting")).check_children("a")
    with pytest.raises(NotAllowed, match="1 sessions"):
        family(row("a", max_children=1), *children(1, "running")).check_children("a")
    family(row("a", max_children=1), *children(1, "starting")).check_children("a", "starting0")

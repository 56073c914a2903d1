"""Which session stands where on the board."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.support.board import NOW, asks, info

from midflight.cli.board.groups import RECENT_S, Key, arrange
from midflight.info import SessionInfo

DAY = RECENT_S + 1


def listed(*infos: SessionInfo, **more: Any) -> list[str]:
    """The rows: a heading by its group, a session by its branch and its name."""
    options: dict[str, Any] = {"answered": {}, "folded": (), "older": False, "flat": False} | more
    rows = arrange(infos, now=NOW, **options)
    shown = []
    for row in rows:
        if row.key is None:
            shown.append(row.group.upper())
        elif row.info is None:
            shown.append(f"older {len(row.below)}")
        else:
            shown.append(f"{row.branch}{row.info.name}")
    return shown


def test_what_waits_longest_stands_first() -> None:
    rows = listed(asks("b", ago=5), asks("a", ago=50), asks("c", ago=20))
    assert rows == ["WAITS", "a", "c", "b"]


def test_what_runs_stands_by_its_begin_and_what_is_held_last() -> None:
    held = info("held", "waiting", created=NOW - 900)
    new, old = info("new", "running", created=NOW - 5), info("old", "running", created=NOW - 500)
    assert listed(new, held, old) == ["RUNS", "old", "new", "held"]


def test_what_rests_stands_newest_first_and_a_day_folds_it() -> None:
    infos = [info(f"s{ago}", updated=NOW - ago) for ago in (DAY, 500, 3, DAY + 5)]
    assert listed(*infos) == ["RESTS", "s3", "s500", "older 2"]
    assert listed(*infos, older=True)[-2:] == [f"s{DAY}", f"s{DAY + 5}"]


def test_session_alone_that_waits_stands_in_one_place() -> None:
    assert listed(asks("a"), info("b", "running")) == ["WAITS", "a", "RUNS", "b"]


def test_child_that_waits_stands_above_and_below_its_parent() -> None:
    rows = listed(
        info("boss", "running", created=NOW - 99),
        info("one", "running", parent="boss", created=NOW - 50),
        asks("two", parent="boss", created=NOW - 40),
        info("three", parent="two", created=NOW - 30),
    )
    assert rows == ["WAITS", "two", "RUNS", "boss", "  ├ one", "  └ two", "      └ three"]


def test_parent_at_rest_stands_with_what_runs_for_its_child() -> None:
    assert listed(info("boss"), info("one", "running", parent="boss"), info("z")) == [
        *("RUNS", "boss", "  └ one"),
        *("RESTS", "z"),
    ]


def test_folded_parent_hides_its_children_but_not_what_waits() -> None:
    infos = info("boss", "running"), asks("one", parent="boss"), info("two", parent="one")
    assert listed(*infos, folded={"boss"}) == ["WAITS", "one", "RUNS", "boss"]
    (boss,) = (
        row
        for row in arrange(infos, {}, {"boss"}, NOW, older=False, flat=False)
        if row.key == Key("boss")
    )
    assert {each.name for each in boss.below} == {"one", "two"}


def test_session_that_was_answered_keeps_its_place() -> None:
    infos = asks("a", ago=50), info("b", "running"), asks("c", ago=5)
    assert listed(*infos, answered={"b": NOW - 20}) == ["WAITS", "a", "b", "c"]


NAMES = st.sampled_from("abcdef")
STATUSES = st.sampled_from(["starting", "running", "waiting", "idle", "closed"])


@given(st.dictionaries(NAMES, st.tuples(STATUSES, NAMES | st.none(), st.booleans())))
def test_every_session_has_a_row_whatever_its_parents(
    sessions: dict[str, tuple[Any, str | None, bool]],
) -> None:
    infos = [
        asks(name, parent=parent) if waits else info(name, status, parent=parent)
        for name, (status, parent, waits) in sessions.items()
    ]
    rows = arrange(infos, {}, (), NOW, older=True, flat=False)
    keys = [row.key for row in rows if row.key]
    assert len({*keys}) == len(keys)
    assert {key.session for key in keys} == {*sessions}
    assert {key.session for key in keys if key.above} == {i.id for i in infos if i.pending}

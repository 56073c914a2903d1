"""When a schedule runs: in its zone, through the changes of its clocks."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midflight.errors import InvalidInput
from midflight.schedules.cron import local, next_run, runs_after

BERLIN = "Europe/Berlin"
"""Its clocks leave out 02:00 to 03:00 on 2026-03-29, and have it twice on 2026-10-25."""


def at(text: str) -> float:
    """Return a moment that is written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def runs(cron: str, after: str, count: int, zone: str = BERLIN) -> list[str]:
    """Return the next runs, as they would be written in UTC."""
    found = itertools.islice(runs_after(cron, zone, at(after)), count)
    return [f"{datetime.fromtimestamp(each, UTC):%m-%d %H:%M}" for each in found]


def test_time_of_day_is_that_of_the_zone_in_summer_and_winter() -> None:
    assert runs("0 7 * * *", "2026-03-27 12:00", 3) == ["03-28 06:00", "03-29 05:00", "03-30 05:00"]
    assert runs("0 7 * * *", "2026-03-27 12:00", 1, "UTC") == ["03-28 07:00"]
    assert runs("0 7 * * *", "2026-03-27 12:00", 1, "Asia/Kolkata") == ["03-28 01:30"]


def test_weekdays_leave_out_the_weekend() -> None:
    assert runs("0 7 * * 1-5", "2026-11-27 00:00", 2) == ["11-27 06:00", "11-30 06:00"]
    assert runs("0 7 * * mon", "2026-11-27 00:00", 1) == ["11-30 06:00"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 2 * * *", ["03-28 01:30", "03-29 01:00", "03-30 00:30"]),
        ("0,30 2 * * *", ["03-28 01:00", "03-28 01:30", "03-29 01:00", "03-30 00:00"]),
    ],
)
def test_time_that_is_left_out_comes_once_right_after_it(cron: str, expected: list[str]) -> None:
    assert runs(cron, "2026-03-27 12:00", len(expected)) == expected


def test_time_that_is_there_twice_comes_the_first_time() -> None:
    assert runs("30 2 * * *", "2026-10-24 12:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_time_that_is_there_twice_does_not_come_again_after_a_restart() -> None:
    """Who looks in the second of the two hours finds the first one's run to be over."""
    for moment in ("2026-10-25 00:30", "2026-10-25 01:10", "2026-10-25 01:30", "2026-10-25 01:50"):
        assert runs("30 2 * * *", moment, 1) == ["10-26 01:30"]


def test_every_hour_goes_by_the_time_that_passes() -> None:
    spring = ["03-29 00:30", "03-29 01:30", "03-29 02:30"]
    assert runs("30 * * * *", "2026-03-29 00:00", 3) == spring
    autumn = ["10-25 00:30", "10-25 01:30", "10-25 02:30"]
    assert runs("30 * * * *", "2026-10-25 00:00", 3) == autumn
    assert runs("*/30 * * * *", "2026-10-25 00:15", 3) == [
        *("10-25 00:30", "10-25 01:00", "10-25 01:30")
    ]


def test_date_is_that_of_the_zone() -> None:
    moment = at("2026-11-30 23:30")
    assert local(moment, "Asia/Tokyo").date().isoformat() == "2026-12-01"
    assert local(moment, "UTC").date().isoformat() == "2026-11-30"


@pytest.mark.parametrize(
    "cron",
    [
        *("", "7", "0 7 * *", "0 0 7 * * *", "60 * * * *", "@daily", "0 7 * * 1-", "a b c d e"),
        *("0 0 30 2 *", "*/0 * * * *", "0 7 * * \0", "0 7 * * 8", "\ud800 * * * *", "1," * 200),
    ],
)
def test_what_says_no_times_is_refused(cron: str) -> None:
    with pytest.raises(InvalidInput, match="says no times") as refused:
        next_run(cron, "UTC", 0.0)
    assert "0 7 * * 1-5" in refused.value.hint


@pytest.mark.parametrize(
    "zone", ["", "Europe/Berlim", "Europe", "../../etc/passwd", "/etc/passwd", "a" * 5000, "\0"]
)
def test_zone_that_is_not_known_is_refused(zone: str) -> None:
    with pytest.raises(InvalidInput, match="no time zone"):
        next_run("0 7 * * *", zone, 0.0)


_PART = st.text("0123456789*/,-#LWMONJA?", max_size=6)


@given(st.lists(_PART, min_size=5, max_size=5).map(" ".join) | st.text(max_size=40))
def test_any_text_is_refused_or_has_times_that_follow_each_other(cron: str) -> None:
    begin = at("2026-10-24 00:00")
    try:
        found = list(itertools.islice(runs_after(cron, BERLIN, begin), 30))
    except InvalidInput:
        return
    assert [begin, *found] == sorted({begin, *found})

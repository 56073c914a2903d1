"""What is to become of a schedule whose time has come, or has long gone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from midflight.schedules.cron import next_run
from midflight.schedules.rules import LATE_S, MOST_COUNTED, Verdict, judge

DAY = 86_400.0
DUE = 20_000 * DAY + 7 * 3600
DAILY = ("0 7 * * *", "UTC")


def test_run_that_is_due_begins_and_the_next_one_follows() -> None:
    expected = Verdict(run=DUE, missed=0, first=DUE, following=DUE + DAY)
    assert judge(*DAILY, DUE, DUE) == expected
    assert judge(*DAILY, DUE, DUE + LATE_S) == expected


def test_run_that_is_late_is_missed_and_not_made_up_for() -> None:
    expected = Verdict(run=None, missed=1, first=DUE, following=DUE + DAY)
    assert judge(*DAILY, DUE, DUE + LATE_S + 1) == expected


def test_runs_of_days_without_a_server_are_counted() -> None:
    expected = Verdict(run=None, missed=3, first=DUE, following=DUE + 3 * DAY)
    assert judge(*DAILY, DUE, DUE + 2 * DAY + 3600) == expected


def test_run_of_this_minute_begins_though_earlier_ones_were_missed() -> None:
    expected = Verdict(run=DUE + 2 * DAY, missed=2, first=DUE, following=DUE + 3 * DAY)
    assert judge(*DAILY, DUE, DUE + 2 * DAY + 1) == expected


def test_very_many_missed_runs_are_not_all_counted() -> None:
    now = DUE + 365 * DAY + 5
    verdict = judge("* * * * *", "UTC", DUE, now)
    assert verdict.run == now - 5
    assert MOST_COUNTED - 1 <= verdict.missed <= MOST_COUNTED
    assert verdict.following == now + 55


@given(
    st.sampled_from(["* * * * *", "*/7 * * * *", "30 2 * * *", "0 */5 * * 1-5"]),
    st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe"]),
    st.floats(1.7e9, 1.9e9),
    st.floats(0, 5 * DAY),
)
def test_verdict_never_begins_what_is_late_or_still_to_come(
    cron: str, zone: str, moment: float, later: float
) -> None:
    due = next_run(cron, zone, moment)
    assert due is not None
    now = due + later
    verdict = judge(cron, zone, due, now)
    if verdict.run is not None:
        assert due <= verdict.run <= now <= verdict.run + LATE_S
    assert verdict.following is not None
    assert verdict.following > now
    assert verdict.missed + (verdict.run is not None) >= 1

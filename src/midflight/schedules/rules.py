"""What is to become of a schedule whose time has come."""

from __future__ import annotations

import itertools

import msgspec

from midflight.schedules.cron import next_run, runs_after

LATE_S = 60.0
"""How late a run may begin. An older one is missed: it is said, and not made up for."""

MOST_COUNTED = 1_000
"""How many missed runs are counted."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What follows: the ``run`` to begin, by when it was due; how many were ``missed`` before it.

    ``first`` is when the oldest of these was due, and ``following`` when the next run is, None
    where there is none.
    """

    run: float | None
    missed: int
    first: float
    following: float | None


def judge(cron: str, zone: str, due: float, now: float) -> Verdict:
    """Judge a schedule whose next run was due at a moment that has come."""
    until_now = itertools.takewhile(
        lambda at: at <= now, itertools.chain([due], runs_after(cron, zone, due))
    )
    passed = list(itertools.islice(until_now, MOST_COUNTED))
    newest = passed[-1]
    if len(passed) == MOST_COUNTED:  # which is not the newest then
        recent = itertools.takewhile(lambda at: at <= now, runs_after(cron, zone, now - LATE_S))
        newest = max(recent, default=newest)
    run = None if is_late(newest, now) else newest
    return Verdict(
        run=run,
        missed=len(passed) - (run is not None),
        first=due,
        following=next_run(cron, zone, now),
    )


def is_late(due: float, now: float) -> bool:
    """Tell whether a run is not begun any more."""
    return now - due > LATE_S

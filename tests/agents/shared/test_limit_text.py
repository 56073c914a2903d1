from __future__ import annotations

from datetime import UTC, datetime

import pytest

from midflight.agents.shared.limit_text import MINUTE_S, is_usage_limit, resets_at


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-22 19:48:30")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("You've hit your 5-hour limit · resets 11:48pm (UTC)", "2026-11-22 23:48"),
        ("You've hit your 5-hour limit · resets 3am (UTC)", "2026-11-23 03:00"),
        ("You've hit your limit · resets 1am (Europe/Berlin)", "2026-11-23 00:00"),
        ("You've hit your weekly limit · resets Nov 25, 12pm (UTC)", "2026-11-25 12:00"),
        ("You've hit your weekly limit · resets Jan 2 at 12:30am (UTC)", "2027-01-02 00:30"),
        ("You've hit your 5-hour limit · resets 7:48pm (UTC)", "2026-11-22 19:48"),
        (
            "You've hit your usage limit. Try again in 1 day 2 hours 5 minutes.",
            "2026-11-23 21:53:30",
        ),
        (
            "You have exhausted your capacity quota. It will reset after 2h0m30s.",
            "2026-11-22 21:49",
        ),
    ],
)
def test_reset_is_read_from_an_agents_text(words: str, expected: str) -> None:
    assert is_usage_limit(words)
    assert resets_at(words, NOW) == at(expected) + MINUTE_S


def test_reset_is_read_from_a_field_in_the_text() -> None:
    words = '{"type":"usage_limit_reached","plan_type":"plus","resets_at":1795391321}'
    assert is_usage_limit(words)
    assert resets_at(words, NOW) == 1795391321


@pytest.mark.parametrize(
    "words",
    [
        "The usage limit has been reached",
        "hit your limit · resets 25:99pm (Nowhere/AtAll)",
        "hit your limit · resets Nov 31, 3pm (UTC)",
    ],
)
def test_text_without_a_time_has_no_reset(words: str) -> None:
    assert is_usage_limit(words)
    assert resets_at(words, NOW) is None


@pytest.mark.parametrize("words", ["429 rate_limit_error", "Overloaded, try again in 5 seconds"])
def test_passing_rate_limit_is_no_usage_limit(words: str) -> None:
    assert not is_usage_limit(words)

from __future__ import annotations

from midflight.rules.watchdog import SILENCE_S, Verdict, Watchdog

NOTHING = Verdict()


def test_watchdog_is_never_due_before_it_begins() -> None:
    dog = Watchdog(10, 5)
    assert dog.due(paused=False) is None
    assert dog.look(1000, paused=False) == NOTHING
    dog.begin(0)
    dog.end()
    assert dog.due(paused=False) is None


def test_silence_is_reported_once_until_a_sign_of_life() -> None:
    dog = Watchdog(None, None)
    dog.begin(0)
    assert dog.due(paused=False) == SILENCE_S
    assert dog.look(SILENCE_S - 1, paused=False) == NOTHING
    assert dog.look(SILENCE_S, paused=False) == Verdict("", SILENCE_S)
    assert dog.look(SILENCE_S + 1, paused=False) == NOTHING
    assert dog.due(paused=False) is None
    dog.heard(100)
    assert dog.due(paused=False) == 100 + SILENCE_S
    assert dog.look(100 + SILENCE_S, paused=False).silent_s == SILENCE_S


def test_stall_limit_is_reported_at_half_time_then_ends_the_turn() -> None:
    dog = Watchdog(None, 10)
    dog.begin(0)
    assert dog.due(paused=False) == 5
    assert dog.look(5, paused=False) == Verdict("", 5)
    assert dog.due(paused=False) == 10
    assert dog.look(10, paused=False) == Verdict("stalled", 10)


def test_timeout_alone_counts_while_paused() -> None:
    dog = Watchdog(30, 10)
    dog.begin(0)
    assert dog.due(paused=True) == 30
    assert dog.look(29, paused=True) == NOTHING
    assert dog.look(29, paused=False) == NOTHING  # the pause was no silence
    assert dog.look(30, paused=True) == Verdict("timeout")


def test_second_begin_does_not_extend_the_limit() -> None:
    dog = Watchdog(10, None)
    dog.begin(0)
    dog.begin(9)
    assert dog.look(10, paused=False) == Verdict("timeout")


def test_announced_silence_is_not_reported() -> None:
    dog = Watchdog(None, 10)
    dog.begin(0)
    dog.heard(100)  # the agent has said that it will wait until then
    dog.heard(1)
    assert dog.look(99, paused=False) == NOTHING
    assert dog.due(paused=False) == 105

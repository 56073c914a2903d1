"""What becomes of a session whose host has died, as the next host finds it in the journal."""

from __future__ import annotations

import copy

from tests.support.rules import Rules, done, send

from midflight import events as e
from midflight.agents import base
from midflight.journal.base import Past
from midflight.rules.actions import Hand
from midflight.rules.host_lost import GO_ON
from midflight.rules.turns import CUT_OFF
from midflight.state.session import MOST_LOST


def cut_in_turn(*queued: str) -> Rules:
    """Return the rules of a session that works on a message, ``m1``, while others wait."""
    rules = Rules()
    rules.do(send("m1"))
    rules.hear(base.Taken("m1"))
    rules.do(*(send(message, "queue") for message in queued))
    return rules


def found(rules: Rules, *, go_on: bool, lost: int = 1) -> tuple[Rules, bool]:
    """Return the rules of the host that finds it, and whether something goes on by itself."""
    new = Rules()
    vars(new.witness).update(copy.deepcopy(vars(rules.witness)))
    new.now = rules.now
    events = [event for event in rules.events if event.durable]
    handed = [entry.id for entry in rules.state.outbox.handed()]
    past = Past(events=events, handed=handed)
    new.session.recover(past, new.now, go_on=go_on, lost=lost)
    return new, new.session._turns.waits  # noqa: SLF001 - it shows where places are rationed


def waiting(rules: Rules) -> list[str]:
    return [entry.text for entry in rules.state.outbox.waiting()]


def test_nothing_that_was_cut_goes_on_by_itself() -> None:
    new, goes_on = found(cut_in_turn("m2"), go_on=False)
    assert (goes_on, waiting(new)) == (False, ["text of m2"])


def test_what_only_waited_goes_on_by_itself() -> None:
    rules = cut_in_turn("m2")
    rules.hear(done("m1"))
    rules.actions.clear()
    rules.state.outbox.get("m2").handed = False  # its place was not there yet
    assert found(rules, go_on=False)[1]


def test_agent_that_is_to_go_on_gets_what_it_was_asked_again() -> None:
    new, goes_on = found(cut_in_turn("m2"), go_on=True)
    assert goes_on
    assert waiting(new) == [f"{GO_ON}\n\ntext of m1", "text of m2"]
    (ended,) = new.of(e.TurnEnded)
    assert (ended.status, ended.reason) == ("failed", "host_died")

    new.session.resume(new.now)
    new.session._turns.resting = False  # noqa: SLF001 - as a worker that has a place for it
    new.wait(0)
    (hand,) = [action for action in new.actions if isinstance(action, Hand)]
    assert hand.text == f"{CUT_OFF}\n\n{GO_ON}\n\ntext of m1"


def test_message_that_was_only_handed_over_is_given_again() -> None:
    rules = Rules()
    rules.do(send("m1"))
    new, goes_on = found(rules, go_on=True)
    assert (goes_on, waiting(new)) == (True, [f"{GO_ON}\n\ntext of m1"])


def test_words_do_not_grow_when_hosts_die_again_and_again() -> None:
    first, _ = found(cut_in_turn(), go_on=True)
    first.session.resume(first.now)
    first.session._turns.resting = False  # noqa: SLF001 - as above
    first.wait(0)
    first.hear(base.Taken(first.state.outbox.handed()[0].id))
    second, _ = found(first, go_on=True)
    assert waiting(second) == [f"{GO_ON}\n\ntext of m1"]


def test_session_that_kills_its_hosts_is_left_at_rest_and_says_so() -> None:
    new, goes_on = found(cut_in_turn(), go_on=True, lost=MOST_LOST)
    assert not goes_on
    assert "a message tries again" in new.of(e.Notice)[-1].text
    assert waiting(new) == [f"{GO_ON}\n\ntext of m1"]


def test_session_that_has_nothing_to_do_says_nothing_of_its_hosts() -> None:
    rules = cut_in_turn()
    rules.hear(done("m1"))
    new, goes_on = found(rules, go_on=True, lost=MOST_LOST)
    assert (goes_on, new.of(e.Notice)) == (False, [])

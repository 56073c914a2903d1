"""What becomes of a session whose host has died, as the next host finds it in the journal."""

from __future__ import annotations

import copy

import pytest
from tests.support.rules import Rules, done, send

from midflight import commands as c
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


def found(
    rules: Rules, *, go_on: bool, lost: int = 1, rationed: bool = False
) -> tuple[Rules, bool]:
    """Return the rules of the host that finds it, and whether something goes on by itself."""
    new = Rules()
    vars(new.witness).update(copy.deepcopy(vars(rules.witness)))
    new.now = rules.now
    new.session._turns.rationed = rationed  # noqa: SLF001 - as of a session of workers
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


def test_background_work_that_is_lost_with_its_worker_is_said() -> None:
    rules = cut_in_turn()
    rules.hear(e.TaskStarted(task="t1", title="build"), done("m1"))
    new, _ = found(rules, go_on=False, rationed=True)
    (notice,) = new.of(e.Notice)
    assert "cut with its host: build (for" in notice.text
    assert [ended.status for ended in new.of(e.TaskEnded)] == ["cancelled"]
    assert found(rules, go_on=False)[0].of(e.Notice) == []  # its folder is where it goes on


def test_session_that_has_nothing_to_do_says_nothing_of_its_hosts() -> None:
    rules = cut_in_turn()
    rules.hear(done("m1"))
    new, goes_on = found(rules, go_on=True, lost=MOST_LOST)
    assert (goes_on, new.of(e.Notice)) == (False, [])


def busy() -> list[e.Event]:
    """Return what is on disk of turns that end in each way, with all that a turn can have open."""
    rules = Rules()
    rules.do(send("m1"))
    rules.hear(
        base.Taken("m1"),
        e.Text(text="begun"),
        e.TaskStarted(task="t", title="look"),
        e.ToolStarted(call="c", name="Bash", kind="execute", title="ls", input={}),
        e.PermissionRequested(request="r", call="c", name="Bash", input={}),
    )
    rules.do(send("s1"), send("m2", "queue"))
    rules.hear(base.Taken("s1"), e.Text(text="all done"), done("m1", "s1"))
    rules.hear(base.Taken("m2"), done("m2", status="failed", reason="api_error"))
    rules.do(send("m3"))
    rules.hear(base.Taken("m3"))
    rules.do(c.Interrupt())
    rules.hear(done("m3", status="interrupted", reason="interrupted"))
    return [event for event in rules.events if event.durable]


def recovered(events: list[e.Event], *, go_on: bool = False) -> list[e.Event]:
    """Return what a host adds to what it finds, once each thing in it has ended exactly once."""
    new = Rules()
    handed = {event.message for event in events if isinstance(event, e.MessageAccepted)}
    found = [new.witness(event) for event in events]
    new.session.recover(Past(events=found, handed=handed), new.now, go_on=go_on)
    left = new.witness.open()
    again = {entry.id for entry in new.state.outbox.waiting()} if go_on else set()
    assert left.get("message", set()) == again
    assert not any(things for kind, things in left.items() if kind != "message")
    return [event for event in new.events[len(events) :] if event.durable]


@pytest.mark.parametrize("go_on", [False, True])
def test_kill_between_any_two_events_ends_each_thing_once(go_on: bool) -> None:
    """What one moment publishes may be on disk in part, and so may what is written after a kill."""
    events = busy()
    assert len({type(event) for event in events}) > 12
    for kept in range(1, len(events)):
        if not isinstance(events[kept - 1], e.SessionEnded):
            added = recovered(events[:kept], go_on=go_on)
            for half in range(1, len(added)):
                recovered(events[:kept] + added[:half], go_on=go_on)


def test_turn_whose_messages_have_ended_on_disk_ends_as_they_did() -> None:
    events = busy()
    ends = [event for event in events if isinstance(event, e.TurnEnded)]
    found = [recovered(events[: events.index(end)])[0] for end in ends]
    assert [(end.status, end.reason) for end in ends] == [
        (end.status, end.reason) for end in found if isinstance(end, e.TurnEnded)
    ]
    assert found[0].text == "all done"  # type: ignore[attr-defined]

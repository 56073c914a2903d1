from __future__ import annotations

import pytest
from tests.support.rules import Rules, send

from midflight import commands as c
from midflight import events as e
from midflight.agents.base import Taken
from midflight.errors import Conflict, InvalidInput, NotFound
from midflight.state.outbox import KEPT_ENDED, Outbox


@pytest.fixture
def rules() -> Rules:
    """Return rules with a turn that runs and three messages that wait."""
    rules = Rules()
    rules.do(send("running"))
    rules.hear(Taken("running"))
    rules.do(*(send(name, "queue") for name in ("a", "b", "c")))
    return rules


def line(rules: Rules) -> list[str]:
    return [entry.id for entry in rules.state.outbox.waiting()]


@pytest.mark.parametrize(
    ("message", "before", "order"),
    [("a", None, "bca"), ("c", "a", "cab"), ("a", "c", "bac"), ("b", "c", "abc")],
)
def test_message_is_moved_in_the_line(
    rules: Rules, message: str, before: str | None, order: str
) -> None:
    rules.do(c.Move(message=message, before=before))
    assert line(rules) == list(order)


@pytest.mark.parametrize("message", ["a", "b", "c"])
def test_edited_message_keeps_its_place(rules: Rules, message: str) -> None:
    rules.do(c.Edit(message=message, text="other words"))
    assert line(rules) == ["a", "b", "c"]
    assert rules.state.outbox.get(message).text == "other words"
    assert rules.state.outbox.get(message).delivery == "queue"


def test_message_keeps_its_number_whatever_becomes_of_the_others(rules: Rules) -> None:
    rules.do(c.Cancel(message="a"), c.Move(message="c", before="b"), c.Redirect(id="n", text="now"))
    rules.do(send("d", "queue"), c.Edit(message="d", text="other words"))
    outbox = rules.state.outbox
    assert [(entry.id, entry.number) for entry in outbox.waiting()] == [
        ("n", 5), ("c", 4), ("b", 3), ("d", 6),
    ]  # fmt: skip
    assert [outbox.numbered(number) for number in (2, 6, 7)] == [
        outbox.get("a"), outbox.get("d"), None,
    ]  # fmt: skip


def test_promoted_message_is_handed_to_the_agent_as_a_steer(rules: Rules) -> None:
    rules.taken()
    rules.do(c.Promote(message="c"))
    assert line(rules) == ["c", "a", "b"]
    assert [entry.id for entry in rules.state.outbox.handed()] == ["c"]


def test_redirect_goes_to_the_head_of_the_line(rules: Rules) -> None:
    rules.do(c.Redirect(id="now", text="this first"))
    assert line(rules) == ["now", "a", "b", "c"]


def test_move_that_is_impossible_says_why(rules: Rules) -> None:
    rules.do(send("steer"))
    with pytest.raises(Conflict, match="handed to the agent"):
        rules.do(c.Move(message="steer"))
    with pytest.raises(Conflict, match="handed to the agent"):
        rules.do(c.Move(message="a", before="steer"))
    with pytest.raises(Conflict, match="already started"):
        rules.do(c.Edit(message="running", text="late"))
    with pytest.raises(InvalidInput, match="in front of itself"):
        rules.do(c.Move(message="a", before="a"))
    with pytest.raises(NotFound, match="no message has the id 'x'"):
        rules.do(c.Move(message="x"))
    assert line(rules) == ["a", "b", "c", "steer"]


def test_ended_messages_are_kept_up_to_a_bound() -> None:
    outbox = Outbox()
    for number in range(KEPT_ENDED + 5):
        outbox.apply(e.MessageAccepted(message=str(number), text="x", delivery="queue"))
        outbox.apply(e.MessageCancelled(message=str(number), reason="cancelled"))
    assert outbox.find("4") is None
    assert [entry.id for entry in outbox][:1] == ["5"]
    assert outbox.get("5").text == ""

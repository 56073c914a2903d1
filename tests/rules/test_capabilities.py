"""What an agent lacks is made up for, or refused: never passed on in silence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.rules import Rules, done, send

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import Conflict, InvalidInput
from midflight.rules.actions import Hand, Interrupt
from midflight.values import TokenUsage


def running(lacks: dict[str, Any], **limits: Any) -> Rules:
    """Return rules in the middle of a turn, whose agent lacks something."""
    rules = Rules(**limits)
    rules.lacks = lacks
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.taken()
    return rules


def step(*, estimated: bool = False) -> base.Step:
    return base.Step(model="any", tokens=TokenUsage(), cost_usd=0.5, estimated=estimated)


@pytest.mark.parametrize("promoted", [False, True])
def test_steer_waits_its_turn_if_the_agent_cannot_be_steered(promoted: bool) -> None:
    rules = running({"steer": "emulated"})
    if promoted:
        rules.do(send("n", "queue"), c.Promote(message="n"))
    else:
        rules.do(send("n"))
    assert rules.taken() == []
    assert "n waits its turn" in rules.of(e.Notice)[0].text
    rules.hear(done("m"))
    assert rules.taken() == [Hand("n", "text of n", steer=False)]


@pytest.mark.parametrize(
    "command", [c.SetModel(model="opus"), c.SetPermissionMode(mode="bypassPermissions")]
)
def test_switch_that_the_agent_lacks_is_a_conflict_and_changes_nothing(command: Any) -> None:
    rules = running({"set_model": "not", "set_permission_mode": "not"})
    with pytest.raises(Conflict, match="does not support set_"):
        rules.do(command)
    assert rules.taken() == []
    assert rules.session.mode == "default"


def test_edited_input_that_the_agent_lacks_leaves_the_request_pending() -> None:
    rules = running({"edited_input": "not"})
    asked = e.PermissionRequested(request="r", call="c", name="Bash", input={"command": "ls"})
    rules.hear(asked)
    with pytest.raises(InvalidInput, match="no other input"):
        rules.do(c.Answer(request="r", input={"command": "pwd"}))
    rules.do(c.Answer(request="r"))


def test_turn_is_stopped_before_a_model_call_too_many() -> None:
    rules = running({}, max_turns=2)
    rules.hear(base.Calling(), step(), base.Calling(), step())
    assert rules.taken() == []
    rules.hear(base.Calling())
    assert [type(action) for action in rules.taken()] == [Interrupt]
    rules.hear(done("m", status="interrupted", reason="interrupted"))
    (ended,) = rules.of(e.TurnEnded)
    assert (ended.status, ended.reason, ended.steps) == ("limit", "max_turns", 2)


def test_estimated_figure_is_marked_and_counts() -> None:
    rules = running({}, max_budget_usd=0.4)
    rules.hear(step(estimated=True))
    (usage,) = rules.of(e.Usage)
    assert (usage.estimated, usage.total_cost_usd) == (True, 0.5)
    assert [type(action) for action in rules.taken()] == [Interrupt]

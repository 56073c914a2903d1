"""What an agent lacks is made up for, or refused: never passed on in silence."""

from __future__ import annotations

from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.rules import Rules, done, send

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import Conflict, InvalidInput
from midflight.rules.actions import Hand, Interrupt, SetPermissionMode
from midflight.session.price_table import load_prices
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
    assert rules.taken() == [Hand("n", "text of n", steer=False, typed=False)]


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


def test_agent_changes_its_mode_within_what_the_user_has_chosen() -> None:
    rules = running({})
    rules.do(c.SetPermissionMode(mode="acceptEdits"))
    for own, mode in (("plan", "plan"), ("default", "default"), ("acceptEdits", "acceptEdits")):
        rules.hear(base.ModeChanged(own, own))  # type: ignore[arg-type]
        assert rules.session.mode == mode
    rules.taken()
    for wider in ("bypassPermissions", None):
        rules.hear(base.ModeChanged(wider, "yolo"))
        assert rules.taken() == [SetPermissionMode("acceptEdits")]
        assert rules.session.mode == "acceptEdits"


def test_mode_of_the_user_holds_over_one_that_the_agent_took_meanwhile() -> None:
    rules = running({})
    rules.do(c.SetPermissionMode(mode="acceptEdits"))
    rules.hear(base.ModeChanged("plan", "plan"))
    rules.session.mode_taken("acceptEdits", rules.now)
    assert rules.session.mode == "acceptEdits"


def test_plan_of_the_agents_own_leaves_a_bypass_what_it_is() -> None:
    rules = running({})
    rules.do(c.SetPermissionMode(mode="bypassPermissions"))
    rules.hear(base.ModeChanged("plan", "plan"))
    rules.hear(e.PermissionRequested(request="r", call="c", name="ExitPlanMode", input={}))
    assert rules.of(e.PermissionResolved)[0].decision == "allow"


def test_limits_that_are_changed_in_a_turn_hold_at_once() -> None:
    rules = running({}, max_turns=9, timeout=100.0)
    rules.hear(step())
    rules.do(c.SetLimits(max_turns=1, timeout=5.0))
    (changed,) = rules.of(e.LimitsChanged)
    assert changed.limits == rules.state.limits == {"max_turns": 1, "timeout": 5.0}
    rules.taken()
    rules.wait(6.0)
    assert [type(action) for action in rules.taken()] == [Interrupt]
    rules.hear(done("m", status="interrupted", reason="interrupted"))
    assert rules.of(e.TurnEnded)[0].reason == "timeout"


def test_budget_that_is_lowered_below_what_is_spent_ends_the_turn() -> None:
    rules = running({})
    rules.hear(step())
    rules.do(c.SetLimits(max_budget_usd=0.4))
    assert Interrupt() in rules.taken()


@fault("A15")
def test_turn_is_stopped_by_an_estimate_where_all_figures_are_estimates() -> None:
    load_prices()
    dear = base.Step(model="gpt-5", tokens=TokenUsage(output_tokens=1_000_000))
    for support, actions in (("estimated", [Interrupt]), ("supported", [])):
        rules = running({"cost": support}, max_budget_usd=1.0)
        rules.hear(dear)
        assert [type(action) for action in rules.taken()] == actions


def test_estimated_figure_is_marked_and_counts() -> None:
    rules = running({}, max_budget_usd=0.4)
    rules.hear(step(estimated=True))
    (usage,) = rules.of(e.Usage)
    assert (usage.estimated, usage.total_cost_usd) == (True, 0.5)
    assert [type(action) for action in rules.taken()] == [Interrupt]

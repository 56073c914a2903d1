from __future__ import annotations

from typing import Any

import pytest
from tests.support.rules import Rules, done, redirect, send

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import Conflict, NotAllowed, NotFound, SessionClosed
from midflight.rules.actions import (
    Action,
    Cancel,
    Hand,
    Interrupt,
    Kill,
    Reply,
    Requeue,
    SetModel,
    SetPermissionMode,
    StopTask,
)
from midflight.rules.turns import STOP_GRACE_S, WAKE_GRACE_S
from midflight.values import Denial, TokenUsage, Who

USER = Who(role="user", door="terminal")
PROGRAM = Who(role="program", door="library")
AGENT = Who(role="agent", door="command", session="s")


def running(*steers: str, **options: Any) -> Rules:
    """Return rules whose turn was opened by ``m``; the steers are handed over, unread."""
    rules = Rules(**options)
    rules.do(send("m"))
    rules.hear(base.Taken("m"))
    rules.do(*map(send, steers))
    rules.taken()
    return rules


def step(cost_usd: float | None = 0.1, *, main: bool = True) -> base.Step:
    return base.Step(
        model="sonnet", tokens=TokenUsage(input_tokens=1), cost_usd=cost_usd, main=main
    )


def interrupted(*messages: str) -> base.Finished:
    return done(*messages, status="interrupted", reason="interrupted")


def tool(call: str, parent: str | None = None) -> e.ToolStarted:
    return e.ToolStarted(call=call, name="Bash", kind="execute", input={}, parent=parent)


def handed(actions: list[Action]) -> list[str]:
    return [action.message for action in actions if isinstance(action, Hand)]


def states(rules: Rules) -> dict[str, str]:
    return {entry.id: entry.state for entry in rules.state.outbox}


def ends(rules: Rules) -> list[tuple[str, str]]:
    return [(event.status, event.reason) for event in rules.of(e.TurnEnded)]


@pytest.mark.parametrize(
    ("who", "typed"), [(USER, True), (PROGRAM, False), (AGENT, False), (None, False)]
)
def test_only_what_a_person_has_typed_may_be_more_than_a_text(who: Who | None, typed: bool) -> None:
    rules = Rules()
    rules.session.command(send("m"), 0.0, who)
    assert [action.typed for action in rules.taken() if isinstance(action, Hand)] == [typed]


def test_agent_does_not_change_what_a_person_has_said() -> None:
    rules = running()
    for name, who in (("user's", USER), ("agent's", AGENT)):
        rules.session.command(send(name, "queue"), 0.0, who)
    with pytest.raises(NotAllowed, match="what the user has said"):
        rules.session.command(c.Edit(message="user's", text="/config"), 0.0, AGENT)
    rules.session.command(c.Edit(message="agent's", text="/config"), 0.0, AGENT)
    rules.session.command(c.Edit(message="user's", text="other"), 0.0, USER)
    texts = {entry.id: entry.text for entry in rules.state.outbox.waiting()}
    assert texts == {"user's": "other", "agent's": "/config"}


def test_queued_messages_get_a_turn_each() -> None:
    rules = running()
    rules.do(send("a", "queue"), send("b", "queue"))
    assert rules.taken() == []
    rules.hear(done("m"))
    assert handed(rules.taken()) == ["a"]
    rules.hear(base.Taken("a"), done("a"))
    assert handed(rules.taken()) == ["b"]


def test_steer_that_is_read_is_answered_by_the_same_turn() -> None:
    rules = running("s")
    rules.hear(base.Taken("s"), done("m", "s"))
    assert states(rules) == {"m": "answered", "s": "answered"}
    assert rules.of(e.TurnEnded)[0].messages == ("m", "s")


def test_steer_that_comes_too_late_opens_the_next_turn() -> None:
    rules = running("s")
    rules.hear(done("m"), base.Taken("s"), done("s"))
    assert [event.message for event in rules.of(e.MessageStarted)] == ["m", "s"]


def test_turn_end_that_names_unread_messages_counts_them_as_read() -> None:
    rules = running("s")
    rules.hear(done("m", "s"))
    assert states(rules)["s"] == "answered"


def test_turn_end_that_is_reported_twice_is_one_end() -> None:
    rules = running("s")
    rules.hear(done("m"), base.Taken("s"), done("m"))
    assert len(rules.of(e.TurnEnded)) == 1
    rules.hear(done("s"))
    assert ends(rules) == [("completed", "end_turn")] * 2


def test_message_that_is_sent_twice_is_one_message() -> None:
    rules = running()
    rules.do(send("m"), send("a", "queue"), send("a", "queue"))
    rules.hear(done("m"))
    rules.do(send("m"))
    assert len(rules.of(e.MessageAccepted)) == 2
    with pytest.raises(Conflict, match="another text"):
        rules.do(send("a", text="other words"))


# Stopping ---------------------------------------------------------------------------------


def test_interrupt_cancels_the_turn_the_queue_and_unread_messages() -> None:
    rules = running("s")
    rules.do(send("q", "queue"), c.Interrupt())
    assert Interrupt() in rules.taken()
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert states(rules) == {"m": "cancelled", "s": "cancelled", "q": "cancelled"}
    assert rules.taken() == []


def test_interrupt_can_keep_waiting_messages() -> None:
    rules = running("s")
    rules.do(send("q", "queue"), c.Interrupt(keep_queued=True))
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert handed(rules.taken()) == ["s"]


@pytest.mark.parametrize("how", ["dropped", "died"])
def test_message_that_waits_again_is_recorded_as_requeued(how: str) -> None:
    rules = running("s", "t")
    rules.do(redirect("r"))
    rules.hear(*([base.Dropped("s"), base.Dropped("t")] if how == "dropped" else [base.Died("x")]))
    assert [action for action in rules.taken() if isinstance(action, Requeue)] == [
        Requeue("s"),
        Requeue("t"),
    ]


def test_second_of_two_stops_can_still_cancel_waiting_messages() -> None:
    rules = running("s")
    rules.do(redirect("r"), c.Interrupt())
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert states(rules) == {"m": "cancelled", "s": "cancelled", "r": "cancelled"}
    assert handed(rules.taken()) == []


def test_interrupt_while_idle_changes_nothing() -> None:
    rules = Rules()
    rules.do(c.Interrupt())
    assert (rules.events, rules.taken()) == ([], [])


def test_interrupt_stops_background_tasks() -> None:
    rules = running()
    rules.hear(e.TaskStarted(task="t"), done("m"))
    assert not rules.session.quiet
    rules.do(c.Interrupt())
    assert rules.taken() == [StopTask("t")]


def test_interrupt_cancels_an_unread_opener_and_no_turn_begins() -> None:
    rules = Rules()
    rules.do(send("m"), c.Interrupt(keep_queued=True))
    rules.hear(base.Dropped("m"))
    assert states(rules) == {"m": "cancelled"}
    assert rules.of(e.TurnStarted) == []
    assert rules.session.due() is None


def test_redirect_is_next_and_unread_messages_stay_behind_it() -> None:
    rules = running("s")
    rules.do(send("q", "queue"), redirect("r"))
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert ends(rules) == [("interrupted", "redirected")]
    assert handed(rules.taken()) == ["r"]
    assert [entry.id for entry in rules.state.outbox.held()] == ["s", "q"]


def test_redirect_can_cancel_waiting_messages() -> None:
    rules = running("s")
    rules.do(send("q", "queue"), redirect("r", drop_queued=True))
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert states(rules) == {"m": "cancelled", "s": "cancelled", "q": "cancelled", "r": "accepted"}


def test_redirect_cancels_an_earlier_one_that_has_not_started() -> None:
    rules = running()
    rules.do(redirect("r1"), redirect("r2"))
    rules.hear(interrupted("m"))
    assert states(rules)["r1"] == "cancelled"
    assert handed(rules.taken()) == ["r2"]


def test_promotion_to_now_is_a_redirect() -> None:
    rules = running()
    rules.do(send("a", "queue"), send("b", "queue"), c.Promote(message="b", delivery="now"))
    assert Interrupt() in rules.taken()
    rules.hear(interrupted("m"))
    assert handed(rules.taken()) == ["b"]


def test_turn_that_completes_despite_a_stop_is_completed() -> None:
    rules = running()
    rules.do(redirect("r"))
    rules.hear(done("m"))
    assert ends(rules) == [("completed", "end_turn")]
    assert handed(rules.taken()) == ["r"]


def test_message_sent_during_a_stop_waits_for_its_end() -> None:
    rules = running()
    rules.do(c.Interrupt(), send("a"), send("b", "queue"), c.Promote(message="b"))
    assert handed(rules.taken()) == []
    rules.hear(interrupted("m"))
    assert handed(rules.taken()) == ["b"]


def test_agent_that_ignores_an_interrupt_is_killed_again_and_again() -> None:
    rules = running()
    rules.do(c.Interrupt())
    for _ in range(2):
        rules.taken()
        rules.wait(STOP_GRACE_S)
        assert rules.taken() == [Kill()]
    rules.hear(base.Died("killed"))
    assert ends(rules) == [("interrupted", "interrupted")]


# Taking back ------------------------------------------------------------------------------


def test_message_that_was_not_handed_over_is_cancelled_at_once() -> None:
    rules = running()
    rules.do(send("q", "queue"), c.Cancel(message="q"))
    assert states(rules)["q"] == "cancelled"
    with pytest.raises(Conflict, match="already cancelled"):
        rules.do(c.Cancel(message="q"))


def test_handed_message_is_cancelled_when_the_agent_gives_it_back() -> None:
    rules = running("s")
    rules.do(c.Cancel(message="s"))
    assert rules.taken() == [Cancel("s")]
    rules.hear(base.Dropped("s"))
    assert rules.of(e.MessageCancelled)[0].reason == "cancelled"
    with pytest.raises(NotFound):
        rules.do(c.Cancel(message="x"))


@pytest.mark.parametrize("end", [base.Dropped("s"), base.Died("gone")])
def test_message_that_is_being_cancelled_does_not_wait_again(end: base.Signal) -> None:
    rules = running("s")
    rules.do(c.Cancel(message="s"), c.Interrupt(keep_queued=True))
    rules.hear(end)
    assert states(rules)["s"] == "cancelled"


def test_message_that_the_agent_keeps_is_read_and_not_cancelled() -> None:
    rules = running("s")
    rules.do(c.Cancel(message="s"))
    rules.hear(base.Kept("s"))
    assert "the agent will read it" in rules.of(e.Notice)[0].text
    rules.hear(base.Taken("s"), done("m", "s"))
    assert states(rules)["s"] == "answered"


def test_message_that_the_agent_refuses_fails() -> None:
    rules = running("s")
    rules.hear(base.Dropped("s", "agent_error"), base.Dropped("s"), base.Dropped("x"))
    assert states(rules)["s"] == "failed"
    assert rules.of(e.MessageFailed)[0].reason == "agent_error"


# Limits -----------------------------------------------------------------------------------


def test_max_turns_ends_the_turn() -> None:
    rules = running(max_turns=2)
    rules.hear(step(), step(), step(main=False))
    assert rules.taken() == []
    rules.hear(step())
    assert rules.taken() == [Interrupt()]
    rules.hear(interrupted("m"))
    assert ends(rules) == [("limit", "max_turns")]
    assert states(rules)["m"] == "failed"


def test_spent_budget_ends_the_turn_and_waiting_messages() -> None:
    rules = running(max_budget_usd=1.0, spent_usd=0.5)
    rules.do(send("q", "queue"))
    rules.hear(step(0.4))
    assert rules.taken() == []
    rules.hear(step(0.1))
    assert rules.taken() == [Interrupt()]
    rules.hear(interrupted("m"))
    assert ends(rules) == [("limit", "max_budget")]
    rules.do(send("late"))
    assert states(rules) == {"m": "failed", "q": "failed", "late": "failed"}
    assert rules.taken() == []


def test_charges_of_others_count_towards_the_budget_not_the_own_cost() -> None:
    rules = running(max_budget_usd=1.0)
    rules.do(send("q", "queue"))
    rules.hear(step(0.4))
    for usd in (0.5, 0.3, float("nan")):
        rules.session.charge(usd, rules.now)
    assert (rules.taken(), rules.state.ledger.charged_usd) == ([], 0.5)
    rules.session.charge(0.6, rules.now)
    assert rules.taken() == [Interrupt()]
    rules.hear(interrupted("m"))
    assert ends(rules) == [("limit", "max_budget")]
    assert states(rules) == {"m": "failed", "q": "failed"}
    assert rules.state.ledger.total_usd == pytest.approx(0.4)


def test_budget_spent_by_others_starts_no_turn() -> None:
    rules = Rules(max_budget_usd=1.0)
    rules.session.charge(1.0, rules.now)
    rules.do(send("late"))
    assert (states(rules), rules.taken()) == ({"late": "failed"}, [])


def test_estimate_ends_no_turn() -> None:
    rules = running(max_budget_usd=0.01)
    rules.hear(step(None))
    assert rules.taken() == []


@pytest.mark.parametrize(
    ("limit", "reason"), [({"timeout": 10.0}, "timeout"), ({"stall_timeout": 10.0}, "stalled")]
)
def test_time_limit_ends_the_turn(limit: dict[str, float], reason: str) -> None:
    rules = running(**limit)
    while not rules.stopping:
        rules.wait_until_due()
    rules.hear(interrupted("m"))
    assert ends(rules) == [("limit", reason)]
    assert rules.session.due() is None


def test_silence_is_reported_but_not_while_a_tool_runs() -> None:
    rules = running()
    rules.hear(tool("c"))
    rules.wait(1000)
    assert rules.of(e.Stalled) == []
    rules.hear(e.ToolEnded(call="c", name="Bash", status="completed"))
    rules.wait_until_due()
    assert rules.of(e.Stalled)[0].silent_s == pytest.approx(60)


def test_announced_retry_is_no_silence() -> None:
    rules = running(stall_timeout=10.0)
    rules.hear(e.Retry(attempt=1, delay_s=100))
    rules.wait(105)
    assert rules.taken() == []
    rules.wait(10)
    assert rules.taken() == [Interrupt()]


def test_unrecoverable_error_fails_the_turn_and_waiting_messages() -> None:
    rules = running("s")
    rules.do(send("q", "queue"))
    rules.hear(base.Unrecoverable("auth", "no key"))
    assert Interrupt() in rules.taken()
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert ends(rules) == [("failed", "auth")]
    assert rules.of(e.TurnEnded)[0].text == "no key"
    assert set(states(rules).values()) == {"failed"}


def test_unrecoverable_error_before_a_turn_fails_waiting_messages() -> None:
    rules = Rules()
    rules.do(send("m"), send("q", "queue"))
    rules.hear(base.Unrecoverable("auth"), base.Dropped("m"))
    assert states(rules) == {"m": "failed", "q": "failed"}


# The agent's end, and its own doing -----------------------------------------------------------


def test_death_of_the_agent_ends_all_and_the_next_message_is_handed() -> None:
    rules = running("s")
    rules.do(send("q", "queue"))
    rules.hear(
        tool("c"), e.TaskStarted(task="t", title="make"), base.Died("killed"), base.Died("again")
    )
    assert ends(rules) == [("failed", "agent_died")]
    assert set(states(rules).values()) == {"failed"}
    assert rules.of(e.TaskEnded)[0].title == "make"
    assert rules.state.status == "idle"
    rules.do(send("next"))
    assert handed(rules.taken()) == ["next"]


def test_death_of_the_agent_in_a_redirect_ends_the_turn_as_redirected() -> None:
    rules = running("s")
    rules.do(redirect("r"))
    rules.hear(base.Died("killed"))
    assert ends(rules) == [("interrupted", "redirected")]
    assert handed(rules.taken()) == ["r"]
    assert states(rules)["s"] == "accepted"


def test_agent_that_wakes_by_itself_gets_a_background_turn() -> None:
    rules = running()
    rules.hear(
        e.TaskStarted(task="t"),
        e.TaskStarted(task="t"),
        done("m"),
        e.TaskEnded(task="t", status="completed"),
        e.TaskEnded(task="t", status="completed"),
    )
    assert not rules.session.quiet
    rules.hear(base.Woke(), base.Woke(), e.Text(text="it is done"), done())
    assert rules.of(e.TurnStarted)[1].origin == "background"
    assert rules.session.quiet


@pytest.mark.parametrize("word", [True, False])
def test_task_that_does_not_wake_the_agent_leaves_the_session_quiet(word: bool) -> None:
    rules = running()
    rules.hear(e.TaskStarted(task="t"), done("m"), e.TaskEnded(task="t", status="cancelled"))
    if word:
        rules.hear(base.Idle())
    else:
        rules.wait_until_due()
        assert rules.now == 100 + WAKE_GRACE_S
    assert rules.session.quiet


def test_tools_end_with_their_turn_unless_of_a_background_agent() -> None:
    rules = running()
    rules.hear(
        tool("own"),
        tool("child", parent="own"),
        tool("background", parent="ended"),
        done("m"),
    )
    assert [event.call for event in rules.of(e.ToolEnded)] == ["own", "child"]
    assert {event.status for event in rules.of(e.ToolEnded)} == {"cancelled"}


def test_content_that_is_repeated_or_late_is_published_once() -> None:
    rules = running()
    start, end = tool("c"), e.ToolEnded(call="c", name="Bash", status="completed")
    agent = e.SessionStarted(agent="an agent")
    rules.hear(agent, start, start, end, end, start, e.ToolProgress(call="c"), agent)
    kinds = [event.type for event in rules.events[3:]]
    assert kinds == ["session.started", "tool.started", "tool.ended"]


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), -1.0])
def test_figures_of_the_agent_replace_estimates_if_they_are_sane(nonsense: float) -> None:
    rules = running()
    rules.hear(
        step(0.5),
        base.Finished(
            status="completed",
            reason="end_turn",
            cost_usd=nonsense,
            tokens=TokenUsage(input_tokens=-1, output_tokens=7),
            denials=(Denial(call="c", name="Bash"),),
        ),
    )
    ended = rules.of(e.TurnEnded)[0]
    assert (ended.cost_usd, ended.usage, ended.steps) == (0.0, TokenUsage(output_tokens=7), 1)
    assert ended.denials == (Denial(call="c", name="Bash"),)


def test_settings_are_passed_to_the_agent() -> None:
    rules = Rules()
    rules.do(c.SetModel(model="opus"), c.SetPermissionMode(mode="plan"))
    assert rules.taken() == [SetModel("opus"), SetPermissionMode("plan")]
    assert rules.session.mode == "plan"


# The end ----------------------------------------------------------------------------------


def test_close_cancels_waiting_messages_and_starts_nothing() -> None:
    rules = running("s")
    rules.do(send("q", "queue"))
    rules.begin_close()
    with pytest.raises(SessionClosed):
        rules.do(send("late"))
    rules.hear(base.Dropped("s"), interrupted("m"))
    assert handed(rules.taken()) == []
    rules.finish()
    rules.finish()
    assert rules.events[-1].type == "session.ended"
    assert rules.state.status == "closed"
    assert rules.witness.open() == {}


def test_end_of_a_session_ends_what_the_agent_left_open() -> None:
    rules = running("s")
    rules.hear(tool("c"), e.TaskStarted(task="t"))
    rules.finish()
    assert rules.witness.open() == {}
    assert ends(rules) == [("interrupted", "interrupted")]


def test_question_without_a_turn_ends_with_the_session() -> None:
    rules = Rules()
    rules.hear(e.PermissionRequested(request="r", call="c", name="Bash", input={}))
    rules.begin_close()
    rules.finish()
    assert rules.witness.open() == {}


def test_signals_after_the_end_change_nothing() -> None:
    rules = Rules()
    rules.finish()
    before = len(rules.events)
    rules.hear(base.Taken("m"), e.Text(text="late"), base.Died("late"))
    rules.wait(1000)
    assert len(rules.events) == before


def test_request_of_background_work_is_denied_when_the_turn_fails() -> None:
    rules = running()
    rules.hear(
        e.TaskStarted(task="t"),
        e.PermissionRequested(request="r", call="c", name="Bash", input={}, parent="p"),
        done("m", status="failed", reason="api_error"),
    )
    replies = [action.reply for action in rules.taken() if isinstance(action, Reply)]
    assert [(reply.request, reply.allow) for reply in replies] == [("r", False)]


def test_stop_by_a_limit_is_due_once_more_at_its_deadline() -> None:
    """The limit itself is not due again: the session would wake without an end."""
    rules = running(timeout=5.0)
    rules.wait(5.0)
    assert rules.stopping
    began = rules.now
    rules.wait_until_due()
    assert rules.now - began == pytest.approx(STOP_GRACE_S)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("", e.MessageCancelled(message="m", reason="cancelled")),
        ("agent_error", e.MessageFailed(message="m", reason="agent_error")),
    ],
    ids=["withdrawn", "refused"],
)
def test_message_that_the_agent_drops_by_itself_ends_as_reported(reason: str, end: e.Event) -> None:
    rules = Rules()
    rules.do(send("m"))
    rules.hear(base.Dropped("m", reason))
    (ended,) = rules.of(type(end))
    assert (ended.message, ended.reason) == ("m", end.reason)  # type: ignore[attr-defined]

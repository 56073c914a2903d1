"""Whatever users, agents and the clock do, in any order, the promises of a session hold."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.rules import ENDS, Rules, done, facts, fold

from midflight import commands as c
from midflight import events as e
from midflight.agents import base
from midflight.errors import MidflightError
from midflight.values import Denial, Question, TokenUsage

MESSAGES = st.sampled_from(["m0", "m1", "m2", "m3"])
REQUESTS = st.sampled_from(["r0", "r1"])
CALLS = st.sampled_from(["c0", "c1"])
TASKS = st.sampled_from(["t0", "t1"])
TEXTS = st.sampled_from(["this", "that"])
COUNTS = st.integers(-5, 50)
MONEY = st.one_of(
    st.none(),
    st.floats(-1, 2, allow_nan=False),
    st.sampled_from([float("nan"), float("inf"), float("-inf")]),
)
TOKENS = st.builds(
    TokenUsage,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cache_read_tokens=COUNTS,
    cache_write_tokens=COUNTS,
)
QUESTION = Question(question="Which?")
STATUSES: st.SearchStrategy[Any] = st.sampled_from(
    [
        ("completed", "end_turn"),
        ("interrupted", "interrupted"),
        ("limit", "max_turns"),
        ("limit", "max_budget"),
        ("limit", "usage_limit"),
        ("failed", "api_error"),
        ("failed", "auth"),
    ]
)


def limited(seconds: float | None, trying: bool) -> Callable[[Rules], None]:
    """The account's usage limit is reached, and is lifted after so many seconds."""

    def tell(rules: Rules) -> None:
        resets_at = None if seconds is None else rules.wall + seconds
        rules.hear(base.UsageLimit(resets_at=resets_at, trying=trying))
        if not trying:
            rules.hear(done(status="limit", reason="usage_limit"))

    return tell


COMMANDS: st.SearchStrategy[c.Command] = st.one_of(
    st.builds(
        c.Send, id=MESSAGES, text=TEXTS, delivery=st.sampled_from(["steer", "queue", "queue"])
    ),
    st.builds(c.Redirect, id=MESSAGES, text=TEXTS, drop_queued=st.booleans()),
    st.builds(c.Interrupt, keep_queued=st.booleans()),
    st.builds(c.Cancel, message=MESSAGES),
    st.builds(c.Edit, message=MESSAGES, text=TEXTS),
    st.builds(c.Move, message=MESSAGES, before=st.one_of(st.none(), MESSAGES)),
    st.builds(c.Promote, message=MESSAGES, delivery=st.sampled_from(["steer", "now"])),
    st.builds(
        c.Answer,
        request=REQUESTS,
        decision=st.sampled_from(["allow", "deny"]),
        answers=st.sampled_from([None, {}, {"Which?": "this"}, {"What?": "that"}]),
    ),
    st.builds(c.SetModel, model=st.just("opus")),
    st.builds(c.SetLimits, max_budget_usd=st.sampled_from([0.5, 50.0, None])),
    st.builds(
        c.SetPermissionMode, mode=st.sampled_from(["default", "dontAsk", "bypassPermissions"])
    ),
)

FINISHED = st.builds(
    lambda outcome, **rest: base.Finished(status=outcome[0], reason=outcome[1], **rest),
    STATUSES,
    cost_usd=MONEY,
    tokens=st.one_of(st.none(), TOKENS),
    messages=st.lists(MESSAGES, max_size=2).map(tuple),
    denials=st.sampled_from([(), (Denial(call="c0", name="Bash"),)]),
)
CONTENT: st.SearchStrategy[Any] = st.one_of(
    st.builds(e.SessionStarted, agent=st.just("an agent"), agent_session=TEXTS),
    st.builds(e.TextDelta, text=TEXTS),
    st.builds(e.Text, text=TEXTS),
    st.builds(
        e.ToolStarted,
        call=CALLS,
        name=st.just("Bash"),
        kind=st.just("execute"),
        input=st.just({}),
        parent=st.one_of(st.none(), CALLS),
    ),
    st.builds(e.ToolProgress, call=CALLS),
    st.builds(
        e.ToolEnded,
        call=CALLS,
        name=st.just("Bash"),
        status=st.sampled_from(["completed", "failed"]),
    ),
    st.builds(e.TaskStarted, task=TASKS),
    st.builds(e.TaskEnded, task=TASKS, status=st.just("completed")),
    st.builds(e.Retry, attempt=st.just(1), delay_s=st.floats(0, 30)),
    st.builds(
        e.PermissionRequested, request=REQUESTS, call=CALLS, name=st.just("Bash"), input=st.just({})
    ),
    st.builds(e.QuestionRequested, request=REQUESTS, questions=st.just((QUESTION,))),
)
SIGNALS: st.SearchStrategy[Any] = st.one_of(
    st.builds(base.Taken, MESSAGES),
    st.builds(base.Dropped, MESSAGES, st.sampled_from(["", "agent_error"])),
    st.builds(base.Step, model=st.just("sonnet"), tokens=TOKENS, cost_usd=MONEY),
    FINISHED,
    st.builds(base.Withdrawn, REQUESTS),
    st.builds(limited, st.sampled_from([None, -10.0, 20.0, 100.0, 1e6]), st.booleans()),
    st.sampled_from(
        [base.Up(), base.Woke(), base.Idle(), base.Unrecoverable("auth"), base.Died("gone")]
    ),
)


def read(rules: Rules) -> None:
    """Let the agent read what was handed to it."""
    for entry in rules.state.outbox.handed():
        rules.hear(base.Taken(entry.id))


def attend(attended: bool | None) -> Callable[[Rules], None]:
    def come_or_go(rules: Rules) -> None:
        rules.attended = attended
        rules.session.attendance_changed(rules.now)

    return come_or_go


def wait(seconds: float) -> Callable[[Rules], None]:
    return lambda rules: rules.wait(seconds)


def reprice(rules: Rules) -> None:
    rules.session.reprice()


OTHERS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([Rules.obey, Rules.obey, Rules.obey, reprice, Rules.begin_close, Rules.finish]),
    st.builds(attend, st.sampled_from([None, True, False])),
    st.builds(wait, st.sampled_from([0.0, 1.0, 11.0, 61.0, 700.0])),
)
# Two choices, one after the other: a single one would give each class of events the same weight.
STEPS = st.lists(
    st.sampled_from([COMMANDS, COMMANDS, st.just(read), SIGNALS, CONTENT, OTHERS]).flatmap(
        lambda steps: steps
    ),
    min_size=20,  # or most lists would be too short to get anywhere
    max_size=80,
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_turns": st.integers(1, 3),
        "max_budget_usd": st.floats(0.01, 3),
        "timeout": st.sampled_from([0.5, 50.0]),
        "stall_timeout": st.sampled_from([0.5, 50.0]),
        "request_timeout": st.sampled_from([0.5, 50.0]),
        "on_usage_limit": st.sampled_from(["wait", "fail"]),
        "max_wait": st.sampled_from([50.0, 5000.0]),
    },
)


def perform(rules: Rules, step: Any) -> None:
    if isinstance(step, c.Command):
        with contextlib.suppress(MidflightError):
            rules.do(step)
            rules.bar(step)
    elif callable(step):
        step(rules)
    else:
        rules.hear(step)


def come_to_rest(rules: Rules) -> None:
    """Answer the requests, let the agent end its turns, and wait for the reset of the limit."""
    for _ in range(20):
        for request in list(rules.state.requests.pending):
            rules.do(c.Answer(request=request, decision="deny"))
        if rules.session.engaged:
            rules.obey()
        elif rules.state.wait is None:
            return
        else:
            rules.wait(5000.0)


@pytest.mark.timeout(240)  # two hundred orders of things, also on a busy machine
@settings(
    max_examples=200,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(steps=STEPS, limits=LIMITS, spent=st.sampled_from([0.0, 1.5]), attended=st.booleans())
def test_promises_hold_in_every_interleaving(
    steps: list[Any], limits: dict[str, Any], spent: float, attended: bool
) -> None:
    rules = Rules(attended=attended or None, spent_usd=spent, **limits)
    for step in steps:
        perform(rules, step)
        if rules.stopping:
            assert rules.session.due() is not None
    assert facts(rules.state) == facts(fold(rules.events, spent))
    if rules.state.ended is None and not rules.closing:
        come_to_rest(rules)
        assert not rules.state.outbox.handed()
        assert not rules.state.busy
    rules.finish()
    assert rules.witness.open() == {}
    assert rules.session.due() is None
    assert facts(rules.state) == facts(fold(rules.events, spent))
    before = len(rules.events)
    for step in steps:
        perform(rules, step)
    assert len(rules.events) == before
    accepted = [event.message for event in rules.of(e.MessageAccepted)]
    assert sorted(accepted) == sorted(event.message for event in rules.of(*ENDS))

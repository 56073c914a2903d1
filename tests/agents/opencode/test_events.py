"""What OpenCode's events mean: turns by ids, ends once, texts when they are final."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.opencode_events import (
    Told,
    delta,
    failed,
    frame,
    idle,
    message,
    part,
    permission,
    status,
    step_finish,
    text,
    tool,
)

from midflight import events as e
from midflight.agents.base import (
    Calling,
    Dropped,
    Finished,
    Step,
    Taken,
    UsageLimit,
    Withdrawn,
    Woke,
)
from midflight.agents.opencode.content import USAGE_LIMIT_S


def answer(number: int, parent: int, said: str = "done", finish: str = "stop") -> list[Any]:
    return [
        status("busy"),
        message(number, parent),
        text(number, said),
        step_finish(number),
        message(number, parent, finish=finish),
    ]


def ends(told: Told) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(end.status, end.reason, end.messages) for end in told.of(Finished)]


# Turns ------------------------------------------------------------------------------------


def test_message_opens_a_turn_that_ends_when_the_session_rests() -> None:
    told = Told(1)
    told.hear(*answer(2, 1))
    assert told.kinds() == ["Taken", "Text", "Step"]
    told.hear(idle())
    assert ends(told) == [("completed", "end_turn", ("m1",))]
    assert told.of(Finished)[0].text == "done"


@fault("A10")
def test_end_that_is_seen_twice_is_one_end() -> None:
    told = Told(1)
    told.hear(*answer(2, 1), status("idle"), idle(), status("idle"), idle())
    assert len(told.of(Finished)) == 1


def test_message_that_is_read_between_two_steps_joins_the_turn() -> None:
    told = Told(1, 3)
    told.hear(*answer(2, 1, finish="tool-calls"), *answer(4, 3), idle())
    assert [taken.message for taken in told.of(Taken)] == ["m1", "m3"]
    assert ends(told) == [("completed", "end_turn", ("m1", "m3"))]


def test_next_model_call_is_reported_when_the_one_before_has_ended() -> None:
    told = Told(1)
    told.hear(*answer(2, 1, finish="tool-calls"), message(2, 1, finish="tool-calls"))
    assert told.kinds()[-1] == Calling.__name__
    told.hear(*answer(4, 1), idle())
    assert len(told.of(Calling)) == 1


def test_turn_that_a_refusal_has_ended_is_not_interrupted() -> None:
    told = Told(1)
    told.hear(*answer(2, 1, finish="tool-calls"), idle())
    assert ends(told) == [("completed", "end_turn", ("m1",))]


def test_message_that_will_never_be_read_fails() -> None:
    told = Told(1)
    told.signals += told.translate.lose()
    assert told.of(Dropped) == [Dropped("m1", "agent_error")]
    assert told.translate.unread == {}


def test_error_of_a_provider_has_no_key_in_it() -> None:
    told = Told(1)
    error = {"name": "APIError", "data": {"message": "bad key sk-secret", "statusCode": 401}}
    retry = status("retry", attempt=1, message="sk-secret is slow", next=0)
    told.hear(status("busy"), message(2, 1), retry, message(2, 1, error=error), idle())
    assert "sk-secret" not in str(told.signals)
    assert told.of(Finished)[0].text == "bad key [redacted]"


def test_call_id_that_a_model_uses_twice_is_two_calls() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), tool(2, "call", "running", input={"command": "ls"}))
    told.hear(tool(2, "call", "completed"), message(2, 1, finish="tool-calls"), message(4, 1))
    told.hear(tool(4, "call", "running", input={"command": "rm -rf src"}), permission(4, "per"))
    assert [each.call for each in told.of(e.ToolStarted)] == ["call", "msg_4/call"]
    (asked,) = told.of(e.PermissionRequested)
    assert (asked.call, asked.input) == ("msg_4/call", {"command": "rm -rf src"})


def test_abort_between_two_model_calls_is_an_interrupt() -> None:
    told = Told(1)
    told.translate.stopping = True
    told.hear(*answer(2, 1, finish="tool-calls"), idle())
    assert ends(told) == [("interrupted", "interrupted", ("m1",))]


def test_message_that_is_read_after_the_answer_has_a_turn_of_its_own() -> None:
    told = Told(1, 3)
    told.hear(*answer(2, 1, "one"), *answer(4, 3, "two"), idle())
    assert ends(told) == [
        ("completed", "end_turn", ("m1",)),
        ("completed", "end_turn", ("m3",)),
    ]
    assert [end.text for end in told.of(Finished)] == ["one", "two"]


def test_message_that_was_not_read_stays_with_the_agent() -> None:
    told = Told(1, 5)
    told.hear(*answer(2, 1), idle())
    assert told.translate.unread == {"msg_5": "m5"}


def test_turn_that_the_agent_begins_is_reported() -> None:
    told = Told()
    told.hear(*answer(2, 1))
    assert told.kinds()[0] == Woke.__name__


def test_abort_ends_the_turn_when_its_message_has_ended_and_not_before() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), delta(2, "wel"), failed("MessageAbortedError"))
    told.hear(status("idle"), idle())
    assert told.of(Finished) == []
    assert told.translate.unsettled
    told.hear(message(2, 1, error={"name": "MessageAbortedError"}), status("idle"), idle())
    assert ends(told) == [("interrupted", "interrupted", ("m1",))]


@fault("A10")
def test_second_rest_of_an_abort_does_not_end_the_next_turn() -> None:
    told = Told(1)
    aborted = message(2, 1, error={"name": "MessageAbortedError"})
    told.hear(status("busy"), message(2, 1), idle(), aborted)
    told.hand(3)
    told.hear(idle(), status("busy"), message(4, 3), message(4, 3, finish="tool-calls"))
    assert len(told.of(Finished)) == 1


def test_abort_in_a_back_off_leaves_no_error_and_is_an_interrupt() -> None:
    told = Told(1)
    retry = status("retry", attempt=1, message="Overloaded", next=0)
    ended = message(2, 1)
    ended["properties"]["info"]["time"]["completed"] = 2
    told.hear(status("busy"), message(2, 1), retry, idle(), ended)
    told.signals += told.translate.settle()
    assert ends(told) == [("interrupted", "interrupted", ("m1",))]


def test_rest_that_the_server_confirms_ends_the_turn_once() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1))
    for _ in range(2):
        told.signals += told.translate.settle()
    assert ends(told) == [("interrupted", "interrupted", ("m1",))]


@fault("A10")
def test_events_after_the_end_of_their_turn_are_not_reported() -> None:
    told = Told(1)
    told.hear(*answer(2, 1), idle())
    assert told.hear(text(2, "late", id="prt_late"), message(2, 1, finish="stop")) == []


def test_message_that_was_taken_back_opens_no_turn() -> None:
    told = Told(1)
    assert told.translate.withdraw("msg_1") == "m1"
    assert told.hear(*answer(2, 1)) == []


def test_earlier_part_of_the_conversation_is_not_reported_again() -> None:
    told = Told(3, since="msg_2")
    assert told.hear(message(2, 1), text(2, "old"), message(2, 1, finish="stop")) == []
    told.hear(*answer(4, 3), idle())
    assert ends(told) == [("completed", "end_turn", ("m3",))]


# Failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"name": "APIError", "data": {"message": "no", "statusCode": 400}}, "api_error"),
        ({"name": "APIError", "data": {"message": "no", "statusCode": 401}}, "auth"),
        ({"name": "APIError", "data": {"message": "no: prompt is too long"}}, "context_full"),
        ({"name": "ProviderAuthError", "data": {"message": "no"}}, "auth"),
        ({"name": "ContextOverflowError", "data": {"message": "no"}}, "context_full"),
        ({"name": "MessageOutputLengthError", "data": {"message": "no"}}, "max_tokens"),
        ({"name": "SomethingNew", "data": {"message": "no"}}, "agent_error"),
    ],
)
def test_error_of_the_message_is_the_end_of_its_turn(error: Any, reason: str) -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), message(2, 1, error=error), idle())
    assert ends(told) == [("failed", reason, ("m1",))]
    assert told.of(Finished)[0].text.startswith("no")


@pytest.mark.parametrize(
    ("finish", "reason"), [("length", "max_tokens"), ("content-filter", "refusal")]
)
def test_answer_that_was_cut_or_refused_is_no_success(finish: str, reason: str) -> None:
    told = Told(1)
    told.hear(*answer(2, 1, finish=finish), idle())
    assert ends(told) == [("failed", reason, ("m1",))]


def test_error_between_two_steps_is_the_end_of_the_turn() -> None:
    told = Told(1)
    told.hear(*answer(2, 1, finish="tool-calls"), failed("UnknownError", message="broken"), idle())
    assert ends(told) == [("failed", "agent_error", ("m1",))]


def test_error_before_anything_was_read_fails_the_message_at_once() -> None:
    told = Told(1)
    told.hear(failed("UnknownError", message="no such model"))
    (notice,) = told.of(e.Notice)
    assert "no such model" in notice.text
    assert told.of(Dropped) == [Dropped("m1", "agent_error")]


# Content ----------------------------------------------------------------------------------


def test_text_is_reported_when_the_model_has_passed_it() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), part(2, "text", text=""), delta(2, "he"))
    told.hear(text(2, "hello"))
    assert told.texts == []
    told.hear(tool(2, "call", "running"))
    assert told.kinds()[-2:] == ["Text", "ToolStarted"]


@fault("M3")
@pytest.mark.parametrize("seconds", [USAGE_LIMIT_S - 5, USAGE_LIMIT_S + 5])
def test_pause_of_minutes_is_the_agents_and_one_of_hours_the_accounts(
    seconds: float,
) -> None:
    told = Told(1)
    again = time.time() + seconds
    told.hear(status("busy"), message(2, 1))
    told.hear(status("retry", attempt=1, message="limited", next=again * 1000))
    limits = told.of(UsageLimit)
    assert len(told.of(e.Retry)) == (seconds < USAGE_LIMIT_S)
    assert [(limit.text, limit.trying) for limit in limits] == [("limited", True)] * (
        seconds > USAGE_LIMIT_S
    )
    assert all(limit.resets_at == pytest.approx(again, abs=1) for limit in limits)


def test_retry_voids_the_text_and_the_repeated_one_is_reported_once() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), delta(2, "hello"), text(2, "hello", id="prt_a"))
    told.hear(status("retry", attempt=1, message="Overloaded", next=0))
    told.hear(text(2, "hello", id="prt_a"), text(2, "hello", id="prt_b"), step_finish(2))
    assert told.texts == ["hello"]
    (retry,) = told.of(e.Retry)
    assert (retry.attempt, retry.delay_s, retry.error) == (1, 0.0, "Overloaded")


def test_thinking_is_kept_apart_from_text() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), part(2, "reasoning", text=""))
    told.hear(delta(2, "hm", kind="reasoning"))
    told.hear(part(2, "reasoning", text="hm", time={"end": 2}), step_finish(2))
    assert [type(each) for each in told.signals[1:3]] == [e.ThinkingDelta, e.Thinking]


def test_tool_call_is_reported_once_from_its_start_to_its_end() -> None:
    told = Told(1)
    outputs = [{"output": "a"}, {"output": "ab"}]
    told.hear(status("busy"), message(2, 1), tool(2, "call", "pending"))
    told.hear(*(tool(2, "call", "running", metadata=each) for each in outputs))
    told.hear(*(tool(2, "call", "completed", output="abc") for _ in range(2)))
    told.hear(tool(2, "call", "running"))
    assert [(each.name, each.kind) for each in told.of(e.ToolStarted)] == [("bash", "execute")]
    assert [each.text for each in told.of(e.ToolProgress)] == ["a", "b"]
    assert [(each.status, each.output) for each in told.of(e.ToolEnded)] == [("completed", "abc")]


def test_call_that_failed_says_why() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), tool(2, "call", "error", error="no such file"))
    (ended,) = told.of(e.ToolEnded)
    assert (ended.status, ended.output) == ("failed", "no such file")


def test_step_has_its_tokens_and_its_cost() -> None:
    told = Told(1)
    told.hear(*answer(2, 1))
    (step,) = told.of(Step)
    assert (step.model, step.cost_usd, step.main, step.estimated) == (
        "anthropic/plum",
        0.5,
        True,
        False,
    )
    assert (step.tokens.output_tokens, step.tokens.cache_read_tokens) == (6, 3)


def test_call_that_was_broken_off_is_estimated_by_what_was_streamed() -> None:
    told = Told(1)
    told.hear(*answer(2, 1, finish="tool-calls"), message(3, 1), delta(3, "x" * 40))
    told.hear(message(3, 1, error={"name": "MessageAbortedError"}), idle())
    whole, cut = told.of(Step)
    assert whole.main
    assert (cut.main, cut.estimated, cut.cost_usd) == (False, True, 0.1)
    assert cut.tokens.output_tokens == 10
    assert cut.tokens.input_tokens == 21  # what the call before had in its context


def test_plan_is_reported() -> None:
    told = Told(1)
    todos = [{"id": "1", "content": "look", "status": "pending", "priority": "high"}]
    told.hear(frame("todo.updated", sessionID="ses_main", todos=todos))
    assert [entry.text for entry in told.of(e.Plan)[0].entries] == ["look"]


# Sub-agents -------------------------------------------------------------------------------


def below(told: Told) -> None:
    """Begin a turn whose task tool has a session of its own."""
    told.hear(status("busy"), message(2, 1))
    created = {"id": "ses_child", "parentID": "ses_main"}
    told.hear(frame("session.created", sessionID="ses_child", info=created))


def test_sub_agents_events_name_their_call_also_before_it_is_known() -> None:
    told = Told(1)
    below(told)
    told.hear(text(7, "from below", "ses_child"), tool(7, "inner", "running", "ses_child"))
    assert told.texts == []
    told.hear(tool(2, "outer", "running", metadata={"sessionId": "ses_child"}))
    told.hear(step_finish(7, "ses_child", cost=0.25))
    assert [(each.call, each.parent) for each in told.of(e.ToolStarted)] == [
        ("outer", None),
        ("inner", "outer"),
    ]
    assert told.of(e.Text)[0].parent == "outer"
    assert [(step.main, step.cost_usd) for step in told.of(Step)] == [(False, 0.25)]


def test_rest_of_a_sub_agent_is_not_the_end_of_the_turn() -> None:
    told = Told(1)
    below(told)
    told.hear(tool(2, "outer", "running", metadata={"sessionId": "ses_child"}))
    told.hear(status("idle", "ses_child"), idle("ses_child"))
    assert told.of(Finished) == []


def test_sub_agents_request_is_asked_with_its_call() -> None:
    told = Told(1)
    below(told)
    told.hear(tool(2, "outer", "running", metadata={"sessionId": "ses_child"}))
    told.hear(tool(7, "call", "running", "ses_child"), permission(7, "per_1", "ses_child"))
    (asked,) = told.of(e.PermissionRequested)
    assert (asked.request, asked.call, asked.parent) == ("per_1", "call", "outer")


def test_events_of_other_sessions_are_ignored() -> None:
    told = Told(1)
    others = [message(2, 1, "ses_other"), text(2, "x", "ses_other"), delta(2, "x", "ses_other")]
    assert told.hear(*others, idle("ses_other"), permission(2, "p", "ses_other")) == []


# Requests ---------------------------------------------------------------------------------


def test_request_has_the_name_and_the_input_of_its_call_and_comes_once() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), tool(2, "call", "running"))
    told.hear(permission(2, "per_1"), permission(2, "per_1"))
    (asked,) = told.of(e.PermissionRequested)
    assert (asked.name, asked.input, asked.call) == ("bash", {"command": "ls"}, "call")


def test_request_outside_the_folder_says_where() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), tool(2, "call", "running"))
    told.hear(permission(2, "p", permission="external_directory", patterns=["/etc/*"]))
    assert told.of(e.PermissionRequested)[0].reason == "outside the folder: /etc/*"


def test_request_that_the_options_decide_is_not_reported() -> None:
    told = Told(1, decided="allow")
    told.hear(status("busy"), message(2, 1), permission(2, "per_1"))
    assert told.of(e.PermissionRequested) == []
    assert told.asked[0].patterns == ["ls"]


def test_call_that_the_options_refuse_is_among_the_denials_of_its_turn() -> None:
    told = Told(1, decided="deny")
    told.hear(status("busy"), message(2, 1), permission(2, "per_1"), message(2, 1, finish="stop"))
    told.hear(idle())
    (denial,) = told.of(Finished)[0].denials
    assert (denial.call, denial.reason) == ("call", "the reason")


@fault("A10")
def test_request_that_an_ended_turn_left_behind_is_not_asked() -> None:
    told = Told(1)
    told.hear(*answer(2, 1), idle())
    told.hand(3)
    told.hear(status("busy"), message(4, 3))
    assert told.hear(permission(2, "stale")) == []


def test_request_that_another_client_answered_is_withdrawn() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), permission(2, "per_1"))
    replied = frame("permission.replied", sessionID="ses_main", requestID="per_1", reply="once")
    assert told.hear(replied) == [Withdrawn("per_1")]


def test_question_is_asked_with_its_options() -> None:
    told = Told(1)
    options = [{"label": "Blue", "description": "sky"}]
    asked = [{"question": "Which?", "header": "Colour", "multiple": True, "options": options}]
    told.hear(status("busy"), message(2, 1))
    told.hear(frame("question.asked", id="que_1", sessionID="ses_main", questions=asked))
    (question,) = told.of(e.QuestionRequested)[0].questions
    assert (question.multiple, question.options[0].label) == (True, "Blue")


def test_text_before_a_question_is_reported_before_it() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1), text(2, "One more thing."))
    told.hear(frame("question.asked", id="que_1", sessionID="ses_main", questions=[]))
    assert told.kinds()[-2:] == ["Text", "QuestionRequested"]


# The unknown ------------------------------------------------------------------------------


@fault("A8")
@pytest.mark.parametrize(
    "odd",
    [
        frame("session.something.new", sessionID="ses_main"),
        frame("message.updated", info={"role": "assistant"}),
        frame("message.part.updated", part="text"),
        frame("session.status", sessionID="ses_main", status={"type": "retry"}),
        {"type": "session.idle"},
        {"type": None},
    ],
)
def test_unknown_or_broken_updates_are_kept_and_the_turn_continues(odd: Any) -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1))
    assert told.hear(odd) == [e.Raw(data=odd)]
    told.hear(message(2, 1, finish="stop"), idle())
    assert ends(told) == [("completed", "end_turn", ("m1",))]


# Compaction -------------------------------------------------------------------------------


def test_summary_of_a_compaction_is_no_text_of_the_agent() -> None:
    """OpenCode writes it as a message of its own; the turn goes on from it."""
    told = Told(1)
    told.hear(
        status("busy"),
        message(2, 1, finish="tool-calls"),
        message(4, 3, summary=True),
        delta(4, "## Goal"),
        text(4, "## Goal: go on"),
        step_finish(4),
        message(4, 3, summary=True, finish="stop"),
        *answer(6, 5),
        idle(),
    )
    assert told.texts == ["done"]
    assert told.of(e.TextDelta) == []
    assert len(told.of(Step)) == 2
    assert [notice.level for notice in told.of(e.Notice)] == ["info"]
    assert ends(told) == [("completed", "end_turn", ("m1",))]


def test_message_that_comes_while_a_summary_is_made_ends_no_turn() -> None:
    told = Told(1)
    told.hear(status("busy"), message(2, 1, finish="tool-calls"))
    told.hear(message(4, 3, summary=True), message(4, 3, summary=True, finish="stop"))
    told.hand(5)
    told.hear(*answer(6, 5), idle())
    assert ends(told) == [("completed", "end_turn", ("m1", "m5"))]


def test_answer_that_is_begun_after_a_stop_is_no_answer() -> None:
    """An abort that meets a sub-agent ends that alone once in a while; it is aborted again."""
    told = Told(1)
    told.hear(status("busy"), message(2, 1))
    told.translate.stopping = True
    told.hear(message(2, 1, finish="tool-calls"))
    told.signals.clear()
    told.hear(message(3, 1))
    assert told.kinds() == ["Calling"]  # at which the driver aborts
    told.hear(text(3, "and yet"), step_finish(3), message(3, 1, finish="stop"), idle())
    assert ends(told) == [("interrupted", "interrupted", ("m1",))]

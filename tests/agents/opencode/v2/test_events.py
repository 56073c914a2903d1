"""OpenCode 2's events as signals, in the names of the preview and of stable 2.x."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

from midflight import events as e
from midflight.agents.base import Dropped, Finished, Signal, Taken, Woke
from midflight.agents.opencode.permissions import Verdict
from midflight.agents.opencode.v2.content import form_answer, outcome
from midflight.agents.opencode.v2.events import NEVER_RUN, EventTranslator
from midflight.agents.opencode.v2.names import PREVIEW, STABLE, Names

MAIN = "ses_main"


class Told:
    """A translator, its events numbered, and what it has said."""

    def __init__(self, names: Names, *unread: str) -> None:
        self.translate = EventTranslator(
            MAIN, names, lambda *_: 0.0, lambda *_: Verdict("ask"), str, directory=Path("/work")
        )
        self.translate.unread = {known: f"m-{known}" for known in unread}
        self.frames: list[dict[str, Any]] = []

    def hear(self, kind: str, **data: Any) -> list[Signal]:
        whole = {"sessionID": MAIN, "assistantMessageID": "msg_a", **data}
        number = {"durable": {"seq": len(self.frames) + 1}}
        self.frames.append({"type": kind, "data": whole, **number})
        return self.translate(self.frames[-1])


def kinds(signals: list[Signal]) -> list[type[Signal]]:
    return [type(signal) for signal in signals]


@fault("A10")
def test_event_that_comes_again_from_the_log_is_told_once() -> None:
    told = Told(STABLE, "p1")
    assert kinds(told.hear("session.inbox.delivered", inboxID="p1")) == [Taken]
    told.hear("session.step.started", model={})
    told.hear("session.tool.input.started", id="c1", name="shell")
    (started,) = told.hear("session.tool.called", id="c1", input={"command": "ls"})
    assert isinstance(started, e.ToolStarted)
    assert [signal for frame in told.frames for signal in told.translate(frame)] == []


@pytest.mark.parametrize(
    ("names", "delivered", "field"),
    [
        (PREVIEW, "session.next.prompted", "messageID"),
        (STABLE, "session.input.promoted", "inputID"),
        (STABLE, "session.inbox.delivered", "inboxID"),
    ],
)
def test_prompt_behind_a_last_step_has_a_turn_of_its_own(
    names: Names, delivered: str, field: str
) -> None:
    told = Told(names, "p1", "p2", "p3")
    infix = "next." if names is PREVIEW else ""
    told.hear(delivered, **{field: "p1"})
    told.hear(f"session.{infix}step.started", model={})
    told.hear(f"session.{infix}step.ended", finish="tool-calls")
    assert kinds(told.hear(delivered, **{field: "p2"})) == [Taken]
    told.hear(f"session.{infix}step.started", model={})
    assert Finished not in kinds(told.hear(f"session.{infix}step.ended", finish="stop"))
    ended, taken = told.hear(delivered, **{field: "p3"})
    assert isinstance(ended, Finished)
    assert (ended.status, ended.messages) == ("completed", ("m-p1", "m-p2"))
    assert taken == Taken("m-p3")


def test_prompt_that_was_taken_back_and_runs_alone_is_unwanted() -> None:
    told = Told(PREVIEW, "p1", "p2")
    told.translate.withdraw("p1")
    told.hear("session.next.prompted", messageID="p1")
    assert told.translate.unwanted
    assert kinds(told.hear("session.next.step.started", model={})) == [Woke]
    again = Told(PREVIEW, "p1", "p2")
    again.translate.withdraw("p1")
    again.hear("session.next.prompted", messageID="p1")
    again.hear("session.next.prompted", messageID="p2")
    assert not again.translate.unwanted


@fault("A10")
def test_end_of_a_run_that_was_seen_already_is_no_second_end() -> None:
    told = Told(STABLE, "p1")
    told.hear("session.inbox.delivered", inboxID="p1")
    told.hear("session.step.started", model={})
    told.hear("session.step.ended", finish="stop")
    assert kinds(told.hear("session.execution.succeeded")) == [Finished]
    assert told.hear("session.execution.interrupted", reason="user") == []


@fault("A8")
def test_unknown_events_and_broken_ones_are_shown_raw() -> None:
    told = Told(STABLE)
    for kind in ("session.something.new", "somebody.else", "permission.asked"):
        told.translate.unread = {"p1": "m"}
        told.hear("session.inbox.delivered", inboxID="p1")
        assert kinds(told.hear(kind)) == [e.Raw]
    assert told.hear("server.heartbeat") == []


def test_text_is_final_when_its_call_has_ended_and_late_pieces_are_dropped() -> None:
    told = Told(PREVIEW, "p1")
    told.hear("session.next.prompted", messageID="p1")
    told.hear("session.next.step.started", model={})
    (piece,) = told.hear("session.next.reasoning.delta", reasoningID="r", delta="hm")
    assert isinstance(piece, e.ThinkingDelta)
    assert told.hear("session.next.reasoning.ended", reasoningID="r", text="hm") == []
    assert told.hear("session.next.reasoning.delta", reasoningID="r", delta="m") == []
    told.hear("session.next.text.ended", textID="t", text="here")
    final = told.hear("session.next.step.ended", finish="stop")
    assert [(type(each), each.text) for each in final if isinstance(each, e.Thinking | e.Text)] == [
        (e.Thinking, "hm"),
        (e.Text, "here"),
    ]


def test_tool_that_fails_is_told_once_with_its_reason_and_its_output() -> None:
    told = Told(STABLE, "p1")
    told.hear("session.inbox.delivered", inboxID="p1")
    told.hear("session.step.started", model={})
    told.hear("session.tool.input.started", id="c1", name="shell")
    told.hear("session.tool.called", id="c1", input={"command": "make"})
    out = {"content": [{"type": "text", "text": "cc"}]}
    (progress,) = told.hear("session.tool.progress", id="c1", **out)
    assert isinstance(progress, e.ToolProgress)
    assert told.hear("session.tool.progress", id="c1", **out) == []
    (end,) = told.hear("session.tool.failed", id="c1", error={"message": "exit 2"})
    assert isinstance(end, e.ToolEnded)
    assert (end.status, end.output) == ("failed", "exit 2")
    assert told.hear("session.tool.failed", id="c1", error={"message": "exit 2"}) == []


def test_prompt_whose_call_never_begins_fails_its_turn_with_a_sentence() -> None:
    told = Told(PREVIEW, "p1", "p2")
    told.hear("session.next.prompted", messageID="p1")
    (ended,) = told.translate.settle()
    assert isinstance(ended, Finished)
    assert (ended.status, ended.reason, ended.text) == ("failed", "agent_error", NEVER_RUN)
    assert kinds(list(told.translate.lose())) == [e.Notice, Dropped]
    assert list(told.translate.lose()) == list(told.translate.settle()) == []


def test_sub_agents_events_wait_until_it_is_known_whose_they_are() -> None:
    told = Told(STABLE, "p1")
    told.hear("session.inbox.delivered", inboxID="p1")
    told.hear("session.step.started", model={})
    told.hear("session.tool.input.started", id="c1", name="subagent")
    told.hear("session.tool.called", id="c1", input={})
    told.translate({"type": "session.created", "data": {"sessionID": "kid", "parentID": MAIN}})
    about = {"sessionID": "kid", "assistantMessageID": "msg_k"}
    early = {"type": "session.tool.input.started", "data": {**about, "id": "c2", "name": "shell"}}
    call = {"type": "session.tool.called", "data": {**about, "id": "c2", "input": {}}}
    assert told.translate(early) == told.translate(call) == []
    (started,) = told.hear("session.tool.progress", id="c1", metadata={"sessionID": "kid"})
    assert isinstance(started, e.ToolStarted)
    assert (started.name, started.parent) == ("shell", "c1")


@pytest.mark.parametrize(
    "kind",
    ["step.started", "step.ended", "text.delta", "text.ended", "tool.called", "tool.failed"],
)
def test_events_of_a_session_that_is_nobodys_mean_nothing(kind: str) -> None:
    told = Told(STABLE, "p1")
    told.hear("session.inbox.delivered", inboxID="p1")
    assert told.hear(f"session.{kind}", sessionID="other", delta="x", text="x", id="c") == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        ({"type": "aborted", "message": "Step interrupted"}, "interrupted"),
        ({"message": "Provider turn interrupted"}, "interrupted"),
        ({"type": "provider.unknown", "message": "the line was interrupted"}, "failed"),
    ],
)
def test_only_the_servers_own_word_for_a_stop_is_one(error: dict[str, str], status: str) -> None:
    assert outcome("", error)[0] == status


def test_answer_in_a_form_has_the_type_of_its_field() -> None:
    types = {"integer": "3", "number": "0.5", "boolean": "Yes", "string": "3"}
    fields = [{"key": kind, "title": kind, "type": kind} for kind in types]
    assert form_answer({"fields": fields}, dict(types)) == {
        "integer": 3,
        "number": 0.5,
        "boolean": True,
        "string": "3",
    }
    whole = {"fields": fields[:1]}
    assert form_answer(whole, {"integer": "three"}) == {"integer": "three"}
    assert form_answer(whole, {}) == {}

"""OpenCode 2's events as signals, in the names of the preview and of stable 2.x."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midflight import events as e
from midflight.agents.base import Finished, Signal, Taken, Woke
from midflight.agents.opencode.permissions import Verdict
from midflight.agents.opencode.v2.events import EventTranslator
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


def test_end_of_a_run_that_was_seen_already_is_no_second_end() -> None:
    told = Told(STABLE, "p1")
    told.hear("session.inbox.delivered", inboxID="p1")
    told.hear("session.step.started", model={})
    told.hear("session.step.ended", finish="stop")
    assert kinds(told.hear("session.execution.succeeded")) == [Finished]
    assert told.hear("session.execution.interrupted", reason="user") == []


def test_unknown_events_and_broken_ones_are_shown_raw() -> None:
    told = Told(STABLE)
    for kind in ("session.something.new", "somebody.else", "permission.asked"):
        told.translate.unread = {"p1": "m"}
        told.hear("session.inbox.delivered", inboxID="p1")
        assert kinds(told.hear(kind)) == [e.Raw]
    assert told.hear("server.heartbeat") == []

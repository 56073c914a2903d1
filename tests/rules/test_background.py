from __future__ import annotations

from typing import Any

import pytest
from tests.support.rules import EPOCH, Rules, done, send

from midflight import events as e
from midflight.agents import base
from midflight.rules.actions import Kill, StopTask
from midflight.rules.background import BACKGROUND_TIMEOUT_S, SAY_AFTER_S, STOP_GRACE_S

SERVER = e.TaskStarted(task="t", title="python3 -m http.server", time=EPOCH)


def serving(*, awaited: bool = True, attended: bool | None = False, **options: Any) -> Rules:
    """Return rules whose turn has ended and has left a server."""
    rules = Rules(attended=attended, **options)
    rules.awaited = awaited
    rules.do(send("m"))
    rules.hear(base.Taken("m"), SERVER, done("m"))
    rules.taken()
    return rules


def said(rules: Rules) -> list[str]:
    return [event.text for event in rules.of(e.Notice)]


def test_what_is_waited_for_is_told_by_name_and_age() -> None:
    rules = serving()
    rules.wait_until_due()
    (text,) = said(rules)
    assert "waiting for background work: python3 -m http.server (for " in text
    assert "stopped in 595 s" in text
    rules.wait(1)
    assert len(said(rules)) == 1
    assert rules.taken() == []


def test_silent_background_work_is_stopped_in_time() -> None:
    rules = serving()
    rules.wait(SAY_AFTER_S)
    rules.wait(BACKGROUND_TIMEOUT_S - SAY_AFTER_S - 0.1)
    assert rules.taken() == []
    rules.wait_until_due()
    assert rules.taken() == [StopTask("t")]
    assert said(rules)[-1].startswith("background work is stopped: python3 -m http.server")
    rules.hear(e.TaskEnded(task="t", status="cancelled"))
    rules.wait_until_due()  # the agent may be woken by its end
    assert rules.session.quiet
    assert rules.session.due() is None


def test_sign_of_life_gives_background_work_its_time_anew() -> None:
    rules = serving(background_timeout=20)
    rules.wait(19)
    rules.hear(e.Text(text="a sub-agent speaks", parent="call"))
    rules.wait(19)
    assert rules.taken() == []
    rules.wait(1)
    assert rules.taken() == [StopTask("t")]


def test_open_call_of_a_background_agent_is_waited_for() -> None:
    rules = serving(background_timeout=20)
    rules.hear(e.ToolStarted(call="c", name="Bash", kind="execute", input={}, parent="agent"))
    assert rules.session.due() is None
    rules.wait(100)
    rules.hear(e.ToolEnded(call="c", name="Bash", status="completed", parent="agent"))
    rules.wait(20)
    assert rules.taken() == [StopTask("t")]


@pytest.mark.parametrize(
    ("awaited", "attended"),
    [(False, None), (True, True)],
    ids=["nobody waits", "a person is there"],
)
def test_without_the_option_only_who_waits_alone_is_bounded(
    awaited: bool, attended: bool | None
) -> None:
    rules = serving(awaited=awaited, attended=attended)
    assert rules.session.due() is None
    rules.wait(10 * BACKGROUND_TIMEOUT_S)
    assert rules.taken() == []
    assert said(rules) == []


def test_option_bounds_background_work_that_nobody_waits_for() -> None:
    rules = serving(awaited=False, attended=True, background_timeout=30)
    rules.wait(30)
    assert rules.taken() == [StopTask("t")]


def test_time_counts_from_when_somebody_begins_to_wait() -> None:
    rules = serving(awaited=False)
    rules.now += 10 * BACKGROUND_TIMEOUT_S
    rules.awaited = True
    rules.session.await_quiet(rules.now)
    rules.wait(BACKGROUND_TIMEOUT_S - 1)
    assert rules.taken() == []
    rules.wait(1)
    assert rules.taken() == [StopTask("t")]


def test_agent_that_does_not_stop_its_background_work_is_killed() -> None:
    rules = serving(background_timeout=20)
    rules.wait(20)
    rules.taken()
    rules.wait(STOP_GRACE_S)
    assert rules.taken() == [Kill(waited=True)]
    rules.hear(base.Died("killed"))
    assert rules.session.quiet
    assert [event.status for event in rules.of(e.TaskEnded)] == ["cancelled"]


def test_background_work_begun_anew_after_a_stop_has_no_time() -> None:
    """A server that the agent starts again whenever it is stopped would hold the run for ever."""
    rules = serving(background_timeout=20)
    rules.wait(20)
    again = SERVER.__class__(task="u", title="the same", time=EPOCH)
    rules.hear(e.TaskEnded(task="t", status="cancelled"), base.Woke(), again, done())
    assert rules.taken() == [StopTask("t"), StopTask("u")]
    assert "begun it anew" in said(rules)[-1]


def test_message_gives_what_it_begins_its_own_time() -> None:
    rules = serving(background_timeout=20)
    rules.wait(20)
    rules.hear(e.TaskEnded(task="t", status="cancelled"))
    rules.do(send("n"))
    rules.hear(base.Taken("n"), SERVER.__class__(task="u", title="new", time=EPOCH), done("n"))
    rules.taken()
    rules.wait(19)
    assert rules.taken() == []

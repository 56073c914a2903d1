"""The account's usage limit, on real agents with a scripted model."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.support.events import of, read, until
from tests.support.faults import Models

import midflight
from midflight.rules.usage_limit import CONTINUE
from midflight.testing import ModelRequest, Step, Text, ToolCall, usage_limit
from midflight.testing.conformance.rig import Stage

pytestmark = pytest.mark.anyio

HOURS = 4 * 3600.0


async def test_claude_resumes_by_itself_after_the_reset_of_the_limit(
    scripted_model: Models, tmp_path: Path, no_agent_left: None
) -> None:
    reset = 0.0

    def answer(request: ModelRequest) -> Step:
        nonlocal reset
        if CONTINUE in request.last_user_text:
            return Text("went on" if time.time() >= reset else "too early")
        if not request.tool_results:
            return ToolCall("Bash", {"command": "echo one"})
        limit = usage_limit(1)
        reset = float(limit.headers["anthropic-ratelimit-unified-reset"])
        return limit

    model = await scripted_model(answer)
    env = model.env(tmp_path, subscription=True)
    async with midflight.dispatch("go", cwd=tmp_path, env=env, on_usage_limit="wait") as session:
        events = await read(session)
    (told,) = of(midflight.UsageLimitReached, events)
    cut, on = of(midflight.TurnEnded, events)
    assert told.resets_at == reset
    assert (cut.status, cut.reason) == ("limit", "usage_limit")
    assert "limit" in cut.text
    assert (on.status, on.text, on.messages) == ("completed", "went on", (told.message,))
    assert len(model.requests) == 3, "nothing was asked while the limit stood"


async def test_claude_fails_at_once_where_nobody_waits(
    scripted_model: Models, tmp_path: Path, no_agent_left: None
) -> None:
    limit = usage_limit(HOURS)
    model = await scripted_model([limit, limit])
    env = model.env(tmp_path, subscription=True)
    async with midflight.dispatch("go", cwd=tmp_path, env=env, on_usage_limit="fail") as session:
        events = await read(session)
        await session.send("again")  # the CLI has an event of its own for the first time only
        events += await read(session)
    reset = float(limit.headers["anthropic-ratelimit-unified-reset"])
    assert [told.resets_at for told in of(midflight.UsageLimitReached, events)] == [reset] * 2
    assert [end.reason for end in of(midflight.TurnEnded, events)] == ["usage_limit"] * 2
    assert of(midflight.Raw, events) == []


async def test_pause_of_hours_in_opencode_is_a_usage_limit(
    opencode: Stage,
) -> None:
    limit = usage_limit(HOURS)
    async with opencode.play([limit, Text("went on")], on_usage_limit="wait") as on:
        cut = await on.ask("go")
        assert (cut.status, cut.reason) == ("limit", "usage_limit")
        told = await until(on.session, midflight.UsageLimitReached)
        assert told.resets_at == pytest.approx(time.time() + HOURS, abs=60)
        assert on.session.status == "waiting"
        assert (await on.ask("The other account is in use now: go on.")).text == "went on"
        events = await on.events()
    (cancelled,) = of(midflight.MessageCancelled, events)
    assert (cancelled.message, cancelled.reason) == (told.message, "overtaken")
    assert of(midflight.Retry, events) == []

"""A wait for the reset of a usage limit is longer than the life of a host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import until

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.rules.usage_limit import CONTINUE
from midflight.testing import FakeModel, Text, usage_limit


async def test_next_host_resumes_the_wait_for_a_usage_limit(
    state: Path,
    tmp_path: Path,
    fake_model: Callable[..., Awaitable[FakeModel]],
    monkeypatch: pytest.MonkeyPatch,
    no_agent_left: None,
) -> None:
    model = await fake_model(usage_limit(3), Text("went on"))
    for name, value in model.env(tmp_path).items():
        monkeypatch.setenv(name, value)
    given = Options.build(
        agent="fake", cwd=tmp_path, env=model.env(tmp_path), on_usage_limit="wait"
    )
    async with Host(state) as first:
        session = await first.begin("do x", given)
        await until(session, e.UsageLimitReached)
        assert session.status == "waiting"
    assert len(model.requests) == 1
    async with Host(state) as second:
        await second.wake()
        taken = await second.session(session.id)
        events = [event async for event in taken.stream()]
        assert taken.status == "idle"
    assert [event.text for event in events if isinstance(event, e.Text)] == ["went on"]
    assert model.requests[1].last_user_text == CONTINUE


async def test_session_that_waits_for_no_limit_stays_parked(
    state: Path,
    tmp_path: Path,
    fake_model: Callable[..., Awaitable[FakeModel]],
    no_agent_left: None,
) -> None:
    model = await fake_model(Text("done"))
    async with Host(state) as first:
        session = await first.begin(
            "do x", Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
        )
        await until(session, e.TurnEnded)
    async with Host(state) as second:
        await second.wake()
        assert second.live() == []

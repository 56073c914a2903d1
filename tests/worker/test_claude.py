"""Claude Code on a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import ended
from tests.support.host import have
from tests.worker.conftest import Workers

from midflight.client.client import Client
from midflight.testing import ScriptedModel, Text


async def test_claude_code_works_on_a_worker(
    client: Client,
    open_worker: Workers,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    monkeypatch: pytest.MonkeyPatch,
    *,
    tmp_path: Path,
) -> None:
    model = await scripted_model([Text("one"), Text("two")])
    env = agent_env(model)
    have(monkeypatch, env)
    await open_worker(capacity=1)
    begun = await client.dispatch("say one", on="gpu", agent="claude", cwd=tmp_path, env=env)
    async with begun as session:
        assert (await ended(session.first)).text == "one"

        assert (await ended(await session.send("say two"))).text == "two"

    assert "say one" in str(model.requests[-1].messages)

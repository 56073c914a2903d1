"""Claude Code on a worker."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.events import ended
from tests.support.host import have
from tests.worker.conftest import Workers

from midflight.client.client import Client
from midflight.commands import Relocate
from midflight.testing import ScriptedModel, Text
from midflight.testing.home import make_home


async def test_claude_code_moves_to_another_worker_and_remembers(
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
    await open_worker()
    begun = await client.dispatch("say one", on="gpu", agent="claude", cwd=tmp_path, env=env)
    async with begun as session:
        assert (await ended(session.first)).text == "one"
        there = {**env, "HOME": str(tmp_path / "another-home")}  # which has nothing of the session
        make_home(Path(there["HOME"]))
        have(monkeypatch, there)

        await client.carry_out(session.id, Relocate(on="other", at_once=True))
        message = await session.send("say two")
        await open_worker("two", labels=["other"])

        assert (await ended(message)).text == "two"

    assert "say one" in str(model.requests[-1].messages)

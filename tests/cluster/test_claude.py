"""A session with the real Claude Code, watched and answered from another machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.support.events import PATIENCE_S, until

from midflight import events as e
from midflight.client.client import Client
from midflight.host import Host
from midflight.options import Options
from midflight.testing import ScriptedModel, Text, ToolCall, Wait, Words


async def test_real_claude_streams_asks_and_is_answered_from_another_machine(
    host: Host,
    client: Client,
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    tmp_path: Path,
) -> None:
    write = ToolCall("Write", {"file_path": str(tmp_path / "a.py"), "content": "x = 1\n"})
    model = await scripted_model(
        [[Words("I write it now. "), Wait("go"), write], Text("It is there.")]
    )
    options = Options.build(cwd=tmp_path, env=agent_env(model))
    session = await host.begin("write a.py", options)
    async with await client.session(session.id) as far:
        said = ""
        async with asyncio.timeout(PATIENCE_S):
            async for event in far.events():
                if isinstance(event, e.TextDelta):
                    said = event.text if event.so_far else said + event.text
                if said == "I write it now. ":  # no part of it is on disk: it is not whole yet
                    break
        model.signal("go")
        asked = await until(far, e.PermissionRequested)
        assert far.capabilities == session.capabilities
        await far.answer(asked)
        ended = await until(far, e.TurnEnded)
    assert ended.result.text == "It is there."
    assert (tmp_path / "a.py").read_text() == "x = 1\n"

"""OpenCode's server: one for all sessions that can share it, gone with the last of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

import midflight
from midflight.testing import ScriptedModel, Text, ToolCall
from midflight.testing.conformance import OPENCODE
from midflight.testing.conformance.rig import Stage
from midflight.testing.model.script import Step
from midflight.testing.opencode import OpenCodeServer
from midflight.testing.plugin import need

pytestmark = pytest.mark.usefixtures("no_agent_left")


def servers() -> list[int]:
    """Return the servers that this process has started."""
    found = []
    for child in psutil.Process().children():
        line = child.cmdline()
        if "serve" in line:
            found.append(child.pid)
    return found


@pytest.mark.agent
async def test_sessions_share_a_server_and_no_project_loosens_its_permissions(
    tmp_path: Path, claude_home: Path
) -> None:
    need(OPENCODE.missing())
    projects = {
        "all": {"permission": {"*": "ask", "bash": "allow"}},
        "its agent": {"agent": {"build": {"permission": {"bash": "allow"}}}},
    }
    sub_agent = {"description": "x", "prompt": "touch made", "subagent_type": "general-purpose"}
    steps: list[Step] = [
        ToolCall("Bash", {"command": "touch made"}),
        ToolCall("Agent", sub_agent),
        Text("no"),
    ]
    before = servers()
    script = [*steps * len(projects), Text("still here")]
    async with ScriptedModel(script) as model, asyncio.timeout(50):
        sessions = []
        for name, project in projects.items():
            cwd = tmp_path / name
            cwd.mkdir()
            (cwd / "opencode.json").write_text(json.dumps(project))
            env = model.env(claude_home)
            options: dict[str, Any] = {"agent": "opencode", "cwd": cwd, "env": env}
            sessions.append(midflight.open(attended=False, trust=True, **options))
        async with sessions[1]:
            async with sessions[0]:
                (server,) = set(servers()) - set(before)
                for session in sessions:
                    result = await (await session.send("go")).result()
                    assert [denial.name for denial in result.denials] == ["bash", "task"]
                    assert not (session.options.cwd / "made").exists()
            assert set(servers()) - set(before) == {server}
            last = await (await sessions[1].send("still there?")).result()
            assert (last.status, last.text) == ("completed", "still here")
        assert not psutil.pid_exists(server)


async def test_server_at_a_url_is_used_and_left_running(
    opencode_server: OpenCodeServer, tmp_path: Path
) -> None:
    stage = Stage(OPENCODE.on(opencode_server), tmp_path)
    for _ in range(2):
        before = servers()
        async with stage.play([Text("fine")]) as on:
            assert (await on.ask()).text == "fine"
            assert servers() == before

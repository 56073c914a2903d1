"""OpenCode's server: one for all sessions that can share it, gone with the last of them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psutil
import pytest

import midflight
from midflight.agents import create
from midflight.options import Options
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
    async with ScriptedModel(script) as model, asyncio.timeout(60):
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


@pytest.mark.agent
async def test_folder_behind_a_link_with_a_hard_name_is_worked_in(
    tmp_path: Path, claude_home: Path
) -> None:
    """Its own agent `plan` is no permission mode of midflight; what it unpacks is removed again."""
    need(OPENCODE.missing())
    real, link, temporary = tmp_path / "hard %y \u00fc", tmp_path / "link", tmp_path / "tmp"
    for folder in (real, temporary):
        folder.mkdir()
    link.symlink_to(real)
    (real / "opencode.json").write_text(json.dumps({"default_agent": "plan"}))
    show = 'printf %s "$TMPDIR" > tmpdir'
    script: list[Step] = [
        ToolCall("Write", {"file_path": str(link / "made"), "content": "by the agent"}),
        ToolCall("Bash", {"command": show}),
        Text("made"),
        Text("remembered"),
    ]
    async with ScriptedModel(script) as model, asyncio.timeout(60):
        env = model.env(claude_home) | {"TMPDIR": str(temporary)}
        options: dict[str, Any] = {"agent": "opencode", "cwd": link, "env": env, "trust": True}
        options |= {"attended": False, "allowed_tools": ["Write", "Bash"]}
        async with midflight.dispatch("go", **options) as session:
            assert session.first is not None
            assert (await session.first.result()).text == "made"
            conversation = session.agent_session
            events = [event async for event in session.stream()]
        notices = [event.text for event in events if isinstance(event, midflight.Notice)]
        assert any("default_agent: plan is not obeyed" in text for text in notices)
        assert (real / "made").read_text() == "by the agent"
        assert (real / "tmpdir").read_text() == str(temporary)
        assert list(temporary.iterdir()) == []
        async with midflight.dispatch("again", resume=conversation, **options) as session:
            assert session.first is not None
            assert (await session.first.result()).text == "remembered"
    assert "by the agent" in str(model.requests[-1].messages)


@pytest.mark.agent
async def test_configuration_that_opencode_refuses_is_named_at_once(
    tmp_path: Path, claude_home: Path
) -> None:
    need(OPENCODE.missing())
    (tmp_path / "opencode.json").write_text(json.dumps({"permission": 5}))
    async with ScriptedModel([]) as model:
        session = midflight.open(
            agent="opencode", cwd=tmp_path, env=model.env(claude_home), trust=True
        )
        with pytest.raises(midflight.AgentFailed, match=r"opencode\.json: permission") as caught:
            async with asyncio.timeout(60), session:
                pass
    assert "has ended" not in str(caught.value)
    assert caught.value.hint


async def test_folder_that_opencode_would_take_for_another_is_refused(tmp_path: Path) -> None:
    """Version 1 decodes the folder of a session once more than it was encoded."""
    folder, program = tmp_path / "has%20pct", tmp_path / "opencode"
    folder.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("opencode", "opencode-acp"):
        with pytest.raises(midflight.UnsupportedOption, match=r"cwd: .*has%20pct") as caught:
            await create(Options.build(agent=name, cwd=folder, agent_path=program)).check()
        assert caught.value.hint
    await create(Options.build(agent="opencode2", cwd=folder, agent_path=program)).check()

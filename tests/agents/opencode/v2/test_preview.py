"""What the preview of OpenCode 2 keeps silent about, and what it must not do."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read

import midflight
from midflight import events as e
from midflight.agents.opencode.v2.client import OpenCode2Client
from midflight.testing import Drop, HttpError, ScriptedModel, Text, ToolCall, Words
from midflight.testing.conformance import OPENCODE2
from midflight.testing.conformance.rig import Stage
from midflight.testing.opencode import OpenCodeServer, make_settings
from midflight.testing.plugin import need_rig

pytestmark = pytest.mark.usefixtures("no_agent_left")

LOOSE = {"permissions": [{"action": "bash", "resource": "*", "effect": "allow"}]}


@pytest.fixture
def stage(opencode2_server: OpenCodeServer, tmp_path: Path) -> Stage:
    return Stage(OPENCODE2.on(opencode2_server), tmp_path)


async def test_model_that_does_not_exist_ends_its_turn_with_a_sentence(
    stage: Stage, opencode2_server: OpenCodeServer
) -> None:
    async with stage.play([Text("here")]) as on:
        client = OpenCode2Client(opencode2_server.url, opencode2_server.password)
        nobody = {"providerID": "anthropic", "id": "no-such-model"}
        path = f"/api/session/{on.session.agent_session}/model"
        await client.post(path, {"model": nobody})
        lost = await on.ask()
        assert (lost.status, lost.reason) == ("failed", "agent_error")
        assert "does not say why" in lost.text
        await client.post(path, {"model": {**nobody, "id": "claude-sonnet-4-5"}})
        await client.close()
        assert (await on.ask()).text == "here"


@fault("M3", "M6")
async def test_call_that_fails_ends_its_turn_and_leaves_no_text(stage: Stage) -> None:
    refused = HttpError(401, message="wrong key")
    async with stage.play([refused, [Words("half of"), Drop()], Text("the whole")]) as on:
        results = [await on.ask() for _ in range(3)]
        assert len(on.requests) == 3
    assert [each.status for each in results] == ["failed", "failed", "completed"]
    assert "wrong key" in results[0].text
    assert "half of" not in results[1].text
    assert results[2].text == "the whole"


async def test_money_is_estimated_where_the_server_tells_none(stage: Stage) -> None:
    async with stage.play([Text("here")]) as on:
        result = await on.ask()
        assert result.cost_usd == pytest.approx((10 * 3 + 5 * 15) / 1_000_000)
        assert [usage.estimated for usage in of(e.Usage, await on.events())] == [True]


@fault("S7")
async def test_folder_that_loosens_the_rules_gets_no_session(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.opencode.v2.conversation.LOADED_S", 1.0)
    (tmp_path / "opencode.json").write_text(json.dumps(LOOSE))
    with pytest.raises(midflight.AgentFailed, match="unasked what midflight asks for"):
        async with stage.play([], cwd=tmp_path):
            pass


@pytest.mark.agent
@fault("S7")
async def test_folder_that_is_not_trusted_is_left_alone(tmp_path: Path, claude_home: Path) -> None:
    need_rig(OPENCODE2)
    work = tmp_path / "work"
    work.mkdir()
    (work / "opencode.json").write_text(json.dumps(LOOSE))
    async with ScriptedModel([]) as model, asyncio.timeout(60):
        make_settings(claude_home, model.url)
        env = model.env(claude_home)
        with pytest.raises(midflight.AgentFailed, match="leave out this folder's settings") as told:
            async with midflight.open(agent="opencode2", cwd=work, env=env):
                pass
    assert told.value.hint == f"midflight trust {work}"


@fault("S13")
async def test_edit_is_shown_by_its_keys_and_a_reason_is_none_of_them(stage: Stage) -> None:
    target = stage.cwd / "a.txt"
    call = ToolCall("Write", {"file_path": str(target), "content": "new"})
    steps: list[Any] = [call, Text("done")]
    async with stage.play(steps, attended=True) as on:
        message = await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                (effect,) = event.effects
                assert isinstance(effect, midflight.effects.EditEffect)
                assert (effect.path, "+new" in effect.diff) == (str(target), True)
                await on.session.answer(event)
        assert (await ended(message)).text == "done"
        assert target.read_text() == "new"
        assert await read(on.session) == []

"""What the real Claude Code tells and the driver makes of it: the service's own calls, hooks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import ended, of, read, read_until, texts

import midflight
from midflight import Options
from midflight import events as e
from midflight.errors import ConversationLost
from midflight.session.session import Session
from midflight.testing import ScriptedModel, ServiceCall, Text, ToolCall, Wait
from midflight.testing.conformance.rows.options import PIXEL
from midflight.who import here

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Start = Callable[..., Awaitable[ScriptedModel]]
Env = Callable[[ScriptedModel], dict[str, str]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def hook(home: Path, event: str, command: str) -> None:
    """Give the user a hook."""
    hooks = {event: [{"hooks": [{"type": "command", "command": command}]}]}
    (home / ".claude").mkdir()
    (home / ".claude" / "settings.json").write_text(json.dumps({"hooks": hooks}))


def told(events: list[e.Event]) -> list[tuple[str, ...]]:
    """Return the texts and the ends of calls, in their order."""
    said: list[tuple[str, ...]] = []
    for event in events:
        match event:
            case e.Text(text=text):
                said.append((text,))
            case e.ToolStarted(name=name):
                said.append((name,))
            case e.ToolEnded(status=status, output=output):
                said.append((status, output))
    return said


@pytest.mark.parametrize("unknown", ["deadbeef", "d4b6c1c2-9a04-4a5e-8f52-7d0a3f6c2b11"])
async def test_conversation_that_there_is_none_of_is_lost(
    scripted_model: Start, agent_env: Env, tmp_path: Path, unknown: str
) -> None:
    """Of what can be no id the program shows its own usage, which says nothing here."""
    env = agent_env(await scripted_model([]))
    with pytest.raises(ConversationLost):
        async with midflight.dispatch("go on", cwd=tmp_path, env=env, resume=unknown):
            raise AssertionError


async def test_image_of_a_steer_is_seen_at_the_next_step(
    scripted_model: Start, agent_env: Env, tmp_path: Path
) -> None:
    model = await scripted_model([[Wait("go"), ToolCall("Bash", {"command": "ls"})], Text("red")])
    async with midflight.dispatch(
        "look", cwd=tmp_path, env=agent_env(model), allowed_tools=["Bash"]
    ) as session:
        await model.reached("go")
        steer = await session.send("which colour?", images=[PIXEL])
        model.signal("go")
        result = await steer.result()
    assert (result.text, steer.turn) == ("red", 1)
    assert model.requests[1].images == [("image/png", PIXEL)]
    assert "which colour?" in str(model.requests[1].messages)


async def test_call_that_the_service_runs_ends_in_its_place(
    scripted_model: Start, agent_env: Env, tmp_path: Path
) -> None:
    found = {"type": "web_search_result", "title": "A page", "url": "https://a.example"}
    failed = {"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"}
    query = {"query": "x"}
    model = await scripted_model(
        [
            [
                Text("Let me look."),
                ServiceCall("web_search", query, [{**found, "encrypted_content": "4f2a"}]),
                ServiceCall("web_search", query, failed),
                Text("There is a page."),
            ]
        ]
    )
    async with midflight.dispatch("go", cwd=tmp_path, env=agent_env(model)) as session:
        events = await read(session)
    assert told(events) == [
        ("Let me look.",),
        ("web_search",),
        ("completed", "A page https://a.example"),
        ("web_search",),
        ("failed", "max_uses_exceeded"),
        ("There is a page.",),
    ]


async def test_message_that_a_hook_blocks_fails_with_its_reason(
    scripted_model: Start, agent_env: Env, claude_home: Path, tmp_path: Path
) -> None:
    """Whether it would open a turn or steer one, of several that come together that one alone."""
    refuse = 'echo "not on a Sunday" >&2; exit 2'
    hook(claude_home, "UserPromptSubmit", f"grep -q Sunday || exit 0; {refuse}")
    release = tmp_path / "release"
    hold = f"while [ ! -e '{release}' ]; do sleep 0.05; done"
    model = await scripted_model([ToolCall("Bash", {"command": hold}), Text("done")])
    env = agent_env(model)
    async with midflight.dispatch(
        "go on Sunday", cwd=tmp_path, env=env, allowed_tools=["Bash"]
    ) as session:
        result = await ended(session.first)
        assert (result.status, result.reason) == ("failed", "blocked")
        assert "not on a Sunday" in result.text
        assert session.first is not None
        assert session.first.state == "failed"

        opener = await session.send("go")
        await read_until(session, e.ToolStarted)
        steers = [await session.send(text) for text in ("left", "Sunday left", "right")]
        release.touch()
        events = await read(session)
        states = [message.state for message in (opener, *steers)]
        assert states == ["answered", "answered", "failed", "answered"]
        (failed,) = of(e.MessageFailed, events)
        assert (failed.message, failed.reason) == (steers[1].id, "blocked")
        assert any("not on a Sunday" in notice.text for notice in of(e.Notice, events))
    assert model.requests[-1].last_user_text == "left\nright"


async def test_start_that_waits_for_a_hook_too_long_names_it(
    scripted_model: Start,
    agent_env: Env,
    claude_home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("midflight.session.agent_runner.PREPARE_TIMEOUT_S", 0.5)
    hook(claude_home, "SessionStart", "exec tail -f /dev/null")
    model = await scripted_model([])
    options: dict[str, Any] = {"cwd": tmp_path, "env": agent_env(model)}
    said = r"did not answer within 0 seconds, and its hook SessionStart:startup still runs"
    with pytest.raises(midflight.AgentFailed, match=said):
        async with asyncio.timeout(60), midflight.open(**options):
            pass


async def test_command_of_its_own_tells_what_it_has_to_say(
    scripted_model: Start, agent_env: Env, tmp_path: Path
) -> None:
    """As a text of its turn, for which no model is called; one that needs a terminal says so."""
    model = await scripted_model([Text("hello"), *[Text("a summary")] * 2])
    options = Options.build(agent="claude", cwd=tmp_path, env=agent_env(model))
    said: dict[str, list[str]] = {}
    async with Session(options, "hi", who=here("terminal")) as session:
        await read(session)
        for command in ("/cost", "/status", "/compact"):
            await session.send(command)
            said[command] = texts(await read(session))
    assert [len(texts) for texts in said.values()] == [1, 1, 1]
    assert "Total code changes:" in said["/cost"][0]
    assert said["/status"] == ["/status isn't available in this environment."]
    assert said["/compact"] == ["Compacted"]

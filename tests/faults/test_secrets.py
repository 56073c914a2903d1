"""Keys, control sequences that a terminal would obey, and what was really approved."""

from __future__ import annotations

import base64
import json
import os
import stat
import traceback
from pathlib import Path

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read, until
from tests.support.faults import Models, Use, agents

import midflight
from midflight.testing import HttpError, Text, ToolCall, Wait

pytestmark = pytest.mark.anyio

KEY = "sk-ant-very-secret-0123456789"
FORMS = (KEY, base64.b64encode(KEY.encode()).decode().rstrip("="))
HOSTILE = "\x1b]8;;http://evil\x07link\x1b[31m\r\b\u202etxt.exe [link=x]y[/link]"


def _shows_no_key(text: str) -> None:
    for form in FORMS:
        assert form not in text, f"the key is in: {text[:500]}"


@fault("S4", "M6")
async def test_key_is_in_no_argument_no_event_and_no_representation(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([[Wait("on"), HttpError(401, message="wrong key")]])
    server = {"command": "/bin/false", "env": {"SERVER_TOKEN": KEY}}
    options = use(model, env={"ANTHROPIC_API_KEY": KEY}, mcp_servers={"tools": server})
    session = midflight.dispatch("go", **options)
    async with session:
        await model.reached("on")
        for process in psutil.Process().children(recursive=True):
            _shows_no_key(" ".join(process.cmdline()))
        (config,) = [
            Path(argument.partition("=")[2])
            for argument in agents()[0].cmdline()
            if argument.startswith("--mcp-config=")
        ]
        assert stat.S_IMODE(config.stat().st_mode) == 0o600
        assert stat.S_IMODE(config.parent.stat().st_mode) == 0o700
        model.signal("on")
        for event in await read(session):
            _shows_no_key(midflight.events.encode(event).decode())
        assert (await ended(session.first)).reason == "auth"
    assert not config.parent.exists()
    for thing in (session, session.options, session.first):
        _shows_no_key(repr(thing))
        _shows_no_key(str(thing))


@fault("S20")
async def test_system_prompt_and_servers_are_in_no_list_of_processes(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([[Wait("on"), Text("done")]])
    server = {"type": "http", "url": f"http://127.0.0.1:9/{KEY}"}
    options = use(model, system_prompt=f"The key is {KEY}.", mcp_servers={"tools": server})
    async with midflight.dispatch("go", **options) as session:
        await model.reached("on")
        for process in psutil.Process().children(recursive=True):
            _shows_no_key(" ".join(process.cmdline()))
        (prompt,) = [
            Path(argument.partition("=")[2])
            for argument in agents()[0].cmdline()
            if argument.startswith("--system-prompt-file=")
        ]
        assert prompt.read_text() == options["system_prompt"]
        assert stat.S_IMODE(prompt.stat().st_mode) == 0o600
        assert stat.S_IMODE(prompt.parent.stat().st_mode) == 0o700
        model.signal("on")
        await ended(session.first)
    assert options["system_prompt"] in model.requests[0].system
    assert not prompt.parent.exists()


@fault("S4", "A1")
async def test_key_that_the_agent_complains_about_is_in_no_error(
    tmp_path: Path, no_agent_left: None
) -> None:
    path = tmp_path / "agent"
    path.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && echo 2.1.330 && exit\n'
        'echo "bad: $MY_TOKEN or $(printf %s "$MY_TOKEN" | base64 -w0)" >&2\nexit 1\n'
    )
    path.chmod(0o755)
    with pytest.raises(midflight.AgentFailed) as caught:
        async with midflight.open(agent_path=path, cwd=tmp_path, env={"MY_TOKEN": KEY}):
            pass
    assert "bad: [redacted] or [redacted]" in str(caught.value)
    _shows_no_key("".join(traceback.format_exception(caught.value)))


@fault("S6")
async def test_control_sequences_are_passed_on_and_are_in_no_name(
    scripted_model: Models, use: Use
) -> None:
    bash = ToolCall("Bash", {"command": f"printf '%s' '{HOSTILE}'", "description": HOSTILE})
    model = await scripted_model([bash, Text(HOSTILE)])
    options = use(model, allowed_tools=["Bash"])
    async with midflight.dispatch(HOSTILE, **options) as session:
        events = await read(session)
    assert of(midflight.ToolStarted, events)[0].input["description"] == HOSTILE
    assert of(midflight.TurnEnded, events)[0].text == HOSTILE
    for event in events:
        line = midflight.events.encode(event)
        assert not any(byte < 0x20 for byte in line), "a terminal would obey the JSON form"
        assert json.loads(line)
    assert session.name.isascii()
    assert session.name.replace("-", "").isalnum()


@fault("S6")
async def test_control_sequences_reach_who_answers_as_they_are(
    scripted_model: Models, use: Use
) -> None:
    # Claude Code itself refuses a command with control characters, "hidden in the approval dialog".
    command = "touch '\u202etxt.exe [link=x]y[/link]'"
    model = await scripted_model([ToolCall("Bash", {"command": command}), Text("denied")])
    async with midflight.dispatch("go", attended=True, **use(model)) as session:
        asked = await until(session, midflight.PermissionRequested)
        assert asked.input["command"] == command
        await session.answer(asked, "deny")
        await read(session)


@fault("S9")
async def test_call_runs_as_asked_whatever_a_reader_does_to_the_event(
    scripted_model: Models, use: Use, project: Path
) -> None:
    model = await scripted_model([ToolCall("Bash", {"command": "touch asked"}), Text("done")])
    async with midflight.dispatch("go", attended=True, **use(model)) as session:
        asked = await until(session, midflight.PermissionRequested)
        asked.input["command"] = "touch slipped-in"
        await session.answer(asked)
        await read(session)
    assert os.listdir(project) == ["asked"]  # noqa: PTH208 - a moment of no consequence


@fault("S4")
async def test_last_words_of_the_agent_hold_nothing_of_its_mcp_servers(
    tmp_path: Path, no_agent_left: None
) -> None:
    script = tmp_path / "claude"
    script.write_text(f"#!/bin/sh\necho 2.1.330\n[ $# = 1 ] || echo 'no {KEY} here' >&2\nexit 3\n")
    script.chmod(0o755)
    servers = {"far": {"type": "http", "url": "http://127.0.0.1:9/", "headers": {"X": KEY}}}
    with pytest.raises(midflight.AgentFailed) as caught:
        async with midflight.open(agent_path=script, cwd=tmp_path, mcp_servers=servers):
            raise AssertionError
    assert "[redacted]" in str(caught.value)
    _shows_no_key(str(caught.value))


@fault("S4")
def test_key_in_an_option_of_the_wrong_form_is_not_repeated() -> None:
    wrong = [f"ANTHROPIC_API_KEY={KEY}"]
    with pytest.raises(midflight.InvalidOption) as caught:
        midflight.open(env=wrong)  # type: ignore[arg-type]  # on purpose
    _shows_no_key(str(caught.value))


@fault("I4")
@pytest.mark.parametrize("name", ["a),Bash(touch:*", "a b", "a,Write", "(a)", "-x", ""])
def test_name_of_a_skill_cannot_carry_another_rule(name: str) -> None:
    with pytest.raises(midflight.InvalidOption, match="skills"):
        midflight.open(skills=[name])

"""What an agent may say over ACP, and what must come of it, shown with a scripted agent."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.acp_agent import PROGRAM, Open, ask, cost, tool, words

import midflight
from midflight import events as e
from midflight.agents.acp import program
from midflight.errors import AgentFailed, AgentUnavailable, ConversationLost, UnsupportedOption
from midflight.testing.conformance.rows.options import PIXEL

pytestmark = pytest.mark.usefixtures("no_agent_left")

SHELL = {"kind": "execute", "title": "make test", "rawInput": {"command": "make test"}}
RESUMES: dict[str, Any] = {"hello": {"agentCapabilities": {"sessionCapabilities": {"resume": {}}}}}
STEERED = {"hello": {"_meta": {"steering": {"supported": True}}}}
REFUSED = [{"outcome": {"outcome": "selected", "optionId": "id-reject_once"}}]


def kinds(events: list[e.Event]) -> list[str]:
    return [event.type for event in events if event.type != "usage"]


async def test_turn_is_reported_whole_and_in_order(scripted: Open) -> None:
    edited = {"type": "diff", "path": "a.py", "oldText": "x = 1\n", "newText": "x = 2\n"}
    todo = {"content": "look", "status": "pending", "priority": "low"}
    async with scripted() as agent:
        result, events = await agent.run(
            words("hm", "agent_thought_chunk"),
            words("let me "),
            words("see"),
            {"update": {"sessionUpdate": "plan", "entries": [todo]}},
            tool("c", "pending", title="edit", kind="edit"),
            tool("c", "in_progress", title="a.py", rawInput={"path": "a.py"}),
            tool("c", "completed", content=[edited]),
            words("done"),
            {"end": {"stopReason": "end_turn", "usage": {"inputTokens": 7, "outputTokens": 2}}},
        )
    assert kinds(events) == [
        *("session.started", "message.accepted", "turn.started", "message.started"),
        *("thinking.delta", "thinking", "text.delta", "text.delta", "plan", "text"),
        *("tool.started", "tool.ended", "text.delta", "text", "message.answered", "turn.ended"),
    ]
    (started,) = [event for event in events if isinstance(event, e.ToolStarted)]
    assert (started.name, started.kind, started.input) == ("edit", "edit", {"path": "a.py"})
    (ended,) = [event for event in events if isinstance(event, e.ToolEnded)]
    assert ("-x = 1" in ended.output, "+x = 2" in ended.output) == (True, True)
    assert [event.text for event in events if isinstance(event, e.Text)] == ["let me see", "done"]
    assert (result.text, result.steps, result.usage.input_tokens) == ("done", 2, 7)


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ({"raw": '{"jsonrpc": "2.0", "meth'}, e.Notice),
        ({"raw": "starting up…"}, None),
        ({"raw": '{"jsonrpc": "2.0", "id": 99, "result": {}}'}, None),
        ({"raw": '{"jsonrpc": "2.0", "method": "x/y", "params": 5}'}, e.Raw),
        ({"update": {"sessionUpdate": "of_the_future", "x": 1}}, e.Raw),
        ({"update": {"sessionUpdate": "tool_call"}}, e.Raw),
        ({"update": {"sessionUpdate": "plan", "entries": 7}}, e.Raw),
        ({"update": "text"}, e.Raw),
        ({"update": {"sessionUpdate": "usage_update", "cost": {"amount": "?"}}}, e.Raw),
        ({"request": "fs/read_text_file", "params": {"path": "/etc/passwd"}}, e.Raw),
        ({"request": "session/request_permission", "params": {"options": 3}}, e.Raw),
        ({"request": "elicitation/create", "params": {"mode": "url"}}, e.Notice),
    ],
)
async def test_unknown_events_are_reported_and_harm_nothing(
    scripted: Open, step: dict[str, Any], told: type[e.Event] | None
) -> None:
    async with scripted() as agent:
        result, events = await agent.run(step, words("still here"))
    assert (result.status, result.text) == ("completed", "still here")
    odd = [type(event) for event in events if isinstance(event, (e.Notice, e.Raw))]
    assert odd == ([told] if told else [])


async def test_lines_are_read_up_to_a_bound_and_skipped_beyond_it(
    scripted: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight._util.lines.MAX_LINE_BYTES", 400_000)
    async with scripted() as agent:
        _, events = await agent.run({"huge": 200_000}, {"huge": 500_000}, words("!"))
    assert [len(event.text) for event in events if isinstance(event, e.Text)] == [200_001]
    (notice,) = [event for event in events if isinstance(event, e.Notice)]
    assert "could not be read" in notice.text


async def test_agent_that_dies_fails_its_turn_and_the_next_message_resumes(
    scripted: Open,
) -> None:
    abilities: dict[str, Any] = {"sessionCapabilities": {"resume": {}}}
    said = {"hello": {"agentCapabilities": abilities}}
    async with scripted(said) as agent:
        result, _ = await agent.run(words("half"), {"exit": 9})
        assert (result.status, result.reason) == ("failed", "agent_died")
        assert "exit code 9" in result.text
        assert (await agent.run(words("back")))[0].text == "back"
        assert [params["sessionId"] for params in agent.sent("session/resume")] == ["s-1"]


async def test_conversation_that_the_agent_does_not_resume_is_lost(scripted: Open) -> None:
    said = RESUMES | {"refusal": {"code": -32002, "message": "Resource not found"}}
    with pytest.raises(ConversationLost, match="refused session/resume: Resource not found"):
        async with scripted(said, resume="earlier"):
            raise AssertionError


async def test_conversation_that_is_loaded_is_not_reported_again(scripted: Open) -> None:
    old = words("old")["update"]
    said = {
        "hello": {"agentCapabilities": {"loadSession": True}},
        "replay": [old, cost(3)["update"]],
    }
    async with scripted(said, resume="earlier") as agent:
        result, events = await agent.run(cost(3.5), words("new"))
        assert agent.sent("session/load")[0]["sessionId"] == "earlier"
    assert [event.text for event in events if isinstance(event, e.Text)] == ["new"]
    assert result.cost_usd == 0.5


async def test_agent_that_ignores_a_cancel_is_killed(
    scripted: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.rules.turns.STOP_GRACE_S", 0.3)
    async with scripted() as agent:
        message = await agent.play(words("no"), {"until": "never"})
        await agent.session.interrupt()
        result = await message.result()
    assert (result.status, result.reason) == ("interrupted", "interrupted")


@pytest.mark.parametrize("then", ["session/cancel", ""])
async def test_agent_that_begins_after_a_cancel_is_cancelled_again(
    scripted: Open, then: str
) -> None:
    async with scripted() as agent:
        waits = [{"until": then}] if then else []
        message = await agent.play({"until": "session/cancel"}, words("and so"), *waits)
        await agent.until(e.MessageStarted)
        await agent.session.interrupt()
        assert (await message.result()).reason == "interrupted"
        await agent.run(words("ready"))
        assert len(agent.sent("session/cancel")) == 2


async def test_interrupt_cancels_the_open_requests_and_the_prompt(scripted: Open) -> None:
    async with scripted() as agent:
        stop = {"end": {"stopReason": "cancelled"}}
        message = await agent.play(ask("c", **SHELL), {"until": "session/cancel"}, stop)
        await agent.until(e.PermissionRequested)
        await agent.session.interrupt()
        assert (await message.result()).status == "interrupted"
        assert agent.answered()[0]["result"] == {"outcome": {"outcome": "cancelled"}}


# Steering -------------------------------------------------------------------------------------


async def steer(scripted: Open, said: dict[str, Any]) -> tuple[bool, list[str]]:
    """Steer a running prompt. Return whether that prompt read it, and what the agent was sent."""
    async with scripted(said) as agent:
        first = await agent.play(
            words("on it"), {"until": "_session/steering"}, {"end": {"stopReason": "end_turn"}}
        )
        await agent.until(e.MessageStarted)
        second = await agent.session.send("and this")
        assert (await first.result()).status == (await second.result()).status == "completed"
        return second.turn == first.turn, agent.methods()[3:]


async def test_steer_is_read_by_the_running_prompt_where_it_is_announced(
    scripted: Open, tmp_path: Path
) -> None:
    assert await steer(scripted, STEERED) == (True, ["_session/steering"])
    asked = json.loads((tmp_path / "log").read_text().splitlines()[-1])["params"]
    assert asked["prompt"] == [{"type": "text", "text": "and this"}]
    assert asked["_meta"] == {"steering": {"idleBehavior": "promptRequired"}}


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("/mail a@b.c to @me", "The message:\n/mail a@b.c to \\@me"),
        ("\n !ls", "The message:\n\n !ls"),
        ("@/etc/passwd,\u3000@~/.ssh", "\\@/etc/passwd,\u3000\\@~/.ssh"),
        ("5 @ 3, a/b and (@x)", "5 @ 3, a/b and (@x)"),
    ],
)
async def test_text_that_nobody_typed_is_no_command(scripted: Open, text: str, sent: str) -> None:
    """One for an agent's program is what begins with a slash, and a file what follows an @."""
    async with scripted() as agent:
        await (await agent.session.send(text)).result()  # it is no script, and fails
        assert agent.sent("session/prompt")[0]["prompt"] == [{"type": "text", "text": sent}]


@pytest.mark.parametrize("announced", [True, False, "yes", None])
async def test_images_are_sent_where_the_agent_announces_them(
    scripted: Open, announced: object
) -> None:
    abilities = {} if announced is None else {"promptCapabilities": {"image": announced}}
    async with scripted({"hello": {"agentCapabilities": abilities}}) as agent:
        if announced is not True:
            assert agent.session.capabilities["images"] == "not"
            with pytest.raises(UnsupportedOption, match="images: the agent takes no images"):
                await agent.session.send("look", images=[PIXEL])
            return
        await (await agent.session.send("look", images=[PIXEL])).result()  # it is no script
        assert agent.sent("session/prompt")[0]["prompt"] == [
            {"type": "text", "text": "look"},
            {"type": "image", "mimeType": "image/png", "data": base64.b64encode(PIXEL).decode()},
        ]


@pytest.mark.parametrize(
    ("outcome", "methods"),
    [
        ({"outcome": "promptRequired"}, ["_session/steering", "session/prompt"]),
        ({}, ["_session/steering", "session/prompt"]),
        (
            {"outcome": "startedNewTurn"},
            ["_session/steering", "session/cancel", "session/prompt"],
        ),
    ],
)
async def test_steer_that_came_too_late_gets_a_prompt_of_its_own(
    scripted: Open, outcome: dict[str, str], methods: list[str]
) -> None:
    assert await steer(scripted, STEERED | {"steering": outcome}) == (False, methods)


async def test_steer_waits_for_the_turns_end_where_it_is_not_announced(scripted: Open) -> None:
    async with scripted() as agent:
        first = await agent.play(ask("c", **SHELL))
        asked = await agent.until(e.PermissionRequested)
        second = await agent.session.send("and this")
        await agent.session.answer(asked)
        assert (await first.result()).status == (await second.result()).status == "completed"
        assert agent.session.capabilities["steer"] == "emulated"
        assert len(agent.sent("session/prompt")) == 2


# Starting -------------------------------------------------------------------------------------


async def test_agent_that_never_answers_is_ended_in_bounded_time(
    scripted: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.acp.driver.HANDSHAKE_TIMEOUT_S", 0.3)
    with pytest.raises(AgentFailed, match="no answer to initialize within 0"):
        async with scripted({"hello": None}):
            pass


def test_protocol_version_is_that_of_the_protocols_own_package() -> None:
    from acp.meta import PROTOCOL_VERSION

    assert program.PROTOCOL_VERSION == PROTOCOL_VERSION


async def test_agent_of_another_version_is_refused(scripted: Open) -> None:
    with pytest.raises(AgentFailed, match="speaks version 7 of ACP, and 1 is needed"):
        async with scripted({"hello": {"protocolVersion": 7}}):
            pass


async def test_agent_that_wants_a_login_says_how(scripted: Open) -> None:
    said = {
        "hello": {"authMethods": [{"id": "x", "name": "X", "description": "run `x login`"}]},
        "refusal": {"code": -32000, "message": "Authentication required"},
    }
    with pytest.raises(AgentUnavailable, match=r"wants a login \(it says: run `x login`\)"):
        async with scripted(said):
            pass


@pytest.mark.parametrize(
    "options",
    [
        {"system_prompt": "be brief"},
        {"skills": ["x"]},
        {"plugins": ["/nowhere"]},
        {"setting_sources": []},
        {"server_url": "http://127.0.0.1:1"},
        {"mcp_servers": {"x": {"type": "sdk", "command": "x"}}},
        {"allowed_tools": ["Bash(git:*)"]},
    ],
)
async def test_options_that_acp_does_not_have_are_refused_before_a_start(
    scripted: Open, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedOption, match=next(iter(options))):
        async with scripted(**options):
            pass
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"resume": "earlier"},
        {"add_dirs": ["/tmp"]},
        {"mcp_servers": {"x": {"type": "http", "url": "http://127.0.0.1:1"}}},
        {"permission_mode": "plan"},
        {"model": "opus"},
        {"effort": "high"},
    ],
)
async def test_options_that_the_agent_does_not_announce_are_refused(
    scripted: Open, tmp_path: Path, options: dict[str, Any]
) -> None:
    with pytest.raises(UnsupportedOption, match=next(iter(options))):
        async with scripted(**options):
            pass
    assert "session/prompt" not in (tmp_path / "log").read_text()


CHOICES = [
    {"id": "m", "category": "mode", "options": [{"value": "plan"}, {"value": "default"}]},
    {"id": "llm", "category": "model", "options": [{"value": "x/opus-4"}, {"value": "x/opus-5"}]},
    {"id": "e", "category": "thought_level", "options": [{"value": "high"}]},
]


async def test_every_message_is_of_the_protocols_own_form(scripted: Open, tmp_path: Path) -> None:
    from acp import schema

    every = {
        "hello": {
            "agentCapabilities": {
                "mcpCapabilities": {"http": True},
                "sessionCapabilities": {"additionalDirectories": {}},
            }
        },
        "session": {"sessionId": "s-1", "configOptions": CHOICES},
    }
    servers = {
        "files": {"command": "/bin/files", "args": ["-v"], "env": {"K": "V"}},
        "web": {"type": "http", "url": "http://127.0.0.1:1", "headers": {"A": "B"}},
    }
    more = {"model": "opus", "effort": "high", "permission_mode": "plan", "add_dirs": [tmp_path]}
    async with scripted(every, mcp_servers=servers, **more) as agent:
        await agent.session.set_permission_mode("dontAsk")
        await agent.run(ask("c", **SHELL))
        initialize = schema.InitializeRequest.model_validate(agent.sent("initialize")[0])
        opened = schema.NewSessionRequest.model_validate(agent.sent("session/new")[0])
        schema.PromptRequest.model_validate(agent.sent("session/prompt")[0])
        schema.RequestPermissionResponse.model_validate(agent.answered()[0]["result"])
        changes = [
            schema.SetSessionConfigOptionSelectRequest.model_validate(params)
            for params in agent.sent("session/set_config_option")
        ]
    assert initialize.client_capabilities is not None
    assert opened.additional_directories == [str(tmp_path)]
    assert [type(server).__name__ for server in opened.mcp_servers] == [
        "McpServerStdio",
        "HttpMcpServer",
    ]
    set_to = [(change.config_id, change.value) for change in changes]
    assert set_to == [("m", "plan"), ("llm", "x/opus-5"), ("e", "high"), ("m", "default")]


# Tools ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "offered", "answer", "requests"),
    [
        ({"allowed_tools": ["Bash"]}, (), "id-allow_once", 0),
        ({"allowed_tools": ["Edit"], "permission_mode": "dontAsk"}, (), "id-reject_once", 1),
        ({"disallowed_tools": ["execute"]}, (), "id-reject_once", 0),
        ({"permission_mode": "bypassPermissions"}, (), "id-allow_once", 1),
        ({"allowed_tools": ["Bash"]}, ("allow_always", "reject_once"), "id-reject_once", 0),
        ({"allowed_tools": ["Bash"]}, ("allow_once", "allow_once"), "id-allow_once", 0),
        ({"disallowed_tools": ["Bash"]}, ("reject_once", "reject_once"), "id-reject_once", 0),
    ],
)
async def test_request_is_answered_once_by_the_rules_for_tools(
    scripted: Open, options: dict[str, Any], offered: tuple[str, ...], answer: str, requests: int
) -> None:
    async with scripted(**options) as agent:
        _, events = await agent.run(ask("c", *offered, **SHELL))
        assert agent.answered()[0]["result"]["outcome"]["optionId"] == answer
    assert len([event for event in events if isinstance(event, e.PermissionRequested)]) == requests


async def test_request_shows_the_newest_input(scripted: Open) -> None:
    first = {"command": "ls", "description": "look around"}
    told = tool("c", "pending", kind="execute", title="ls", rawInput=first)
    asked = ask("c", kind="execute", title="rm -rf x", rawInput={"command": "rm -rf x"})
    async with scripted(permission_mode="dontAsk") as agent:
        _, events = await agent.run(told, asked)
    (request,) = [event for event in events if isinstance(event, e.PermissionRequested)]
    assert request.input == {"command": "rm -rf x"}


@pytest.mark.parametrize(
    ("rule", "requests"), [("mcp__prod__run_sql", 0), ("Bash", 1), ("execute", 1)]
)
@pytest.mark.parametrize(
    "told",
    [
        {"rawInput": {"sql": "drop"}, "_meta": {"anything": {"toolName": "mcp__prod__run_sql"}}},
        {"rawInput": {"sql": "drop"}, "_meta": {"toolName": "mcp__prod__run_sql"}},
        {"rawInput": {"server": "prod", "tool": "run_sql", "arguments": {"sql": "drop"}}},
    ],
    ids=["claude-acp", "qwen", "codex"],
)
async def test_tool_of_an_mcp_server_is_allowed_by_its_own_name_alone(
    scripted: Open, told: dict[str, Any], rule: str, requests: int
) -> None:
    """Each agent tells the name in a way of its own, and may call the tool a command."""
    step = ask("c", kind="execute", title="run_sql", **told)
    async with scripted(allowed_tools=[rule], permission_mode="dontAsk") as agent:
        _, events = await agent.run(step)
    assert len([event for event in events if isinstance(event, e.PermissionRequested)]) == requests


async def test_refused_tool_is_denied_and_stands_in_the_result(scripted: Open) -> None:
    async with scripted(disallowed_tools=["Bash"]) as agent:
        result, events = await agent.run(ask("c", **SHELL), tool("c", "failed"))
    assert [(denial.call, denial.name) for denial in result.denials] == [("c", "execute")]
    assert [event.status for event in events if isinstance(event, e.ToolEnded)] == ["denied"]


async def test_refused_tool_that_runs_unasked_fails_the_turn(scripted: Open) -> None:
    async with scripted(disallowed_tools=["Bash"]) as agent:
        result, _ = await agent.run(
            tool("c", "in_progress", **SHELL),
            tool("c", "completed"),
            {"until": "session/cancel"},
            {"end": {"stopReason": "cancelled"}},
        )
    assert (result.status, result.reason) == ("failed", "agent_error")
    assert "ran execute without asking, which disallowed_tools forbids" in result.text


@fault("S8")
async def test_protected_file_is_asked_for_wherever_the_agent_tells_it(scripted: Open) -> None:
    """Also a call that tells no file, and in no mode of the agent's own that accepts edits."""
    mode = {"currentModeId": "default", "availableModes": [{"id": "default"}, {"id": "autoEdit"}]}
    diff = {"type": "diff", "path": ".git/config", "oldText": "a", "newText": "b"}
    told: dict[str, dict[str, Any]] = {
        "free": {"locations": [{"path": "a.py"}], "rawInput": {"content": ".mcp.json\n"}},
        "place": {"locations": [{"path": "midflight.toml"}]},
        "diff": {"locations": [{"path": "a.py"}], "content": [diff]},
        "input": {"locations": [{"path": "a.py"}], "rawInput": {"to": {"file": "way/hooks/x"}}},
        "delete": {"kind": "delete", "locations": [{"path": ".mcp.json"}]},
        "nothing": {},
        "malformed": {"locations": [{"path": "a.py"}], "content": [{"type": "diff"}]},
        "shell": {"kind": "execute", "rawInput": {"cmd": "cp a .opencode/plugin/a.js"}},
        "harmless": {"kind": "execute", "rawInput": {"cmd": "cp a b"}},
    }
    allowed = ["Edit", "Bash", "delete"]
    async with scripted(
        {"session": {"modes": mode}},
        permission_mode="acceptEdits",
        allowed_tools=allowed,
        attended=False,
    ) as agent:
        agent.session.options.cwd.joinpath("way").symlink_to(".git")
        steps = [
            ask(name, **{"kind": "edit", "title": "it", **each}) for name, each in told.items()
        ]
        _, events = await agent.run(*steps)
        assert [change["modeId"] for change in agent.sent("session/set_mode")] == ["default"]
    asked = [event for event in events if isinstance(event, e.PermissionRequested)]
    assert [event.call for event in asked] == [
        name for name in told if name not in ("free", "harmless")
    ]
    assert {event.rule for event in asked} == {""}


@pytest.mark.parametrize(("path", "requests"), [("in.py", 0), ("../out.py", 1)])
async def test_edits_in_the_folder_are_accepted_and_others_asked_for(
    scripted: Open, path: str, requests: int
) -> None:
    async with scripted(permission_mode="acceptEdits", attended=False) as agent:
        edit = ask("c", kind="edit", title="Edit", locations=[{"path": path}])
        _, events = await agent.run(edit)
    assert len([event for event in events if isinstance(event, e.PermissionRequested)]) == requests


@pytest.mark.parametrize(("path", "requests"), [("in.py", 0), ("/etc/passwd", 1)])
async def test_edit_is_accepted_only_if_what_it_changes_lies_in_the_folder(
    scripted: Open, path: str, requests: int
) -> None:
    diff = {"type": "diff", "path": path, "oldText": "a", "newText": "b"}
    step = ask("c", kind="edit", title="Edit", locations=[{"path": "in.py"}], content=[diff])
    async with scripted(permission_mode="acceptEdits", attended=False) as agent:
        _, events = await agent.run(step)
    assert len([event for event in events if isinstance(event, e.PermissionRequested)]) == requests


async def test_form_is_put_as_questions_and_filled_in_with_the_answers(scripted: Open) -> None:
    colour = {"type": "string", "oneOf": [{"const": "b", "title": "Blue"}]}
    sizes = {"type": "array", "description": "Sizes?", "items": {"enum": ["S", "L"]}}
    other = {"type": "string", "title": "Other"}
    properties = {"colour": {**colour, "description": "Colour?"}, "colour_custom": other}
    schema = {"type": "object", "properties": {**properties, "sizes": sizes}}
    form = {"mode": "form", "message": "Please", "requestedSchema": schema}
    step = {"request": "elicitation/create", "params": form}
    async with scripted() as agent:
        for number, (given, content) in enumerate(
            (
                ("Blue", {"colour": "b", "sizes": ["L"]}),
                ("Teal", {"colour_custom": "Teal", "sizes": ["L"]}),
            ),
            start=1,
        ):
            message = await agent.play(step)
            asked = await agent.until(e.QuestionRequested, number)
            answers: dict[str, Any] = {"Colour?": given, "Sizes?": ["L"]}
            await agent.session.answer(asked, answers=answers)
            await message.result()
            filled = {"action": "accept", "content": content}
            assert agent.answered()[-1]["result"] == filled


# Denials and modes ----------------------------------------------------------------------------


@fault("A14")
@pytest.mark.parametrize("offered", [("allow_once", "reject_once"), ("allow_once",)], ids=str)
@pytest.mark.parametrize("by", ["user", "options"])
async def test_turn_that_the_agent_ends_at_a_denial_is_told_as_denied(
    scripted: Open, offered: tuple[str, ...], by: str
) -> None:
    """Also where the only "no" that it offers is one that ends the turn."""
    options: dict[str, Any] = {"disallowed_tools": ["execute"]} if by == "options" else {}
    async with scripted(**options) as agent:
        message = await agent.play(
            ask("c", *offered, **SHELL), {"end": {"stopReason": "cancelled"}}
        )
        async for event in agent.session.stream():
            if isinstance(event, e.PermissionRequested):
                await agent.session.answer(event, "deny", reason="not now")
        result = await message.result()
        assert (result.status, result.reason) == ("interrupted", "denied")
        assert [denial.call for denial in result.denials] == ["c"]
        assert message.state == "cancelled"
        stopped, _ = await agent.run({"end": {"stopReason": "cancelled"}})
        assert stopped.reason == "interrupted"


@fault("A14")
async def test_interrupt_after_a_denial_is_an_interrupt(scripted: Open) -> None:
    async with scripted() as agent:
        message = await agent.play(
            ask("c", **SHELL), {"until": "session/cancel"}, {"end": {"stopReason": "cancelled"}}
        )
        asked = await agent.until(e.PermissionRequested)
        await agent.session.answer(asked, "deny")
        await agent.session.interrupt()
        assert (await message.result()).reason == "interrupted"


MODES = {
    "sessionId": "s-1",
    "modes": {
        "availableModes": [{"id": "ask"}, {"id": "plan"}, {"id": "yolo"}],
        "currentModeId": "ask",
    },
}


def mode(own: str) -> dict[str, Any]:
    return {"update": {"sessionUpdate": "current_mode_update", "currentModeId": own}}


@pytest.mark.parametrize("began", ["plan", "acceptEdits", "bypassPermissions"])
async def test_mode_that_the_agent_changes_by_itself_is_followed(
    scripted: Open, began: Any
) -> None:
    after = "default" if began == "plan" else began
    async with scripted({"session": MODES}, permission_mode=began) as agent:
        await agent.run(mode("plan"), words("x"))
        assert agent.session.permission_mode == "plan"
        _, events = await agent.run(mode("ask"), words("x"))
        assert agent.session.permission_mode == after
        texts = [event.text for event in events if isinstance(event, e.Notice)]
        assert texts == [f"the agent changed its permission mode to {after}"]
        set_by_us = [sent["modeId"] for sent in agent.sent("session/set_mode")]
        assert set_by_us == ["plan" if began == "plan" else "ask"]


async def test_agent_that_goes_over_to_a_wider_mode_is_put_back(scripted: Open) -> None:
    async with scripted({"session": MODES}) as agent:
        _, events = await agent.run(mode("yolo"), {"until": "session/set_mode"}, words("x"))
        assert agent.session.permission_mode == "default"
        assert [sent["modeId"] for sent in agent.sent("session/set_mode")] == ["ask", "ask"]
        (text,) = [v.text for v in events if isinstance(v, e.Notice) and v.level == "warning"]
        assert "its own mode yolo, and is put back to default" in text


# Limits, money and failures -------------------------------------------------------------------


async def test_turn_is_stopped_before_one_model_call_too_many(scripted: Open) -> None:
    async with scripted(max_turns=2) as agent:
        result, _ = await agent.run(
            *(tool("a", "in_progress", title="ls"), tool("b", "in_progress", title="ls")),
            *(tool("a", "completed"), tool("b", "completed"), words("so far")),
            *(tool("c", "in_progress", title="ls"), tool("c", "completed")),
            {"until": "session/cancel"},
            {"end": {"stopReason": "cancelled"}},
        )
    assert (result.status, result.reason, result.steps) == ("limit", "max_turns", 2)


async def test_money_comes_as_a_sum_and_its_limit_holds(scripted: Open) -> None:
    async with scripted(cost="supported", max_budget_usd=1.0) as agent:
        first, _ = await agent.run(cost(0.25), cost(0.5), words("x"))
        forgot, _ = await agent.run(cost(0.125), words("x"))
        over, _ = await agent.run(
            cost(0.625), {"until": "session/cancel"}, {"end": {"stopReason": "cancelled"}}
        )
    assert [first.cost_usd, forgot.cost_usd, over.cost_usd] == [0.5, 0.125, 0.5]
    assert (over.status, over.reason, over.total_cost_usd) == ("limit", "max_budget", 1.125)


@fault("A15")
async def test_what_an_agent_does_not_tell_of_its_cost_is_not_known(scripted: Open) -> None:
    async with scripted() as agent:
        assert agent.session.capabilities["cost"] == "not"
        silent, events = await agent.run(tool("a", "completed", title="ls"), words("x"))
        usages = [event for event in events if isinstance(event, e.Usage)]
        assert {(one.cost_usd, one.total_cost_usd, one.estimated) for one in usages} == {
            (None, None, False)
        }
        told, _ = await agent.run(words("x"), cost(0.5))
        assert agent.session.total_cost_usd is None
    assert (silent.cost_usd, silent.total_cost_usd) == (None, None)
    assert (told.cost_usd, told.total_cost_usd) == (0.5, None)


@fault("A15")
async def test_turn_that_is_stopped_before_a_sign_of_life_has_an_unknown_cost(
    scripted: Open,
) -> None:
    """One that failed before it came to its model has cost nothing."""
    async with scripted() as agent:
        failed, _ = await agent.run({"error": {"code": -32000, "message": "log in"}})
        message = await agent.play(
            {"until": "session/cancel"}, {"end": {"stopReason": "cancelled"}}
        )
        await agent.until(e.TurnStarted, 2)
        await agent.session.interrupt()
        stopped = await message.result()
    assert (failed.status, failed.cost_usd, failed.total_cost_usd) == ("failed", 0.0, 0.0)
    assert (stopped.cost_usd, stopped.total_cost_usd) == (None, None)


@fault("A15")
@pytest.mark.parametrize("agent", ["copilot", "acp:whatever --acp"])
async def test_budget_is_refused_before_an_agent_is_started_that_tells_no_cost(
    agent: str, tmp_path: Path
) -> None:
    with pytest.raises(UnsupportedOption, match=r"max_budget_usd: .* tell what it costs"):
        midflight.dispatch("x", agent=agent, cwd=tmp_path, max_budget_usd=1.0)


QUOTA = [
    {"model": "gemini-2.5-pro", "token_count": {"input_tokens": 100_000, "output_tokens": 10_000}},
    {"model": "gemini-2.5-flash", "token_count": {"input_tokens": 10_000, "output_tokens": 1}},
]
USAGE = {"inputTokens": 120_000, "outputTokens": 10_000, "cachedReadTokens": 0}
MODELS = {
    "sessionId": "s-1",
    "models": {
        "availableModels": [{"modelId": "gemini-2.5-pro"}, {"modelId": "homegrown"}],
        "currentModelId": "gemini-2.5-pro",
    },
}


@fault("A15")
@pytest.mark.parametrize(
    "told", [{"_meta": {"quota": {"model_usage": QUOTA}}}, {"usage": USAGE}], ids=["quota", "usage"]
)
async def test_tokens_of_a_prompt_are_an_estimate_and_its_limit_holds(
    scripted: Open, told: dict[str, Any]
) -> None:
    end = {"end": {"stopReason": "end_turn", **told}}
    async with scripted({"session": MODELS}, cost="estimated", max_budget_usd=0.3) as agent:
        assert agent.session.capabilities["cost"] == "estimated"
        first, _ = await agent.run(words("x"), end)
        assert first.cost_usd is not None
        assert 0.2 < first.cost_usd < 0.3
        assert first.usage.output_tokens >= 10_000
        second, _ = await agent.run(words("x"), end)
        assert second.total_cost_usd == pytest.approx(2 * first.cost_usd)
        third, _ = await agent.run(words("x"), end)
    assert (third.status, third.reason) == ("limit", "max_budget")
    assert agent.methods().count("session/prompt") == 2


@fault("A15")
async def test_tokens_of_each_model_call_stop_a_turn_over_its_budget(scripted: Open) -> None:
    """As Qwen Code tells them; what was read from a cache stands among its input."""
    counted = {"inputTokens": 100_000, "outputTokens": 5_000, "totalTokens": 110_000}
    usage = {**counted, "cachedReadTokens": 60_000, "thoughtTokens": 5_000}
    call = words("")
    call["update"]["_meta"] = {"usage": usage}
    async with scripted({"session": MODELS}, cost="estimated", max_budget_usd=0.25) as agent:
        result, events = await agent.run(
            call, call, {"until": "session/cancel"}, {"end": {"stopReason": "cancelled"}}
        )
    first = next(event for event in events if isinstance(event, e.Usage) and event.input_tokens)
    assert (first.input_tokens, first.cache_read_tokens) == (40_000, 60_000)
    assert first.output_tokens == 10_000
    assert (result.status, result.reason) == ("limit", "max_budget")
    assert result.cost_usd is not None
    assert result.cost_usd > 0.25


@fault("A15")
@pytest.mark.parametrize("told", [{}, {"usage": USAGE}], ids=["no tokens", "no price"])
async def test_session_with_a_budget_stops_where_its_cost_is_not_told(
    scripted: Open, told: dict[str, Any]
) -> None:
    """The agent has gone over to another model by itself, or has become silent."""
    chosen = {"id": "model", "category": "model", "currentValue": "homegrown", "options": []}
    switch = {"update": {"sessionUpdate": "config_option_update", "configOptions": [chosen]}}
    end = {"end": {"stopReason": "end_turn", **told}}
    async with scripted({"session": MODELS}, cost="estimated", max_budget_usd=5.0) as agent:
        first, events = await agent.run(switch, words("x"), end)
        second, _ = await agent.run(words("x"), end)
    assert (first.status, first.total_cost_usd) == ("completed", None)
    assert "has not told what this turn has cost" in str(events)
    assert (second.status, second.reason) == ("limit", "max_budget")
    assert agent.methods().count("session/prompt") == 1


@fault("A15")
async def test_budget_is_refused_with_a_model_that_has_no_list_price(scripted: Open) -> None:
    with pytest.raises(UnsupportedOption, match=r"max_budget_usd: .* homegrown"):
        async with scripted(
            {"session": MODELS}, cost="estimated", max_budget_usd=1.0, model="homegrown"
        ):
            pass
    async with scripted({"session": MODELS}, cost="estimated", max_budget_usd=1.0) as agent:
        with pytest.raises(UnsupportedOption, match=r"max_budget_usd: .* homegrown"):
            await agent.session.set_model("homegrown")
        await agent.session.set_model("gemini-2.5-pro")
        await agent.run(words("x"))
    assert [sent["modelId"] for sent in agent.sent("session/set_model")] == [
        "homegrown",
        "gemini-2.5-pro",
    ]


@pytest.mark.parametrize(
    ("paid", "steps", "turn"),
    [
        (0.0, [cost(3), words("x"), cost(3.5)], 0.5),  # the first is of the past
        (3.0, [words("x"), cost(3.5)], 0.5),
        (3.0, [words("x"), cost(0.5)], 0.5),  # an agent that counts anew with each program
        (0.0, [words("x"), cost(0.5)], 0.5),
    ],
)
async def test_earlier_turns_are_not_paid_again_in_a_resumed_conversation(
    scripted: Open, paid: float, steps: list[Any], turn: float
) -> None:
    async with scripted(RESUMES, resume="earlier", spent_usd=paid) as agent:
        result, _ = await agent.run(*steps)
    assert (result.cost_usd, result.total_cost_usd) == (turn, paid + turn)


async def test_turns_before_an_agents_death_are_not_paid_again(scripted: Open) -> None:
    async with scripted(RESUMES, cost="supported") as agent:
        await agent.run(words("x"), cost(0.5))
        await agent.run({"exit": 9})
        result, _ = await agent.run(words("x"), cost(0.75))
    assert (result.cost_usd, result.total_cost_usd) == (0.25, 0.75)


@pytest.mark.parametrize(
    ("end", "ended"),
    [
        ({"end": {"stopReason": "max_tokens"}}, "failed/max_tokens"),
        ({"end": {"stopReason": "refusal"}}, "failed/refusal"),
        ({"end": {"stopReason": "max_turn_requests"}}, "limit/max_turns"),
        ({"end": {"stopReason": "of_the_future"}}, "failed/agent_error"),
        ({"end": "?"}, "failed/agent_error"),
        ({"error": {"code": -32000, "message": "Authentication required"}}, "failed/auth"),
        ({"error": {"code": -32603, "message": "invalid x-api-key"}}, "failed/auth"),
        (
            {"error": {"code": -32603, "message": "no", "data": {"errorKind": "rate_limit"}}},
            "failed/api_error",
        ),
        (
            {"error": {"code": -32603, "message": "You've hit your 5-hour limit"}},
            "limit/usage_limit",
        ),
        (
            {"error": {"code": -32603, "message": "prompt is too long: 9 > 8"}},
            "failed/context_full",
        ),
        ({"error": {"code": -32603, "message": "oops"}}, "failed/agent_error"),
    ],
)
async def test_prompt_ends_with_the_reason_that_the_agent_reports(
    scripted: Open, end: dict[str, Any], ended: str
) -> None:
    async with scripted() as agent:
        result, _ = await agent.run(words("x"), end)
    assert f"{result.status}/{result.reason}" == ended


async def test_keys_do_not_show_in_the_agents_errors(scripted: Open) -> None:
    async with scripted(env={"SOME_API_KEY": "sk-1234567890"}) as agent:
        failure = {"error": {"code": 1, "message": "bad", "data": {"details": "sk-1234567890"}}}
        result, _ = await agent.run(failure)
    assert result.text == "bad: [redacted]"
    said = {"refusal": {"code": 1, "message": "bad sk-1234567890"}}
    with pytest.raises(AgentFailed, match=r"refused session/new: bad \[redacted\]"):
        async with scripted(said, env={"SOME_API_KEY": "sk-1234567890"}):
            pass


async def test_usage_limit_is_waited_for_if_the_agents_text_has_its_end(
    scripted: Open,
) -> None:
    said = "You've hit your usage limit. Try again in 2 hours."
    async with scripted(on_usage_limit="wait") as agent:
        await agent.play({"error": {"code": -32603, "message": said}})
        told = await agent.until(midflight.UsageLimitReached)
        assert told.resets_at == pytest.approx(time.time() + 2 * 3600, abs=120)
        assert agent.session.status == "waiting"
        result, _ = await agent.run(words("on we go"))
        assert result.text == "on we go"


# Finding the agent ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("agent", "error"),
    [
        ("acp:no-such-agent acp", "acp:no-such-agent: no-such-agent is not installed .after acp: "),
        (f"acp:{PROGRAM}", f"acp:acp_agent.py: {PROGRAM} is not executable"),
        ("gemini", r"^gemini is not installed \(npm install -g @google/gemini-cli\)"),
    ],
)
async def test_agent_that_is_not_there_is_one_line_with_a_hint(
    tmp_path: Path, agent: str, error: str
) -> None:
    with pytest.raises(AgentUnavailable, match=error):
        async with midflight.open(agent=agent, cwd=tmp_path, env={"PATH": "/nowhere"}):
            pass


@pytest.mark.parametrize("agent", ["acp:", "acp:'x", "gemini:x", "gemni", "claude:x"])
async def test_name_that_means_no_agent_is_an_invalid_option(tmp_path: Path, agent: str) -> None:
    with pytest.raises(midflight.InvalidOption, match="agent"):
        async with midflight.open(agent=agent, cwd=tmp_path):
            pass

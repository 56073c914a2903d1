"""Checks of what reaches an agent by options, and of what it reports beside text and tools."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

from midflight import events as e
from midflight.agents import create
from midflight.agents.base import Died, Finished, Remembered
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.testing.conformance.rig import PATIENCE_S, Stage
from midflight.testing.conformance.rows.verbs import BASH, in_turn
from midflight.testing.model.dialect import offers
from midflight.testing.model.script import (
    HttpError,
    ModelRequest,
    Step,
    Text,
    ToolCall,
    Usage,
    Wait,
)
from midflight.testing.model.server import ScriptedModel

MCP_SERVER = Path(__file__).with_name("mcp_server.py")
TASK_CALL = "toolu_task"
DEAR_USD = 0.1
EFFORT_FIELDS = (
    *("output_config", "thinking", "effort"),
    *("reasoning", "reasoning_effort", "generationConfig"),
)
"""The fields of a request that hold the effort, in any of the APIs."""


def make_skill(folder: Path, name: str) -> None:
    """Write a skill below a folder of skills."""
    path = folder / name / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text(f"---\nname: {name}\ndescription: The {name} skill\n---\nBe {name}.\n")


async def refused(stage: Stage, option: str, value: Any) -> None:
    """See that an option is an error by name, before anything starts."""
    try:
        async with stage.play([], **{option: value}):
            pass
    except UnsupportedOption as error:
        message = str(error)
    else:
        raise AssertionError(f"{option} was taken")
    assert option in message


async def plugins(stage: Stage) -> None:
    """Give a plugin's folder, and one that is not there: skills, and a problem."""
    plugin = stage.folder / "myplug"
    (plugin / ".claude-plugin").mkdir(parents=True)
    (plugin / ".claude-plugin" / "plugin.json").write_text(json.dumps({"name": "myplug"}))
    make_skill(plugin / "skills", "hello-skill")
    folders = [plugin, stage.folder / "nowhere"]
    async with stage.play([Text("x")], plugins=folders) as on:
        await on.ask()
        started = next(v for v in await on.events() if isinstance(v, e.SessionStarted))
        assert any("hello-skill" in skill for skill in started.skills)
        assert "nowhere" in str(started.problems)
        assert "The hello-skill skill" in json.dumps(on.requests[0].body)


async def skills(stage: Stage) -> None:
    """Name one of two skills, and one that is not there: the first alone, and a problem.

    Where that is made by midflight, the model may see the second, but it cannot have it.
    """
    for name in ("alpha", "beta"):
        make_skill(stage.cwd / stage.rig.skills, name)
    steps: list[Step] = [ToolCall("Skill", {"skill": "beta"}), Text("x")]
    async with stage.play(steps, skills=["alpha", "gamma"], trust=True) as on:
        await on.ask()
        started = next(v for v in await on.events() if isinstance(v, e.SessionStarted))
        assert "gamma" in str(started.problems)
        body = json.dumps(on.requests[0].body)
        assert "The alpha skill" in body
        if stage.can["skills"] == "supported":
            assert "The beta skill" not in body
        assert "Be beta." not in str(on.requests[1].messages)


async def mcp_servers(stage: Stage) -> None:
    """Give an MCP server: the model calls its tool.

    Where the agent decides what it asks, it may ask although the tool was allowed: not every one of
    them says whose tool it is.
    """
    servers = {"good": {"command": sys.executable, "args": [str(MCP_SERVER)]}}
    tool = "mcp__good__shout"
    steps: list[Step] = [ToolCall(tool, {"text": "hello"}), Text("x")]
    async with stage.play(steps, mcp_servers=servers, allowed_tools=[tool], attended=True) as on:
        await on.session.send("go")
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                assert stage.can["permissions"] != "supported"
                await on.session.answer(event)
        assert "HELLO" in str(on.requests[1].tool_results)


async def system_prompt(stage: Stage) -> None:
    """Give a prompt: it stands where the agent's own did."""
    async with stage.play([Text("x")], system_prompt="You are a gardener.") as on:
        await on.ask()
        assert "You are a gardener." in on.requests[0].system


async def effort(stage: Stage) -> None:
    """Choose two efforts: the model is asked differently."""
    asked = []
    for level in ("low", "high"):
        async with stage.play([Text("x")], effort=level, model=stage.rig.models.best) as on:
            await on.ask()
            asked.append({name: on.requests[0].body.get(name) for name in EFFORT_FIELDS})
    assert asked[0] != asked[1]


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
)
"""A PNG."""


async def images(stage: Stage) -> None:
    """Send an image: the model gets its very bytes, with the text."""
    async with stage.play([Text("red"), Text("still red")]) as on:
        message = await on.session.send("which colour?", images=[PIXEL])
        assert (await message.result()).text == "red"
        assert on.requests[0].images == [("image/png", PIXEL)]
        assert "which colour?" in on.requests[0].last_user_text
        await on.ask("and now?")
        assert on.requests[1].images == [("image/png", PIXEL)]


async def no_images(stage: Stage) -> None:
    """Send an image: an error says that the agent takes none."""
    async with stage.play([Text("x")]) as on:
        await on.ask()  # it is up
        try:
            await on.session.send("which colour?", images=[PIXEL])
        except UnsupportedOption as error:
            message = str(error)
        else:
            raise AssertionError("the image was taken")
        assert "images" in message


async def add_dirs(stage: Stage) -> None:
    """Add a folder: a file in it is read, without a request."""
    other = stage.folder / "other"
    other.mkdir()
    (other / "there.txt").write_text("a far file")
    steps: list[Step] = [ToolCall("Read", {"file_path": str(other / "there.txt")}), Text("x")]
    async with stage.play(steps, add_dirs=[other], attended=False) as on:
        await on.ask()
        assert "a far file" in str(on.requests[1].tool_results)


async def resume(stage: Stage) -> None:
    """Resume a conversation in another session: it knows the history."""
    async with stage.model([Text("one"), Text("two")]) as model:
        async with stage.session(model) as on:
            await on.ask("remember the word plum")
            earlier = on.session.agent_session
        async with stage.session(model, resume=earlier) as on:
            await on.ask("which word?")
            assert "remember the word plum" in json.dumps(on.requests[1].messages)
            assert on.session.agent_session == earlier


async def relocate(stage: Stage) -> None:
    """Lose a conversation, as on another machine: what was remembered brings it back."""
    async with stage.model([Text("one"), Text("two")]) as model:
        memory: dict[str, list[str]] = {}
        session = await _turn_of_driver(stage, model, memory, "remember the word plum")
        await stage.rig.forget(stage, session)
        assert await _turn_of_driver(stage, model, memory, "which word?", session) == session
        assert "remember the word plum" in json.dumps(model.requests[1].messages)


async def no_relocate(stage: Stage) -> None:
    """Have the agent remember what is said: it hands out nothing."""
    async with stage.model([Text("one")]) as model:
        memory: dict[str, list[str]] = {}
        await _turn_of_driver(stage, model, memory, "remember the word plum")
        assert memory == {}


async def _turn_of_driver(
    stage: Stage,
    model: ScriptedModel,
    memory: dict[str, list[str]],
    text: str,
    resume: str | None = None,
) -> str:
    """Start an agent and have a turn; add to ``memory`` what it reports, and return its session."""
    agent = create(Options.build(**stage.options(model), resume=resume))
    session = ""
    try:
        await agent.start(memory)
        await agent.send("m1", text, steer=False, typed=False)
        async with asyncio.timeout(PATIENCE_S):
            async for signal in agent.events():
                match signal:
                    case Remembered(part=part, lines=lines, anew=anew):
                        before = [] if anew else memory.get(part, [])
                        memory[part] = [*before, *lines]
                    case e.SessionStarted():
                        session, stage.version = signal.agent_session, signal.agent_version
                    case Finished() | Died():
                        break
    finally:
        await agent.close()
    return session


async def retries(stage: Stage) -> None:
    """Fail once: the new attempt is reported, or not, as the agent's row says."""
    overloaded = HttpError(529, headers={"retry-after": "1"})
    async with stage.play([overloaded, Text("fine")]) as on:
        assert (await on.ask()).text.endswith("fine")  # some agents report the error as a text
        attempts = [v.attempt for v in await on.events() if isinstance(v, e.Retry)]
        assert attempts == ([1] if _has(stage, "retries") else [])


async def plan(stage: Stage) -> None:
    """Have the agent write its list of things to do: it is reported, or not, as the row says."""
    todos = [
        {"content": "dig", "status": "completed", "activeForm": "digging"},
        {"content": "sow", "status": "pending", "activeForm": "sowing"},
    ]
    async with stage.play([ToolCall("TodoWrite", {"todos": todos}), Text("x")]) as on:
        await on.ask()
        kept = offers(on.requests[0], "TodoWrite")
        plans = [v.entries for v in await on.events() if isinstance(v, e.Plan)]
    if _has(stage, "plan"):
        assert [(one.text, one.status) for one in plans[-1]] == [
            ("dig", "completed"),
            ("sow", "pending"),
        ]
    else:
        assert plans == [] or not kept


async def background(stage: Stage) -> None:
    """Start a command that outlives its turn: it is reported, and so is the turn that it wakes."""
    release = stage.cwd / "release"
    command = f"while [ ! -e '{release}' ]; do sleep 0.05; done"
    steps: list[Step] = [
        ToolCall("Bash", {"command": command, "run_in_background": True}),
        Text("started"),
        Text("it has ended"),
    ]
    async with stage.play(steps, **BASH) as on:
        await on.session.send("go")
        origins = []
        async for event in on.session.stream():
            if isinstance(event, e.TurnStarted):
                origins.append(event.origin)
            if isinstance(event, e.TurnEnded):
                release.touch()
        assert origins == ["message", "background"]
        assert any(isinstance(event, e.TaskEnded) for event in await on.everything())


async def no_background(stage: Stage) -> None:
    """Start a command that should outlive its turn: nothing of that is reported."""
    call = ToolCall("Bash", {"command": "echo > made", "run_in_background": True})
    async with stage.play(in_turn([call]), **BASH) as on:
        await on.ask()
        seen = await on.everything()
        assert [v.origin for v in seen if isinstance(v, e.TurnStarted)] == ["message"]
        assert not any(isinstance(event, e.TaskStarted) for event in seen)


async def subagents(stage: Stage) -> None:
    """Have a sub-agent run a command: its request and its call name the call they belong to.

    Where the sub-agent works beside the turn, the turn must not end before its request is answered.
    """
    async with stage.play(_with_sub_agent) as on:
        if not _has(stage, "subagents"):
            on.model.signal("answered")
        await on.session.send("go")
        asked = []
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                asked.append(event.parent)
                await on.session.answer(event)
                on.model.signal("answered")
            if isinstance(event, e.ToolEnded) and event.status != "completed":
                on.model.signal("answered")  # there is no sub-agent
        seen = await on.everything()
        below = [v.kind for v in seen if isinstance(v, e.ToolStarted) and v.parent == TASK_CALL]
        if _has(stage, "subagents"):
            assert asked == [TASK_CALL]
            assert below == ["execute"]
            # Where midflight has a part in it, a sub-agent's cost may come with the next turn.
            assert (
                stage.can["subagents"] == "emulated" or (on.session.total_cost_usd or 0) > DEAR_USD
            )
        else:
            assert below == []


def _with_sub_agent(request: ModelRequest) -> Step:
    messages = json.dumps(request.messages)
    if TASK_CALL in messages:
        return [Wait("answered"), Text("done")]
    if "sub: say hi" not in messages:
        task = {"description": "look", "prompt": "sub: say hi", "subagent_type": "general-purpose"}
        return ToolCall("Agent", task, id=TASK_CALL)
    if not request.tool_results:
        return ToolCall("Bash", {"command": "touch made"})
    return [Usage(50_000, 1_000), Text("hi from below")]


def _has(stage: Stage, row: str) -> bool:
    return stage.can[row] != "not"

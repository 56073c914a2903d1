"""One test for each row of the table of options, on every agent that has the thing."""

import asyncio
import json
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

import midflight
from midflight import events as e
from midflight.testing import FakeAgent, HttpError, Silence, Text, ToolCall, Usage, Wait
from midflight.testing.conformance import CLAUDE, FAKE, Rig
from midflight.testing.scene import QUESTION

pytestmark = pytest.mark.usefixtures("no_agent_left")

from midflight.testing.row_options import MCP_SERVER

Play = Callable[..., Any]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on every agent that has what it shows."""
    if "rig" in metafunc.fixturenames:
        rows = [row for mark in metafunc.definition.iter_markers("shows") for row in mark.args]
        lacking = any(FakeAgent.capabilities[row] == "not" for row in rows)
        real_only = lacking or metafunc.definition.get_closest_marker("real_only")
        rigs = [CLAUDE] if real_only else [CLAUDE, FAKE]
        metafunc.parametrize("rig", rigs, ids=lambda rig: rig.agent, indirect=True)


real_only = pytest.mark.real_only
"""Marks a test of what only a real agent has: its files, its own options, its processes."""


def shows(*rows: str) -> pytest.MarkDecorator:
    """Mark a test that shows rows of docs/capabilities.md."""
    return pytest.mark.shows(*rows)


@pytest.fixture
def play(tmp_path: Path, claude_home: Path, rig: Rig) -> Play:
    """Open a session on the scripted model: ``async with play(steps, **options) as session``."""

    @asynccontextmanager
    async def opened(steps: Any, **options: Any) -> AsyncIterator[midflight.Session]:
        cwd = tmp_path / "cwd"
        cwd.mkdir(exist_ok=True)
        async with rig.model(steps) as model:
            env = {**model.env(claude_home), **options.pop("env", {})}
            async with midflight.open(agent=rig.agent, cwd=cwd, env=env, **options) as session:
                session.model = model  # type: ignore[attr-defined]  # for the tests to look into
                yield session

    return opened


async def ask(session: midflight.Session, text: str = "go") -> midflight.Result:
    async with asyncio.timeout(20):
        message = await session.send(text)
        return await message.result()


async def events_of(session: midflight.Session) -> list[e.Event]:
    async with asyncio.timeout(20):
        return [event async for event in session.stream()]


async def everything(session: midflight.Session) -> list[e.Event]:
    """Close the session and return all its durable events."""
    await session.close()
    async with asyncio.timeout(20):
        return [event async for event in session.events() if event.durable]


def requests_of(session: midflight.Session) -> list[Any]:
    return list(session.model.requests)  # type: ignore[attr-defined]


def write(path: Path, name: str = "Write") -> ToolCall:
    return ToolCall(name, {"file_path": str(path), "content": "by the agent"})


@shows("set_model")
async def test_the_model_is_the_one_asked_for_and_can_be_switched(play: Play) -> None:
    async with play([Text("one"), Text("two")], model="sonnet") as session:
        await ask(session)
        await session.set_model("haiku")
        await ask(session)
        first, second = requests_of(session)
        assert "sonnet" in first.model
        assert "haiku" in second.model


@shows("max_turns")
async def test_a_turn_ends_at_max_turns_and_the_next_one_counts_anew(play: Play) -> None:
    calls = [ToolCall("Bash", {"command": f"echo {number}"}) for number in range(2)]
    async with play([*calls, Text("fine")], max_turns=2, allowed_tools=["Bash"]) as session:
        cut = await ask(session)
        assert (cut.status, cut.reason, cut.steps) == ("limit", "max_turns", 2)
        assert (await ask(session)).status == "completed"


@shows("permissions")
async def test_an_allowed_tool_runs_unasked_and_a_disallowed_one_never(play: Play) -> None:
    steps = [ToolCall("Bash", {"command": "echo hi > made"}), Text("done")]
    async with play(steps, allowed_tools=["Bash"]) as session:
        await ask(session)
        assert (session.options.cwd / "made").exists()
    async with play([Text("ok")], disallowed_tools=["Bash"]) as session:
        await ask(session)
        assert "Bash" not in requests_of(session)[0].tools


async def test_in_default_mode_a_change_is_asked_for_and_nobody_there_means_no(
    play: Play, tmp_path: Path
) -> None:
    target = tmp_path / "cwd" / "new.txt"
    async with play([write(target), Text("could not")]) as session:
        result = await ask(session)
        assert not target.exists()
        assert [denial.name for denial in result.denials] == ["Write"]
        assert "nobody" in result.denials[0].reason
        assert "nobody" in str(requests_of(session)[1].tool_results)


async def test_reading_in_the_folder_is_never_asked_for(play: Play) -> None:
    steps = [ToolCall("Bash", {"command": "ls"}), Text("done")]
    async with play(steps, attended=True) as session:
        await ask(session)
        assert not [v for v in await events_of(session) if isinstance(v, e.PermissionRequested)]


async def test_accept_edits_asks_for_commands_only(play: Play, tmp_path: Path) -> None:
    target = tmp_path / "cwd" / "new.txt"
    command = ToolCall("Bash", {"command": "curl http://127.0.0.1:9/ > out.txt"})
    async with play([write(target), command, Text("x")], permission_mode="acceptEdits") as session:
        result = await ask(session)
        assert target.read_text() == "by the agent"
        assert [denial.name for denial in result.denials] == ["Bash"]


async def test_plan_mode_changes_nothing(play: Play, tmp_path: Path) -> None:
    target = tmp_path / "cwd" / "new.txt"
    async with play([write(target), Text("x")], permission_mode="plan") as session:
        assert (await ask(session)).status == "completed"
        assert not target.exists()


async def test_dont_ask_denies_what_was_not_allowed_beforehand(play: Play, tmp_path: Path) -> None:
    target = tmp_path / "cwd" / "new.txt"
    steps = [write(target), ToolCall("Bash", {"command": "touch made"}), Text("x")]
    options: dict[str, Any] = {"permission_mode": "dontAsk", "allowed_tools": ["Bash"]}
    async with play(steps, attended=True, **options) as session:
        result = await ask(session)
        assert not target.exists()
        assert (session.options.cwd / "made").exists()
        assert [denial.name for denial in result.denials] == ["Write"]


@shows("set_permission_mode")
async def test_bypass_asks_nothing_as_root_too_and_can_be_switched_on_later(
    play: Play, tmp_path: Path
) -> None:
    first, second = tmp_path / "cwd" / "a.txt", tmp_path / "cwd" / "b.txt"
    steps = [write(first), Text("denied"), write(second), Text("done")]
    async with play(steps, attended=False) as session:
        await ask(session)
        assert not first.exists()
        await session.set_permission_mode("bypassPermissions")
        assert (await ask(session)).denials == ()
        assert second.exists()
        resolved = [v for v in await events_of(session) if isinstance(v, e.PermissionResolved)]
        assert [(v.decision, v.by) for v in resolved] == [("deny", "policy"), ("allow", "policy")]


@shows("permissions")
async def test_an_answer_can_change_the_input_or_deny_with_a_reason(
    play: Play, tmp_path: Path
) -> None:
    steps = [write(tmp_path / "cwd" / "a.txt"), write(tmp_path / "cwd" / "b.txt"), Text("x")]
    async with play(steps, attended=True) as session:
        message = await session.send("go")
        async for event in session.stream():
            if isinstance(event, e.PermissionRequested):
                if event.input["file_path"].endswith("a.txt"):
                    changed = {**event.input, "content": "by the person"}
                    await session.answer(event, input=changed)
                else:
                    await session.answer(event, "deny", reason="not this one")
        assert (tmp_path / "cwd" / "a.txt").read_text() == "by the person"
        assert not (tmp_path / "cwd" / "b.txt").exists()
        assert (await message.result()).denials[0].reason == "not this one"
        assert "not this one" in str(requests_of(session)[2].tool_results)


@shows("questions")
async def test_a_question_reaches_the_reader_and_its_answer_the_agent(play: Play) -> None:
    async with play([ToolCall("AskUserQuestion", QUESTION), Text("Blue it is")]) as session:
        message = await session.send("go")
        async for event in session.stream():
            if isinstance(event, e.QuestionRequested):
                (question,) = event.questions
                assert [option.label for option in question.options] == ["Blue", "Red"]
                await session.answer(event, answers={question.question: "Blue"})
        assert (await message.result()).text == "Blue it is"
        assert "Blue" in str(requests_of(session)[1].tool_results)


async def test_parallel_tool_calls_are_each_asked_for(play: Play, tmp_path: Path) -> None:
    both = [write(tmp_path / "cwd" / "a.txt"), write(tmp_path / "cwd" / "b.txt")]
    async with play([both, Text("x")], attended=True) as session:
        await session.send("go")
        asked = []
        async for event in session.stream():
            if isinstance(event, e.PermissionRequested):
                asked.append(event.call)
                await session.answer(event)
        assert len(set(asked)) == 2
        assert (tmp_path / "cwd" / "b.txt").exists()


@shows("plugins")
async def test_a_plugin_brings_its_skills_and_a_bad_path_is_a_problem(
    play: Play, tmp_path: Path
) -> None:
    plugin = tmp_path / "myplug"
    (plugin / ".claude-plugin").mkdir(parents=True)
    (plugin / ".claude-plugin" / "plugin.json").write_text(json.dumps({"name": "myplug"}))
    skill = plugin / "skills" / "hello-skill" / "SKILL.md"
    skill.parent.mkdir(parents=True)
    skill.write_text("---\nname: hello-skill\ndescription: Say hello\n---\nSay hello.\n")
    async with play([Text("x")], plugins=[plugin, tmp_path / "nowhere"]) as session:
        await ask(session)
        started = next(v for v in await events_of(session) if isinstance(v, e.SessionStarted))
        assert "myplug:hello-skill" in started.skills
        assert "nowhere" in str(started.problems)


@shows("skills")
async def test_only_the_named_skills_are_offered_and_an_unknown_one_is_a_problem(
    play: Play, tmp_path: Path
) -> None:
    for name in ("alpha", "beta"):
        skill = tmp_path / "cwd" / ".claude" / "skills" / name / "SKILL.md"
        skill.parent.mkdir(parents=True)
        skill.write_text(f"---\nname: {name}\ndescription: The {name} skill\n---\nBe {name}.\n")
    async with play([Text("x")], skills=["alpha", "gamma"]) as session:
        await ask(session)
        started = next(v for v in await events_of(session) if isinstance(v, e.SessionStarted))
        assert "gamma" in str(started.problems)
        said = json.dumps(requests_of(session)[0].body)
        assert "The alpha skill" in said
        assert "The beta skill" not in said


@shows("interrupt")
@real_only
async def test_an_interrupt_stops_a_command_that_ignores_the_term_signal(play: Play) -> None:
    stubborn = "trap : TERM; while true; do sleep 0.2; done"
    steps = [ToolCall("Bash", {"command": stubborn}), Text("fine")]
    async with play(steps, allowed_tools=["Bash"]) as session:
        message = await session.send("go")
        async for event in session.stream():
            if isinstance(event, e.ToolStarted):
                async with asyncio.timeout(10):
                    while not commands_with(stubborn):  # noqa: ASYNC110 - a birth has no event
                        await asyncio.sleep(0.01)  # noqa: TID251
                await session.interrupt()
            if isinstance(event, e.TurnEnded):
                assert commands_with(stubborn) == []
        assert (await message.result()).reason == "interrupted"
        assert (await ask(session)).text == "fine"


def commands_with(text: str) -> list[int]:
    """Return the living descendants of this process whose command line has the text."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if text in " ".join(process.cmdline()) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


async def test_every_message_of_a_session_shares_one_conversation(play: Play) -> None:
    async with play([Text("one"), Text("two")]) as session:
        await ask(session, "remember the word plum")
        await ask(session, "which word?")
        assert "remember the word plum" in json.dumps(requests_of(session)[1].messages)


@shows("max_budget_usd")
async def test_the_budget_holds_over_the_whole_session(play: Play) -> None:
    dear = [Usage(100_000, 10_000), ToolCall("Bash", {"command": "echo"})]
    options: dict[str, Any] = {"max_budget_usd": 0.4, "allowed_tools": ["Bash"]}
    async with play(lambda _: dear, model="sonnet", **options) as session:
        result = await ask(session)
        assert (result.status, result.reason) == ("limit", "max_budget")
        assert result.total_cost_usd >= 0.4
        calls = len(requests_of(session))
        after = await ask(session)
        assert (after.status, after.reason) == ("limit", "max_budget")
        assert len(requests_of(session)) == calls


async def test_what_a_resumed_conversation_had_cost_counts_towards_the_budget(play: Play) -> None:
    async with play([], max_budget_usd=0.4, spent_usd=0.4) as session:
        result = await ask(session)
        assert (result.status, result.reason) == ("limit", "max_budget")


@shows("timeout")
async def test_a_turn_ends_at_its_timeout_even_while_a_tool_runs(play: Play) -> None:
    steps = [ToolCall("Bash", {"command": "while true; do sleep 1; done"}), Text("fine")]
    async with play(steps, timeout=1.5, allowed_tools=["Bash"]) as session:
        result = await ask(session)
        assert (result.status, result.reason) == ("limit", "timeout")
        assert (await ask(session)).status == "completed"


@shows("stall_timeout")
async def test_a_silence_is_first_told_and_ends_the_turn_at_stall_timeout(play: Play) -> None:
    async with play([[Text("well "), Silence()], Text("fine")], stall_timeout=3.0) as session:
        result = await ask(session)
        assert (result.status, result.reason) == ("limit", "stalled")
        kinds = [type(event) for event in await events_of(session)]
        assert kinds.index(e.Stalled) < kinds.index(e.TurnEnded)
        assert (await ask(session)).status == "completed"


async def test_a_long_tool_is_no_stall(play: Play) -> None:
    steps = [ToolCall("Bash", {"command": "sleep 2; sleep 2; echo"}), Text("fine")]
    async with play(steps, stall_timeout=3.0, allowed_tools=["Bash"]) as session:
        assert (await ask(session)).status == "completed"


async def test_a_request_that_nobody_answers_is_denied_at_its_deadline(
    play: Play, tmp_path: Path
) -> None:
    steps = [write(tmp_path / "cwd" / "a.txt"), Text("x")]
    async with play(steps, request_timeout=0.5) as session:
        message = await session.send("go")
        seen = await events_of(session)
        resolved = next(v for v in seen if isinstance(v, e.PermissionResolved))
        assert (resolved.decision, resolved.by) == ("deny", "deadline")
        assert (await message.result()).status == "completed"


async def test_the_program_itself_can_answer_requests(play: Play, tmp_path: Path) -> None:
    target = tmp_path / "cwd" / "a.txt"

    async def allow(request: Any) -> midflight.Answer:
        return midflight.Answer(request=request.request)

    async with play([write(target), Text("x")], on_request=allow) as session:
        await ask(session)
        assert target.exists()


@shows("mcp_servers")
async def test_an_mcp_server_gives_the_agent_tools_and_a_broken_one_is_a_problem(
    play: Play,
) -> None:
    servers = {
        "good": {"command": sys.executable, "args": [str(MCP_SERVER)]},
        "bad": {"command": "no-such-program"},
    }
    steps = [ToolCall("mcp__good__shout", {"text": "hello"}), Text("x")]
    options: dict[str, Any] = {"mcp_servers": servers, "allowed_tools": ["mcp__good__shout"]}
    async with play(steps, **options) as session:
        await ask(session)
        assert "HELLO" in str(requests_of(session)[1].tool_results)
        seen = await events_of(session)
        assert "bad" in str(next(v for v in seen if isinstance(v, e.SessionStarted)).problems)


@real_only
async def test_system_prompt_env_add_dirs_and_effort_reach_the_agent(
    play: Play, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "there.txt").write_text("a far file")
    steps = [
        ToolCall("Bash", {"command": "echo $COLOUR; pwd"}),
        ToolCall("Read", {"file_path": str(other / "there.txt")}),
        Text("x"),
    ]
    async with play(
        steps,
        system_prompt="You are a gardener.",
        env={"COLOUR": "green"},
        add_dirs=[other],
        effort="low",
        allowed_tools=["Bash"],
        attended=False,
    ) as session:
        await ask(session)
        first, second, third = requests_of(session)
        assert "You are a gardener." in json.dumps(first.body["system"])
        assert "green" in str(second.tool_results)
        assert str(session.options.cwd) in str(second.tool_results)
        assert "a far file" in str(third.tool_results)


@real_only
async def test_settings_are_loaded_unless_there_shall_be_none(play: Play, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "CLAUDE.md").write_text("Always speak of plums.")
    async with play([Text("x")]) as session:
        await ask(session)
        assert "Always speak of plums." in json.dumps(requests_of(session)[0].body)
    async with play([Text("x")], setting_sources=[]) as session:
        await ask(session)
        assert "Always speak of plums." not in json.dumps(requests_of(session)[0].body)


@shows("resume")
@real_only
async def test_a_conversation_can_be_resumed_by_another_session(play: Play) -> None:
    async with play([Text("one")]) as session:
        await ask(session, "remember the word plum")
        earlier = session.agent_session
    async with play([Text("two")], resume=earlier) as session:
        await ask(session, "which word?")
        assert "remember the word plum" in json.dumps(requests_of(session)[0].messages)
        assert session.agent_session == earlier


@real_only
async def test_a_conversation_that_is_lost_is_begun_anew_and_that_one_is_gone_on_with(
    play: Play, claude_home: Path
) -> None:
    async with play([Text("one"), Text("two"), Text("three")]) as session:
        await ask(session, "remember the word plum")
        first = session.agent_session
        await kill(session)
        shutil.rmtree(claude_home / ".claude" / "projects")
        await ask(session, "remember the word pear")
        second = session.agent_session
        assert second != first
        await kill(session)
        await ask(session, "which word?")
        assert session.agent_session == second
        said = json.dumps(requests_of(session)[2].messages)
        assert "pear" in said
        assert "plum" not in said
        notices = [v.text for v in await events_of(session) if isinstance(v, e.Notice)]
        assert any("knows nothing of what was said" in text for text in notices)


async def kill(session: midflight.Session) -> None:
    """Kill the agent's program and wait until the session knows."""
    for child in psutil.Process().children():
        if child.cwd() == str(session.options.cwd):
            child.kill()
    async with asyncio.timeout(10):
        async for event in session.events(after=session.last_seq):
            if isinstance(event, e.Notice) and "has ended" in event.text:
                return


@real_only
async def test_a_conversation_that_does_not_exist_cannot_be_resumed(play: Play) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(midflight.AgentFailed, match="No conversation found"):
        async with play([], resume=unknown):
            pass


async def test_an_option_that_the_agent_cannot_honour_is_an_error_before_anything_starts() -> None:
    with pytest.raises(midflight.UnsupportedOption, match="mcp_servers"):
        midflight.open(mcp_servers={"here": {"type": "sdk", "command": "x"}})


async def test_a_retry_is_told_and_voids_the_text_that_was_streamed(play: Play) -> None:
    async with play([HttpError(529), Text("fine")]) as session:
        assert (await ask(session)).text == "fine"
        seen = await events_of(session)
        (retry,) = [v for v in seen if isinstance(v, e.Retry)]
        assert (retry.attempt, retry.status) == (1, 529)


@shows("subagents")
async def test_a_sub_agents_events_name_the_call_that_they_belong_to(play: Play) -> None:
    task = ToolCall(
        "Agent",
        {"description": "look", "prompt": "sub: say hi", "subagent_type": "general-purpose"},
        id="toolu_task",
    )

    def script(request: Any) -> Any:
        said = json.dumps(request.messages)
        if "toolu_task" in said:
            return Text("done")
        if "sub: say hi" not in said:
            return task
        if not request.tool_results:
            return ToolCall("Bash", {"command": "touch made"})
        return [Usage(50_000, 1_000), Text("hi from below")]

    async with play(script) as session:
        await session.send("go")
        asked = []
        async for event in session.stream():
            if isinstance(event, e.PermissionRequested):
                asked.append((event.name, event.parent))
                await session.answer(event)
        assert asked == [("Bash", "toolu_task")]
        seen = await everything(session)
        below = [v for v in seen if isinstance(v, e.ToolStarted) and v.parent]
        assert [v.name for v in below] == ["Bash"]
        assert {v.parent for v in below} == {"toolu_task"}
        assert session.total_cost_usd > 0.1


@shows("background")
async def test_a_background_task_is_told_and_the_turn_that_it_wakes_too(
    play: Play, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    command = f"while [ ! -e {release} ]; do sleep 0.05; done"
    steps = [
        ToolCall("Bash", {"command": command, "run_in_background": True}),
        Text("started"),
        Text("it has ended"),
    ]
    async with play(steps, allowed_tools=["Bash"]) as session:
        await session.send("go")
        origins = []
        async for event in session.stream():
            if isinstance(event, e.TurnStarted):
                origins.append(event.origin)
            if isinstance(event, e.TurnEnded):
                release.touch()
        assert origins == ["message", "background"]


@shows("queue", "cancel")
async def test_queued_messages_run_one_by_one_and_can_be_changed_until_then(play: Play) -> None:
    steps = [[Wait("go"), Text("one")], Text("two"), Text("three"), Text("four")]
    async with play(steps) as session:
        await session.send("first")
        second, third, fourth, fifth = [
            await session.send(text, delivery="queue") for text in ("b", "c", "d", "e")
        ]
        await third.edit("c, but better")
        await fourth.move(before=second)
        assert await fifth.cancel()
        session.model.signal("go")
        results = [await message.result() for message in (second, third, fourth)]
        assert [result.text for result in results] == ["three", "four", "two"]
        assert [request.last_user_text for request in requests_of(session)] == [
            "first",
            "d",
            "b",
            "c, but better",
        ]


@shows("steer", "redirect")
async def test_a_queued_message_can_be_promoted_to_a_steer_or_a_redirect(
    play: Play, tmp_path: Path
) -> None:
    release = tmp_path / "release"
    hold = ToolCall("Bash", {"command": f"while [ ! -e {release} ]; do sleep 0.05; done"})
    steps = [hold, [Text("hm "), Wait("never")], Text("fine")]
    async with play(steps, allowed_tools=["Bash"]) as session:
        first = await session.send("first")
        steered = await session.send("also this", delivery="queue")
        urgent = await session.send("no, this", delivery="queue")
        async for event in session.stream():
            if isinstance(event, e.ToolStarted):
                await steered.promote()
                release.touch()
            if isinstance(event, e.TextDelta) and event.text == "hm ":
                await urgent.promote("now")
        assert (await first.result()).reason == "redirected"
        assert steered.turn == first.turn
        assert (await urgent.result()).text == "fine"
        session.model.signal("never")

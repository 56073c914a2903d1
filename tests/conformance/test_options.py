"""What the options of a session do, and how verbs and requests meet, on every agent that has them.

What makes a row of docs/capabilities.md is shown by midflight.testing.rows.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

import midflight
from midflight import events as e
from midflight.effects import CommandEffect, EditEffect
from midflight.errors import Conflict
from midflight.testing import HttpError, Step, Text, ToolCall, Wait
from midflight.testing.conformance import ACP_OPENCODE, RIGS, Rig
from midflight.testing.conformance.rig import Play, Stage
from midflight.testing.conformance.rows.options import MCP_SERVER
from midflight.testing.conformance.tool_keys import differences

pytestmark = pytest.mark.usefixtures("no_agent_left")

LEFT_OUT = {ACP_OPENCODE}
"""Seconds a session, and nothing of its own: the program is OpenCode's, the driver claude-acp's.

Of claude-acp, which starts two programs for each session, and of opencode2, which decides by the
same rules as opencode, the mark ``rare`` leaves to ``scripts/check long`` what their drivers have
no code of their own for.
"""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test on the agents that it names, or on all that have what it needs."""
    if "rig" not in metafunc.fixturenames:
        return

    def marked(mark: str) -> list[str]:
        marks = metafunc.definition.iter_markers(mark)
        return [word for mark in marks for word in mark.args]

    only, rows, rare = marked("only"), marked("needs"), marked("rare")
    rigs = [
        pytest.param(rig, id=rig.name, marks=[pytest.mark.long] if rig.name in rare else [])
        for rig in RIGS
        if (rig.name in only if only else rig not in LEFT_OUT)
        and all(rig.capabilities[row] == "supported" for row in rows)
    ]
    metafunc.parametrize("rig", rigs, indirect=True)


@pytest.fixture
def stage(rig: Rig, tmp_path: Path, request: pytest.FixtureRequest) -> Stage:
    """Set up the agent; ``own`` marks a test that needs one that nobody else uses."""
    return Stage(rig, tmp_path, own=request.node.get_closest_marker("own") is not None)


def write(path: Path) -> ToolCall:
    return ToolCall("Write", {"file_path": str(path), "content": "by the agent"})


def denied(result: midflight.Result) -> list[str]:
    """Return the tools that were denied, by names in which case does not matter."""
    return [denial.name.casefold() for denial in result.denials]


def says_why(stage: Stage) -> bool:
    """The agent tells the model why something was denied."""
    return stage.can["permissions"] == "supported"


async def test_default_mode_asks_for_a_change_and_denies_it_unattended(
    stage: Stage,
) -> None:
    target = stage.cwd / "new.txt"
    async with stage.play([write(target), Text("could not")]) as on:
        result = await on.ask()
        assert not target.exists()
        assert denied(result) == ["write"]
        assert "nobody" in result.denials[0].reason
        assert says_why(stage) <= ("nobody" in str(on.requests[1].tool_results))


@pytest.mark.rare("claude-acp", "opencode2")
async def test_read_in_the_folder_needs_no_permission(stage: Stage) -> None:
    (stage.cwd / "there.txt").write_text("a near file")
    steps: list[Step] = [
        ToolCall("Read", {"file_path": str(stage.cwd / "there.txt")}),
        Text("done"),
    ]
    async with stage.play(steps, attended=True) as on:
        await on.ask()
        assert "a near file" in str(on.requests[1].tool_results)
        assert not [v for v in await on.events() if isinstance(v, e.PermissionRequested)]


@pytest.mark.only("claude")
async def test_command_that_only_reads_needs_no_permission(stage: Stage) -> None:
    async with stage.play([ToolCall("Bash", {"command": "ls"}), Text("x")], attended=True) as on:
        await on.ask()
        assert not [v for v in await on.events() if isinstance(v, e.PermissionRequested)]


@pytest.mark.rare("claude-acp", "opencode2")
async def test_accept_edits_asks_for_commands_and_protected_files(stage: Stage) -> None:
    """So it does where the tool was allowed beforehand."""
    target, deciding = stage.cwd / "new.txt", stage.cwd / "midflight.toml"
    command = ToolCall("Bash", {"command": "curl http://127.0.0.1:9/ > out.txt"})
    steps: list[Step] = [write(target), write(deciding), command, Text("x")]
    options: dict[str, Any] = {"permission_mode": "acceptEdits", "allowed_tools": ["Write"]}
    async with stage.play(steps, **options) as on:
        result = await on.ask()
        assert target.read_text() == "by the agent"
        assert not deciding.exists()
        assert denied(result) == ["write", "bash"]


@pytest.mark.rare("claude-acp", "opencode2")
async def test_plan_mode_changes_nothing(stage: Stage) -> None:
    target = stage.cwd / "new.txt"
    async with stage.play([write(target), Text("x")], permission_mode="plan") as on:
        assert (await on.ask()).status == "completed"
        assert not target.exists()


async def test_dont_ask_denies_what_was_not_allowed_beforehand(stage: Stage) -> None:
    target = stage.cwd / "new.txt"
    steps: list[Step] = [ToolCall("Bash", {"command": "touch made"}), write(target), Text("x")]
    options: dict[str, Any] = {"permission_mode": "dontAsk", "allowed_tools": ["Bash"]}
    async with stage.play(steps, attended=True, **options) as on:
        result = await on.ask()
        assert not target.exists()
        assert (stage.cwd / "made").exists()
        assert denied(result) == ["write"]


@pytest.mark.rare("claude-acp", "opencode2")
async def test_bypass_asks_nothing_as_root_too_and_can_be_switched_on_later(stage: Stage) -> None:
    first, second = stage.cwd / "a.txt", stage.cwd / "b.txt"
    steps: list[Step] = [write(first), Text("denied"), write(second), Text("done")]
    async with stage.play(steps, attended=False) as on:
        await on.ask()
        assert not first.exists()
        await on.session.set_permission_mode("bypassPermissions")
        assert (await on.ask()).denials == ()
        assert second.exists()
        resolved = [v for v in await on.events() if isinstance(v, e.PermissionResolved)]
        assert {v.by for v in resolved} == {"policy"}


@pytest.mark.rare("claude-acp", "opencode2")
async def test_accept_edits_settles_the_edit_that_waits_and_no_command(stage: Stage) -> None:
    first, second, third = (stage.cwd / name for name in ("a.txt", "b.txt", "c.txt"))
    run = ToolCall("Bash", {"command": f"curl http://127.0.0.1:9/ > {third}"})
    async with stage.play([write(first), write(second), run, Text("x")], attended=True) as on:
        await on.session.send("go")
        asked, settled = [], []
        async for event in on.session.stream():
            if isinstance(event, e.PermissionResolved):
                settled.append((event.decision, event.by, event.reason))
            if isinstance(event, e.PermissionRequested):
                asked.append(event.effects[0].type)
                if len(asked) == 1:
                    await on.session.set_permission_mode("acceptEdits")
                else:
                    assert not third.exists()
                    await on.session.answer(event)
        assert (asked[0], len(asked), asked.count("edit")) == ("edit", 2, 1)
        assert settled[0] == ("allow", "policy", "permission mode acceptEdits")
        assert settled[1:] == [("allow", "user", "")]
        assert all(path.exists() for path in (first, second, third))


async def test_parallel_tool_calls_each_need_a_permission(stage: Stage) -> None:
    both: Step = [write(stage.cwd / "a.txt"), write(stage.cwd / "b.txt")]
    async with stage.play([both, Text("x")], attended=True) as on:
        await on.session.send("go")
        asked = []
        async for event in on.session.stream():
            if isinstance(event, e.PermissionRequested):
                asked.append(event.call)
                await on.session.answer(event)
        assert len(set(asked)) == 2
        assert (stage.cwd / "b.txt").exists()


@pytest.mark.rare("claude-acp", "opencode2")
async def test_messages_of_a_session_share_one_conversation(stage: Stage) -> None:
    async with stage.play([Text("one"), Text("two")]) as on:
        await on.ask("remember the word plum")
        await on.ask("which word?")
        assert "remember the word plum" in json.dumps(on.requests[1].messages)


@pytest.mark.rare("claude-acp", "opencode2")
async def test_cost_of_a_resumed_conversation_counts_towards_the_budget(
    stage: Stage,
) -> None:
    async with stage.play([], max_budget_usd=0.4, spent_usd=0.4) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "max_budget")


@pytest.mark.rare("claude-acp", "opencode2")
@fault("A9")
async def test_long_tool_is_no_stall(stage: Stage) -> None:
    steps: list[Step] = [ToolCall("Bash", {"command": "sleep 4; sleep 3; echo"}), Text("fine")]
    async with stage.play(steps, stall_timeout=6.0, allowed_tools=["Bash"]) as on:
        assert (await on.ask()).status == "completed"
        seen = [type(event) for event in await on.events()]
    begin, end = seen.index(e.ToolStarted), seen.index(e.ToolEnded)
    assert e.Stalled not in seen[begin:end]


@pytest.mark.rare("claude-acp", "opencode2")
async def test_unanswered_request_is_denied_at_its_deadline(stage: Stage) -> None:
    async with stage.play([write(stage.cwd / "a.txt"), Text("x")], request_timeout=0.5) as on:
        message = await on.session.send("go")
        seen = await on.events()
        resolved = next(v for v in seen if isinstance(v, e.PermissionResolved))
        assert (resolved.decision, resolved.by) == ("deny", "deadline")
        assert (await message.result()).status == "completed"


@pytest.mark.rare("claude-acp", "opencode2")
async def test_program_itself_can_answer_requests(stage: Stage) -> None:
    target = stage.cwd / "a.txt"

    async def allow(request: Any) -> midflight.Answer:
        return midflight.Answer(request=request.request)

    async with stage.play([write(target), Text("x")], on_request=allow) as on:
        await on.ask()
        assert target.exists()


@pytest.mark.own
@pytest.mark.only("claude", "opencode")  # ACP has no word for it
async def test_mcp_server_that_does_not_start_is_a_problem(stage: Stage) -> None:
    servers = {
        "good": {"command": shutil.which("python3"), "args": [str(MCP_SERVER)]},
        "bad": {"command": "no-such-program"},
    }
    async with stage.play([Text("x")], mcp_servers=servers) as on:
        await on.ask()
        started = next(v for v in await on.events() if isinstance(v, e.SessionStarted))
        assert "bad" in str(started.problems)
        assert "good" not in str(started.problems)


@pytest.mark.only("claude")
async def test_environment_and_folder_are_those_of_the_session(stage: Stage) -> None:
    steps: list[Step] = [ToolCall("Bash", {"command": "echo $COLOUR; pwd"}), Text("x")]
    async with stage.play(steps, env={"COLOUR": "green"}, allowed_tools=["Bash"]) as on:
        await on.ask()
        told = str(on.requests[1].tool_results)
        assert "green" in told
        assert str(stage.cwd) in told


@pytest.mark.only("claude")
async def test_settings_are_loaded_unless_there_shall_be_none(stage: Stage) -> None:
    (stage.cwd / "CLAUDE.md").write_text("Always speak of plums.")
    async with stage.play([Text("x")]) as on:
        await on.ask()
        assert "Always speak of plums." in json.dumps(on.requests[0].body)
    async with stage.play([Text("x")], setting_sources=[]) as on:
        await on.ask()
        assert "Always speak of plums." not in json.dumps(on.requests[0].body)


@pytest.mark.only("claude")
async def test_lost_conversation_is_begun_anew_and_the_new_one_resumed(
    stage: Stage,
) -> None:
    async with stage.play([Text("one"), Text("two"), Text("three")]) as on:
        await on.ask("remember the word plum")
        first = on.session.agent_session
        await kill(stage, on)
        shutil.rmtree(stage.home / ".claude" / "projects")
        await on.ask("remember the word pear")
        second = on.session.agent_session
        assert second != first
        await kill(stage, on)
        await on.ask("which word?")
        assert on.session.agent_session == second
        said = json.dumps(on.requests[2].messages)
        assert "pear" in said
        assert "plum" not in said
        notices = [v.text for v in await on.events() if isinstance(v, e.Notice)]
        assert any("knows nothing of what was said" in text for text in notices)


async def kill(stage: Stage, on: Play) -> None:
    """Kill the agent's program and wait until the session knows."""
    last = on.session.last_seq
    await stage.rig.kill(stage)
    async with asyncio.timeout(60):
        async for event in on.session.events(after=last):
            if isinstance(event, e.Notice) and "has ended" in event.text:
                return


@pytest.mark.needs("resume")
async def test_conversation_that_does_not_exist_cannot_be_resumed(stage: Stage) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"
    with pytest.raises(midflight.AgentFailed):
        async with stage.play([], resume=unknown):
            pass


async def test_unsupported_option_is_an_error_before_anything_starts() -> None:
    with pytest.raises(midflight.UnsupportedOption, match="mcp_servers"):
        midflight.open(mcp_servers={"here": {"type": "sdk", "command": "x"}})


@pytest.mark.only("claude")
async def test_retry_is_reported_with_the_status_of_the_answer(stage: Stage) -> None:
    async with stage.play([HttpError(529), Text("fine")]) as on:
        assert (await on.ask()).text == "fine"
        (retry,) = [v for v in await on.events() if isinstance(v, e.Retry)]
        assert (retry.attempt, retry.status) == (1, 529)


@pytest.mark.needs("steer")
async def test_queued_message_can_be_promoted_to_a_steer_or_a_redirect(stage: Stage) -> None:
    release = stage.cwd / "release"
    # Nothing tells when a message that was sent has reached an agent, so the tool runs on a little.
    waits = f"while [ ! -e '{release}' ]; do sleep 0.05; done; sleep 2"
    hold = ToolCall("Bash", {"command": waits})
    steps: list[Step] = [hold, [Text("hm "), Wait("never")], Text("fine")]
    async with stage.play(steps, allowed_tools=["Bash"]) as on:
        first = await on.session.send("first")
        steered = await on.session.send("also this", delivery="queue")
        urgent = await on.session.send("no, this", delivery="queue")
        async for event in on.session.stream():
            if isinstance(event, e.ToolStarted):
                await steered.promote()
                release.touch()
            if isinstance(event, e.TextDelta) and event.text == "hm ":
                await urgent.promote("now")
        assert (await first.result()).reason == "redirected"
        assert steered.turn == first.turn
        assert (await urgent.result()).text == "fine"
        on.model.signal("never")


# What a request says ----------------------------------------------------------------------------


async def _next_request(play: Play) -> e.PermissionRequested:
    """Return the next request of the running turn."""
    async with asyncio.timeout(60):
        async for event in play.session.stream():
            if isinstance(event, e.PermissionRequested):
                return event
    raise AssertionError("nothing was asked")


@pytest.mark.only("claude", "fake", "opencode")
async def test_a_request_says_what_will_happen(stage: Stage) -> None:
    path = stage.cwd / "a.txt"
    steps: list[Step] = [ToolCall("Bash", {"command": "touch b"}), write(path), Text("done")]
    async with stage.play(steps, attended=True) as on:
        await on.session.send("go")
        command = await _next_request(on)
        assert command.effects == (CommandEffect(command="touch b", cwd=str(stage.cwd)),)
        assert command.rule == "Bash(touch b)"
        await on.session.answer(command)
        edit = await _next_request(on)
        (effect,) = edit.effects
        assert isinstance(effect, EditEffect)
        assert (effect.path, effect.target) == (str(path), None)
        assert "+by the agent" in effect.diff
        await on.session.answer(edit)
        await on.events()
        # A new version that obeys another key must not have it hidden from the one who answers.
        assert differences(stage.rig.tools, on.requests) == []


@pytest.mark.only("claude", "fake", "opencode")
async def test_what_has_changed_since_it_was_asked_is_asked_anew(stage: Stage) -> None:
    path = stage.cwd / "a.txt"
    async with stage.play([write(path), Text("done")], attended=True) as on:
        await on.session.send("go")
        asked = await _next_request(on)
        path.symlink_to(stage.cwd / "elsewhere.txt")
        with pytest.raises(Conflict, match="has changed"):
            await on.session.answer(asked)
        (again,) = on.session.pending
        assert isinstance(again, e.PermissionRequested)
        assert again.request != asked.request
        (effect,) = again.effects
        assert isinstance(effect, EditEffect)
        assert effect.target == str((stage.cwd / "elsewhere.txt").resolve())
        await on.session.answer(again, "deny", reason="no")
        await on.events()
        assert not (stage.cwd / "elsewhere.txt").exists()


@pytest.mark.only("fake")
async def test_a_remembered_answer_looks_again_at_what_it_would_allow(stage: Stage) -> None:
    """Another request became one about a file elsewhere; the rule must not allow it unseen."""
    one, other = stage.cwd / "one.txt", stage.cwd / "other.txt"
    steps: list[Step] = [[write(one), write(other)], Text("done")]
    async with stage.play(steps, attended=True) as on:
        await on.session.send("go")
        first = await _next_request(on)
        rule = f"Edit({stage.cwd}/**)"
        assert first.rule == rule
        other.symlink_to(stage.folder / "outside.txt")
        await on.session.answer(first, remember="session")
        second = await _next_request(on)
        assert second.rule != rule
        await on.session.answer(second, "deny", reason="no")
        await on.events()
        assert on.session.rules == (rule,)
        assert one.exists()
        assert not (stage.folder / "outside.txt").exists()

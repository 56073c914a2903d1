"""The fake agent does what the real one does; see also the conformance suite, which both pass."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import midflight
from midflight import events as e
from midflight.testing import (
    FakeModel,
    HttpError,
    Mark,
    Silence,
    Step,
    Stop,
    StreamError,
    Text,
    Thinking,
    ToolCall,
    Usage,
    Wait,
    Words,
)

pytestmark = pytest.mark.usefixtures("no_agent_left")

Play = Callable[..., Any]


@pytest.fixture
async def play(tmp_path: Path) -> AsyncIterator[Play]:
    """Play steps to one message in a new session; return the model, the result, the events."""
    async with AsyncExitStack() as stack:

        async def run(*steps: Any, **options: Any) -> tuple[FakeModel, Any, list[e.Event]]:
            model = await stack.enter_async_context(FakeModel(steps))
            env = model.env(tmp_path) | {"CLAUDE_CODE_MAX_RETRIES": "1"}
            cwd = tmp_path / "cwd"
            cwd.mkdir(exist_ok=True)
            async with (
                asyncio.timeout(60),
                midflight.dispatch("go", agent="fake", cwd=cwd, env=env, **options) as session,
            ):
                seen = [event async for event in session.stream()]
                assert session.first is not None
                return model, await session.first.result(), seen

        yield run


def bash(command: str, **more: Any) -> ToolCall:
    return ToolCall("Bash", {"command": command, **more}, id="c")


def ended(seen: list[e.Event]) -> list[tuple[str, str]]:
    return [(event.status, event.output) for event in seen if isinstance(event, e.ToolEnded)]


async def test_text_and_thinking_come_in_pieces_and_whole(play: Play) -> None:
    step = [Thinking("hm"), Words("a b"), Thinking("so"), Text("c"), Usage(3, 4, 5, 6)]
    _, result, seen = await play(step)
    kinds = [event.type for event in seen if isinstance(event, (e.Text, e.TextDelta, e.Thinking))]
    assert kinds == [
        "thinking",
        "text.delta",
        "text.delta",
        "text",
        "thinking",
        "text.delta",
        "text",
    ]
    assert result.text == "c"
    assert result.usage == midflight.TokenUsage(
        input_tokens=3, output_tokens=4, cache_read_tokens=5, cache_write_tokens=6
    )


async def test_tools_do_what_they_say(play: Play, tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    (tmp_path / "cwd" / "old").write_text("content")
    todos = [{"content": "look", "status": "pending"}]
    _, _, seen = await play(
        [ToolCall("Read", {"file_path": "old"}), ToolCall("TodoWrite", {"todos": todos})],
        [bash("echo out; echo err >&2; exit 3"), ToolCall("Nothing"), ToolCall("Read", {})],
        Text("done"),
        allowed_tools=["Bash"],
    )
    assert ended(seen) == [
        ("completed", "content"),
        ("completed", "Todos have been modified"),
        ("failed", "Exit code 3\nout\nerr"),
        ("failed", "No such tool available: Nothing"),
        ("failed", "'file_path'"),
    ]
    assert [event.entries[0].text for event in seen if isinstance(event, e.Plan)] == ["look"]


WRITE = ToolCall("Write", {"file_path": "new", "content": "x"})
OUTSIDE = ToolCall("Write", {"file_path": "../new", "content": "x"})
READ_OUTSIDE = ToolCall("Read", {"file_path": "/etc/hostname"})


@pytest.mark.parametrize(
    ("tool", "options", "asked", "denied"),
    [
        (WRITE, {}, 1, 0),
        (WRITE, {"allowed_tools": ["Write"]}, 0, 0),
        (WRITE, {"disallowed_tools": ["Write"]}, 0, 0),
        (WRITE, {"permission_mode": "acceptEdits"}, 0, 0),
        (OUTSIDE, {"permission_mode": "acceptEdits"}, 1, 0),
        (WRITE, {"permission_mode": "plan"}, 0, 1),
        (WRITE, {"permission_mode": "dontAsk"}, 0, 1),
        (WRITE, {"permission_mode": "bypassPermissions"}, 1, 0),
        (READ_OUTSIDE, {}, 1, 0),
        (bash("ls -l"), {}, 0, 0),
        (bash("ls; rm x"), {}, 1, 0),
        (bash("touch x"), {"permission_mode": "acceptEdits"}, 1, 0),
    ],
)
async def test_fake_agent_asks_by_the_permission_mode(
    play: Play, tool: ToolCall, options: dict[str, Any], asked: int, denied: int
) -> None:
    def allow(request: Any) -> midflight.commands.Answer:
        return midflight.commands.Answer(request=request.request)

    _, result, seen = await play([tool], Text("done"), on_request=allow, **options)
    assert sum(isinstance(event, e.PermissionRequested) for event in seen) == asked
    assert len(result.denials) == denied


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([HttpError(529), HttpError(500)], "api_error"),
        ([HttpError(400, message="prompt is too long")], "context_full"),
        ([HttpError(402)], "api_error"),
        ([HttpError(403)], "auth"),
        ([[Text("no"), Stop("refusal")]] * 2, "refusal"),
        ([[Text("lo"), Stop("max_tokens")]], "max_tokens"),
        ([bash("true"), bash("true")], "max_turns"),
    ],
)
async def test_turn_can_end_in_many_ways(play: Play, steps: list[Any], reason: str) -> None:
    _, result, _ = await play(*steps, max_turns=2)
    assert result.reason == reason


async def test_wrong_key_ends_the_turn_at_once(play: Play) -> None:
    _, result, seen = await play(HttpError(401, headers={"retry-after": "100"}))
    assert (result.status, result.reason) == ("failed", "auth")
    assert sum(isinstance(event, e.Retry) for event in seen) == 1


async def test_error_in_the_stream_ends_the_answer_as_it_stands(play: Play) -> None:
    _, result, _ = await play([Words("half of"), StreamError()])
    assert (result.status, result.text) == ("completed", "half of")


@pytest.mark.parametrize(
    ("steps", "complaint"),
    [
        ([], "no step is left"),
        ([[Text("a"), Wait("go")], Text("b")], "signal 'go' was not given"),
        ([Text("a"), Text("b")], "1 step"),
    ],
)
async def test_script_that_is_not_played_to_its_end_fails_the_test(
    tmp_path: Path, steps: list[Step], complaint: str
) -> None:
    model = FakeModel(steps, timeout_s=0.01)
    async with model:
        env = model.env(tmp_path)
        async with midflight.dispatch("go", agent="fake", cwd=tmp_path, env=env) as session:
            assert session.first is not None
            await session.first.result()
        with pytest.raises(AssertionError, match=complaint):
            model.finish()


async def test_background_work_wakes_the_agent(play: Play) -> None:
    _, _, seen = await play(
        [bash("true", run_in_background=True, description="make it")],
        Text("it runs"),
        Text("it is done"),
        allowed_tools=["Bash"],
    )
    assert [event.title for event in seen if isinstance(event, e.TaskStarted)] == ["make it"]
    assert [event.origin for event in seen if isinstance(event, e.TurnStarted)] == [
        "message",
        "background",
    ]


async def test_background_work_can_be_stopped_and_wakes_nobody(tmp_path: Path) -> None:
    steps: list[Step] = [[bash("sleep 100", run_in_background=True)], Text("it runs")]
    async with FakeModel(steps) as model, asyncio.timeout(60):
        session = midflight.dispatch(
            "go", agent="fake", cwd=tmp_path, env=model.env(tmp_path), allowed_tools=["Bash"]
        )
        async with session:
            seen = []
            async for event in session.stream():
                seen.append(event)
                if isinstance(event, e.TurnEnded):
                    await session.interrupt()
    assert [event.status for event in seen if isinstance(event, e.TaskEnded)] == ["cancelled"]
    assert seen[-1].type == "task.ended"


async def test_interrupt_kills_the_tool_and_leaves_a_mark_for_the_model(tmp_path: Path) -> None:
    steps: list[Step] = [
        [Text("running "), Mark("asked"), bash("touch begun; trap '' TERM; sleep 100 & wait")],
        [Text("partial"), Silence()],
        Text("ok"),
    ]
    async with FakeModel(steps) as model, asyncio.timeout(60):
        session = midflight.dispatch(
            "go", agent="fake", cwd=tmp_path, env=model.env(tmp_path), allowed_tools=["Bash"]
        )
        async with session:
            async for event in session.stream():
                if isinstance(event, e.ToolStarted):
                    break
            await session.redirect("not that")
            await model.request(2)
            redirected = await session.redirect("nor that")
            assert (await redirected.result()).text == "ok"
    said = str(model.requests[2].messages)
    assert said.count("[Request interrupted by user]") == 2
    assert "stopped while running" in said
    assert "partial" in said

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.support.claude_process import ClaudeProcess

from midflight.testing import (
    Drop,
    HttpError,
    Mark,
    ScriptedModel,
    Step,
    Stop,
    Text,
    Thinking,
    ToolCall,
    Usage,
    Wait,
    Words,
)

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Start = Callable[..., Awaitable[ScriptedModel]]
Env = Callable[[ScriptedModel], dict[str, str]]


@pytest.fixture
async def claude(
    scripted_model: Start, agent_env: Env, tmp_path: Path
) -> AsyncIterator[Callable[..., Awaitable[tuple[ScriptedModel, ClaudeProcess]]]]:
    async with AsyncExitStack() as stack:

        async def start(*steps: Step) -> tuple[ScriptedModel, ClaudeProcess]:
            model = await scripted_model(list(steps))
            process = ClaudeProcess.start(agent_env(model), tmp_path)
            return model, await stack.enter_async_context(process)

        yield start


Claude = Callable[..., Awaitable[tuple[ScriptedModel, ClaudeProcess]]]


async def test_real_agent_plays_a_script_to_its_end(claude: Claude) -> None:
    model, agent = await claude(
        [Thinking("hmm"), Words("let me look "), ToolCall("Bash", {"command": "echo from-bash"})],
        [Text("seen"), Usage(100, 20, 3, 4)],
    )
    result = await agent.turn("look around")
    assert (result["subtype"], result["is_error"], result["result"]) == ("success", False, "seen")
    assert model.requests[0].last_user_text == "look around"
    assert list(model.requests[1].tool_results.values()) == ["from-bash"]
    assert model.requests[0].headers["x-api-key"] == "(removed)"
    # By this a request beside the conversation is told apart from it.
    assert model.requests[0].headers["x-claude-code-request-class"] == "main"
    assert "Bash" in model.requests[0].tools
    assert result["usage"]["cache_read_input_tokens"] == 3
    assert result["usage"]["output_tokens"] == 25  # 5 by default for the first step


async def test_parallel_tool_calls_come_back_together(claude: Claude) -> None:
    model, agent = await claude(
        [
            ToolCall("Bash", {"command": "echo one"}, id="toolu_a"),
            ToolCall("Bash", {"command": "echo two"}, id="toolu_b"),
        ],
        Text("both"),
    )
    await agent.turn("run two")
    assert model.requests[1].tool_results == {"toolu_a": "one", "toolu_b": "two"}


async def test_wait_before_the_first_byte_holds_the_agent_silent(claude: Claude) -> None:
    model, agent = await claude([Wait("first byte"), Text("now")])
    agent.say("hi")
    await model.reached("first byte")
    model.signal("first byte")
    frames = await agent.until("result")
    assert frames[-1]["result"] == "now"


async def test_wait_in_the_middle_leaves_earlier_words_with_the_agent(
    claude: Claude,
) -> None:
    model, agent = await claude([Words("one two"), Wait("middle"), Words(" three")])
    agent.say("hi")
    await model.reached("middle")
    seen = ""
    while seen != "one two":
        frame = (await agent.until("stream_event"))[-1]["event"]
        seen += frame.get("delta", {}).get("text", "")
    model.signal("middle")
    assert (await agent.until("result"))[-1]["result"] == "one two three"


async def test_message_sent_while_a_tool_runs_is_the_last_user_text(
    claude: Claude, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    model, agent = await claude(
        [Mark("asked"), ToolCall("Bash", {"command": f"touch begun; cat {go}"})], Text("ok")
    )
    agent.say("start")
    request = (await agent.until("control_request"))[-1]
    agent.write(
        type="control_response",
        response={
            "subtype": "success",
            "request_id": request["request_id"],
            "response": {"behavior": "allow", "updatedInput": request["request"]["input"]},
        },
    )
    agent.say("and this")
    while (await agent.until("command_lifecycle"))[-1]["state"] != "queued":
        pass
    # Opening the pipe for writing waits until the tool reads it.
    await asyncio.to_thread(go.write_text, "done", encoding="utf-8")
    await agent.until("result")
    assert model.requests[1].last_user_text == "and this"
    assert list(model.requests[1].tool_results.values()) == ["done"]


async def test_agent_retries_after_an_overload_and_a_dropped_connection(
    claude: Claude,
) -> None:
    model, agent = await claude(HttpError(529), [Words("half of"), Drop()], Text("whole"))
    agent.say("hi")
    frames = await agent.until("result")
    retries = [frame for frame in frames if frame.get("subtype") == "api_retry"]
    assert [frame["error_status"] for frame in retries] == [529, None]
    assert frames[-1]["result"] == "whole"
    assert len(model.requests) == 3


async def test_final_error_ends_the_turn(claude: Claude) -> None:
    _, agent = await claude(HttpError(402, message="no such thing"))
    result = await agent.turn("hi")
    assert result["is_error"]
    assert "no such thing" in result["result"]


async def test_stop_reason_reaches_the_agent(claude: Claude) -> None:
    # The agent asks once more after a refusal.
    refusal = [Text("I will not"), Stop("refusal")]
    _, agent = await claude(refusal, refusal)
    agent.say("hi")
    frames = await agent.until("result")
    deltas = [frame["event"] for frame in frames if frame["type"] == "stream_event"]
    reasons = [
        event["delta"]["stop_reason"] for event in deltas if event["type"] == "message_delta"
    ]
    assert reasons == ["refusal", "refusal"]


async def test_request_beyond_the_script_ends_the_turn_with_the_reason(claude: Claude) -> None:
    model, agent = await claude()
    result = await agent.turn("nobody expects this")
    assert "no step is left" in result["result"]
    assert len(model.requests) == 1
    with pytest.raises(AssertionError, match="nobody expects this"):
        model.finish()


async def test_request_for_a_title_uses_up_no_step(claude: Claude) -> None:
    model, agent = await claude(Text("hello"))
    agent.write(
        type="control_request",
        request_id="2",
        request={
            "subtype": "generate_session_title",
            "description": "fix the login",
            "persist": False,
        },
    )
    reply = (await agent.until("control_response"))[-1]["response"]
    assert reply["response"] == {"title": "Scripted session"}
    assert (await agent.turn("hi"))["result"] == "hello"
    assert len(model.side_requests) == 1

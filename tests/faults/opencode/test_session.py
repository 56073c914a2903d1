"""Hard input, requests and their answers, and noise, on a real OpenCode server that tests share."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read, until
from tests.support.faults import bash, memory_bytes, open_pipe, pid_in, pipe
from tests.support.relay import Relay

import midflight
from midflight.agents.opencode.program import configuration
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.options import Options
from midflight.testing import Silence, Step, Text, ToolCall, Wait, Words
from midflight.testing.conformance.rig import Stage
from midflight.testing.opencode import OpenCodeServer

HARD_TEXT = "NUL \0 bidi \u202e\u2066 combining e\u0301 emoji \U0001f9d1\u200d\U0001f680 \x1b[31m"


# Input ----------------------------------------------------------------------------------------


@fault("I3", "S6")
async def test_hard_text_makes_the_exact_round_trip(opencode: Stage) -> None:
    async with opencode.play([Text(HARD_TEXT)]) as on:
        assert (await on.ask(HARD_TEXT)).text == HARD_TEXT
        assert on.requests[0].last_user_text == HARD_TEXT


@fault("I3")
async def test_tool_output_that_is_no_text_harms_nothing(opencode: Stage) -> None:
    steps: list[Step] = [bash(r"printf 'a\377\000\355\240\200z'"), Text("done")]
    async with opencode.play(steps, allowed_tools=["Bash"]) as on:
        assert (await on.ask()).text == "done"
        (tool,) = of(midflight.ToolEnded, await on.events())
    assert tool.output.startswith("a")
    assert tool.output.rstrip().endswith("z")


@fault("I1", "I2", "I3")
async def test_text_of_megabytes_arrives_and_bad_ones_leave_no_trace(opencode: Stage) -> None:
    long = "a long story " * 250_000
    async with opencode.play([Text("read"), Text("on")]) as on:
        for text in ("", "x" * 20 * 1024 * 1024, "\ud800"):
            with pytest.raises(midflight.InvalidInput):
                await on.session.send(text)
        assert (await on.ask(long)).text == "read"
        assert len(on.requests[0].last_user_text) >= len(long) - 1
        assert (await on.ask("more")).text == "on"


@fault("I4")
@pytest.mark.parametrize("model", ["anthropic/--print-logs", "$(touch made)", "../claude"])
async def test_model_that_looks_like_something_else_is_refused_by_its_name(
    opencode: Stage, model: str
) -> None:
    with pytest.raises(midflight.UnsupportedOption, match=r"^model: "):
        async with opencode.play([], model=model):
            pass


@fault("I5")
async def test_vanished_working_directory_fails_the_tool_and_not_the_session(
    opencode: Stage, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    steps: list[Step] = [[Wait("gone"), bash("pwd")], Text("it is gone"), Text("still")]
    async with opencode.play(steps, cwd=folder, allowed_tools=["Bash"]) as on:
        first = await on.session.send("go")
        await on.model.reached("gone")
        folder.rmdir()
        on.model.signal("gone")
        assert (await ended(first)).text == "it is gone"
        assert [tool.status for tool in of(midflight.ToolEnded, await on.events())] == ["failed"]
        assert (await on.ask("and now?")).text == "still"


# Requests -------------------------------------------------------------------------------------


@fault("S9")
async def test_yes_is_for_one_call_and_never_for_always(
    opencode: Stage, opencode_server: OpenCodeServer
) -> None:
    async with Relay(opencode_server.url) as relay:
        steps: list[Step] = [bash("touch here"), bash("touch here"), Text("one")]
        options = {"server_url": relay.url, "attended": True}
        async with opencode.play([*steps, bash("touch here"), Text("two")], **options) as on:
            asked = 0
            for expected in (2, 3):
                await on.session.send("go")
                async for event in on.session.stream():
                    if isinstance(event, midflight.PermissionRequested):
                        asked += 1
                        await on.session.answer(event)
                assert asked == expected
        assert relay.asked.count(b'{"reply":"once"}') == 3
        assert b'"always"' not in relay.asked.replace(b'"action"', b"")


@fault("S9", "I6")
async def test_denial_tells_the_agent_why_and_its_turn_continues(opencode: Stage) -> None:
    steps: list[Step] = [[bash("touch one"), bash("touch two")], Text("I see")]
    async with opencode.play(steps, attended=True) as on:
        first = await on.session.send("go")
        asked = await until(on.session, midflight.PermissionRequested)
        outcomes = await asyncio.gather(
            on.session.answer(asked, "deny", reason="not on my watch"),
            on.session.answer(asked),
            return_exceptions=True,
        )
        assert outcomes[0] is None
        assert isinstance(outcomes[1], midflight.AlreadyAnswered)
        # OpenCode takes a no for every call that waits; if it were not told to go on, it stopped.
        result = await ended(first)
        assert result.text == "I see"
        assert "not on my watch" in str(on.requests[1].messages)
        events = await on.events()
    requests = of(midflight.PermissionRequested, events)
    assert len(of(midflight.PermissionResolved, events)) == len(requests) >= 1
    assert not os.listdir(opencode.cwd)  # noqa: PTH208 - a moment of no consequence


@fault("S9")
async def test_sub_agent_that_would_not_be_asked_about_is_asked_for(opencode: Stage) -> None:
    task = {"description": "x", "prompt": "touch it", "subagent_type": "general"}
    async with opencode.play([ToolCall("Agent", task), Text("no")], attended=True) as on:
        first = await on.session.send("go")
        asked = await until(on.session, midflight.PermissionRequested)
        assert asked.name == "task"
        assert "without asking" in asked.reason
        await on.session.answer(asked, "deny", reason="do it yourself")
        assert (await ended(first)).text == "no"


@fault("S9")
def test_server_of_our_own_is_set_to_continue_after_a_denial() -> None:
    config = configuration(Options.build(agent="opencode"))
    assert config["experimental"]["continue_loop_on_deny"] is True


@fault("A10", "I8")
async def test_request_that_an_abort_left_behind_is_not_asked_again(
    opencode: Stage, opencode_server: OpenCodeServer
) -> None:
    steps: list[Step] = [bash("touch here"), [Wait("on"), Text("better")]]
    async with Relay(opencode_server.url) as relay, opencode.model(steps) as model:
        options = {"server_url": relay.url, "attended": True}
        async with opencode.session(model, **options) as on:
            first = await on.session.send("go")
            asked = await until(on.session, midflight.PermissionRequested)
            await on.session.interrupt()
            assert (await ended(first)).status == "interrupted"
            with pytest.raises(midflight.AlreadyAnswered):
                await on.session.answer(asked)
            known = await until(on.session, midflight.SessionStarted)
        async with opencode.session(model, resume=known.agent_session, **options) as on:
            second = await on.session.send("more")
            await model.reached("on")
            # OpenCode still lists it, to whoever asks after a gap.
            await relay.renew()
            model.signal("on")
            assert (await ended(second)).text == "better"
            assert not of(midflight.PermissionRequested, await on.events())
    assert not (opencode.cwd / "here").exists()


@fault("S9")
async def test_plan_mode_lists_what_it_refuses(
    opencode: Stage,
) -> None:
    """A harmless word before what is refused carries nothing along."""
    target = opencode.home / ".bashrc"
    commands = [
        "echo nothing but words",
        f"echo x > {target}",
        "echo $(touch made)",
        "echo x; touch made",
        "ls\ntouch made",
    ]
    steps: list[Step] = [*(bash(command) for command in commands), Text("I see")]
    async with opencode.play(steps, permission_mode="plan") as on:
        result = await on.ask()
        tools = of(midflight.ToolEnded, await on.events())
    assert result.text == "I see"
    assert [tool.status for tool in tools] == ["completed", *["failed"] * 4]
    assert [denial.name for denial in result.denials] == ["bash"] * 4
    assert not target.exists()
    assert not (opencode.cwd / "made").exists()


@fault("C6")
async def test_empty_lists_are_not_the_same_as_none(opencode: Stage) -> None:
    with pytest.raises(midflight.UnsupportedOption, match=r"^setting_sources: "):
        midflight.open(agent="opencode", setting_sources=[])
    steps: list[Step] = [bash("touch here"), Text("no")]
    async with opencode.play(steps, allowed_tools=[], skills=[], attended=False) as on:
        result = await on.ask()
        assert "skill" not in on.requests[0].tools
    assert [denial.name for denial in result.denials] == ["bash"]


# Time and quantity ----------------------------------------------------------------------------


@fault("A9")
async def test_long_tool_is_no_silence(opencode: Stage) -> None:
    begun, go = pipe(opencode.cwd / "begun"), pipe(opencode.cwd / "go")
    signal_go = open_pipe(go)
    steps: list[Step] = [bash(f"echo $$ > {begun}; head -n1 {go}"), Text("done")]
    async with opencode.play(steps, allowed_tools=["Bash"], stall_timeout=1) as on:
        first = await on.session.send("go")
        await pid_in(begun)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await until(on.session, midflight.TurnEnded)
        os.write(signal_go, b"on\n")
        assert (await ended(first)).text == "done"
    os.close(signal_go)


@fault("A7", "A11")
async def test_flood_of_tool_output_costs_no_memory(opencode: Stage) -> None:
    steps: list[Step] = [bash("yes | head -c 100000000"), Text("done")]
    async with opencode.play(steps, allowed_tools=["Bash"]) as on:
        before = memory_bytes()
        assert (await on.ask()).text == "done"
        assert memory_bytes() - before < 50_000_000
        (tool,) = of(midflight.ToolEnded, await on.events())
    assert len(tool.output) <= 10_000


@fault("A5")
async def test_cancelled_task_ends_its_turn_and_the_server_lives_on(
    opencode: Stage, opencode_server: OpenCodeServer
) -> None:
    said = asyncio.Event()

    async def run(model: midflight.testing.ScriptedModel) -> None:
        async with opencode.session(model) as on:
            await on.session.send("go")
            async for event in on.session.stream():
                if isinstance(event, midflight.TextDelta):
                    said.set()

    async with opencode.model([[Words("one two"), Silence()]]) as model:
        task = asyncio.create_task(run(model))
        async with asyncio.timeout(60):
            await said.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server = opencode_server
        client = OpenCodeClient(server.url, server.env["OPENCODE_SERVER_PASSWORD"], server.cwd)
        assert await client.get("/session/status") == {}
        await client.close()


# Noise ----------------------------------------------------------------------------------------


@fault("A7")
async def test_noise_splits_and_damage_lose_no_event_that_can_be_read() -> None:
    event = '{"type":"e","properties":{"text":"h\u00e9ron"}}'.encode()
    pieces = [
        b": a comment\r\nretry: 3\r\nnonsense\r\n\r\n",
        b"data: " + event[:31],
        event[31:] + b"\n\ndata: " + event + b"\r\n\r\n",
        b'data: {"type":"cut off\n\n',
        b'data: "text"\n\ndata:\n\n',
        b'data: {"type":"\xff"}\n\n',
        b'data: {"type":"\\ud800"}\n\n',
        b"data:" + event + b"\n\n",
    ]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for piece in (head, *pieces):
            writer.write(piece)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        client = OpenCodeClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        async with asyncio.timeout(60):
            frames = [frame async for frame in client.events()]
        await client.close()
    good = {"type": "e", "properties": {"text": "h\u00e9ron"}}
    broken = {"type": "\N{REPLACEMENT CHARACTER}"}
    assert frames == [good, good, None, None, None, broken, broken, good]


@fault("A7", "A12")
async def test_damaged_event_is_asked_for(opencode: Stage, opencode_server: OpenCodeServer) -> None:
    steps: list[Step] = [ToolCall("Glob", {"pattern": "*"}), Text("one"), Text("two")]
    async with Relay(opencode_server.url) as relay:
        relay.damage = (b'"tool":"glob"', b'"tool":"glob ')
        async with opencode.play(steps, server_url=relay.url) as on:
            assert (await on.ask()).text == "one"
            assert (await on.ask()).text == "two"
            events = await read(on.session)
    kinds = (midflight.ToolStarted, midflight.ToolEnded, midflight.TurnEnded)
    assert [event.type for event in events if isinstance(event, kinds)] == [
        *("tool.started", "tool.ended"),
        *("turn.ended", "turn.ended"),
    ]

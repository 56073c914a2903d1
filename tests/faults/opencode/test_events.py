"""OpenCode's stream of events stops or is cut: nothing is lost, and nothing doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
from tests.faults.manifest import fault
from tests.support.events import PATIENCE_S, ended, of, read, until
from tests.support.opencode_events import Told, delta, message, step_finish, text
from tests.support.relay import Relay

import midflight
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.testing import ModelRequest, Step, Text, ToolCall, Wait, Words
from midflight.testing.conformance.rig import Stage
from midflight.testing.opencode import OpenCodeServer

Gap = Callable[[], Awaitable[None]]
TASK = "call_of_the_task"


@pytest.fixture
async def relay(opencode_server: OpenCodeServer) -> AsyncIterator[Relay]:
    """Return a relay before the shared server."""
    async with Relay(opencode_server.url) as relay:
        yield relay


@pytest.fixture(params=["stall", "cut"])
def gap(relay: Relay, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Gap:
    """Return what begins a gap in the events: the stream falls silent, or is closed."""

    async def begin() -> None:
        if request.param == "cut":
            relay.cut()
            return
        monkeypatch.setattr("midflight.agents.opencode.v1.client.SILENCE_S", 2.0)
        await relay.renew()  # The limit holds for streams that begin now.
        # As in earnest, it takes longer to notice a silence than a server may be away.
        away_s = "midflight.agents.opencode.event_stream.RECONNECT_FOR_S"
        monkeypatch.setattr(away_s, 1.5)
        relay.stall()
        await relay.asked_again()
        monkeypatch.setattr(away_s, PATIENCE_S)  # what follows takes longer on a busy machine

    return begin


@asynccontextmanager
async def _told(server: OpenCodeServer) -> AsyncIterator[Callable[[str], Any]]:
    """Return a function that waits until the server tells an event of a type, relay or not."""
    client = OpenCodeClient(server.url, server.env["OPENCODE_SERVER_PASSWORD"], server.cwd)
    stream = cast("AsyncGenerator[dict[str, Any]]", client.events())
    await anext(stream)

    async def told(kind: str) -> dict[str, Any]:
        async with asyncio.timeout(60):
            async for frame in stream:
                if frame["type"] == kind:
                    return frame
        raise AssertionError("the events ended")

    try:
        yield told
    finally:
        await stream.aclose()
        await client.close()


def _said(events: list[midflight.Event]) -> list[tuple[str, str]]:
    kinds = (midflight.Text, midflight.ToolStarted, midflight.ToolEnded, midflight.TurnEnded)
    return [
        (event.type, str(getattr(event, "text", getattr(event, "status", ""))))
        for event in events
        if isinstance(event, kinds)
    ]


@fault("A12")
async def test_events_that_a_gap_has_hidden_are_reported_once(
    opencode: Stage, opencode_server: OpenCodeServer, relay: Relay, gap: Gap
) -> None:
    """What is said and done meanwhile comes afterwards."""
    (opencode.cwd / "note").write_text("the heron is back")
    reading = ToolCall("Read", {"file_path": str(opencode.cwd / "note")})
    steps: list[Step] = [
        [Words("before "), Wait("gap"), Words("and in it"), reading],
        Text("and the end"),
        Text("and on"),
    ]
    async with (
        _told(opencode_server) as told,
        opencode.play(steps, server_url=relay.url) as on,
    ):
        first = await on.session.send("go")
        await until(on.session, midflight.TextDelta)
        await gap()
        on.model.signal("gap")
        await told("session.idle")
        relay.resume()
        result = await ended(first)
        assert (result.status, result.text) == ("completed", "and the end")
        assert (await ended(await on.session.send("more"))).text == "and on"
        events = await read(on.session)
    assert _said(events) == [
        ("text", "before and in it"),
        ("tool.started", ""),
        ("tool.ended", "completed"),
        ("text", "and the end"),
        ("turn.ended", "and the end"),
        ("text", "and on"),
        ("turn.ended", "and on"),
    ]
    assert "the heron is back" in of(midflight.ToolEnded, events)[0].output
    assert of(midflight.TurnEnded, events)[0].steps == 2


@fault("A12")
@pytest.mark.parametrize(
    ("gap", "begins"),
    [("stall", "before the sub-agent"), ("cut", "within the sub-agent")],
    indirect=["gap"],
)
async def test_missed_request_of_a_sub_agent_is_shown_once_with_its_parent(
    opencode: Stage,
    opencode_server: OpenCodeServer,
    relay: Relay,
    gap: Gap,
    begins: str,
) -> None:
    below = begins == "within the sub-agent"
    outside = opencode.folder / "note"
    outside.write_text("the heron is back")

    def script(request: ModelRequest) -> Step:
        said = json.dumps(request.messages)
        if TASK in said:
            return Text("done")
        if "sub: say hi" not in said:
            task = {"description": "x", "prompt": "sub: say hi", "subagent_type": "general"}
            call = ToolCall("Agent", task, id=TASK)
            return call if below else [Wait("gap"), call]
        if not request.tool_results:
            call = ToolCall("Read", {"file_path": str(outside)})
            return [Wait("gap"), call] if below else call
        return Text("hi from below")

    async with (
        _told(opencode_server) as told,
        opencode.play(script, server_url=relay.url, attended=True, allowed_tools=["Task"]) as on,
    ):
        first = await on.session.send("go")
        await on.model.reached("gap")
        await gap()
        on.model.signal("gap")
        await told("permission.asked")
        relay.resume()
        asked = await until(on.session, midflight.PermissionRequested)
        assert asked.parent == TASK
        assert str(outside.parent) in asked.reason
        await on.session.answer(asked)
        assert (await ended(first)).text == "done"
        events = await read(on.session)
    assert len(of(midflight.PermissionRequested, events)) == 1
    tools = of(midflight.ToolStarted, events)
    assert [tool.name for tool in tools] == ["task", "read"]
    assert [tool.parent for tool in tools] == [None, TASK]
    assert "the heron is back" in of(midflight.ToolEnded, events)[0].output
    assert [tool.status for tool in of(midflight.ToolEnded, events)] == ["completed"] * 2


@fault("A12", "I8")
async def test_turn_is_interrupted_and_another_begun_while_no_event_comes(
    opencode: Stage, relay: Relay, gap: Gap
) -> None:
    steps: list[Step] = [[Words("and so"), Wait("never")], Text("better")]
    async with opencode.play(steps, server_url=relay.url) as on:
        first = await on.session.send("go")
        await until(on.session, midflight.TextDelta)
        await gap()
        second = await on.session.redirect("rather this")
        relay.resume()
        assert (await ended(first)).reason == "redirected"
        assert (await ended(second)).text == "better"


@fault("I7", "I8")
@pytest.mark.parametrize("end", ["interrupt", "close"])
async def test_prompt_that_is_stopped_before_it_has_begun_does_not_run_later(
    opencode: Stage, opencode_server: OpenCodeServer, relay: Relay, end: str
) -> None:
    """OpenCode says that it has a prompt, then stores it, and then begins: an abort is for all."""

    def script(request: ModelRequest) -> Step:
        return Wait("never") if "go" in request.last_user_text else Text("and on")

    async with opencode.play(script, server_url=relay.url) as on:
        assert (await on.ask("before")).text == "and on"
        relay.hold = b"/prompt_async"
        first = await on.session.send("go")
        await relay.held.wait()
        stop = on.session.interrupt() if end == "interrupt" else on.session.close()
        stopping = asyncio.ensure_future(stop)
        while b"/message/" not in relay.asked:  # whether it has the prompt, or to take it back
            await asyncio.to_thread(lambda: None)
        relay.go.set()
        await stopping
        assert (await ended(first)).status == "interrupted"
        client = OpenCodeClient(opencode_server.url, opencode_server.password, opencode_server.cwd)
        assert await client.get("/session/status") == {}
        await client.close()
        if end == "interrupt":
            assert (await on.ask("more")).text == "and on"


@fault("A12")
async def test_missed_events_are_asked_for_again_if_the_first_try_fails(
    opencode: Stage, opencode_server: OpenCodeServer, relay: Relay
) -> None:
    steps: list[Step] = [[Words("and so"), Wait("gap"), Words(" on")]]
    async with (
        _told(opencode_server) as told,
        opencode.play(steps, server_url=relay.url) as on,
    ):
        first = await on.session.send("go")
        await until(on.session, midflight.TextDelta)
        relay.cut()
        on.model.signal("gap")
        await told("session.idle")
        relay.refuse = b"GET /session/status"
        relay.resume()
        assert (await ended(first)).text == "and so on"
    assert not relay.refuse


@fault("A10", "A12")
def test_piece_of_a_text_that_comes_after_the_whole_is_dropped() -> None:
    told = Told(1)
    told.hear(message(2, 1), delta(2, "on"), text(2, "once", id="prt_2_text"), step_finish(2))
    told.hear(delta(2, "ce"))
    assert told.kinds() == ["Taken", "TextDelta", "Text", "Step"]


@fault("A12")
async def test_server_that_stays_away_fails_the_turn(
    opencode: Stage, relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.opencode.event_stream.RECONNECT_FOR_S", 0.3)
    async with opencode.play([[Words("and so"), Wait("never")]], server_url=relay.url) as on:
        first = await on.session.send("go")
        await until(on.session, midflight.TextDelta)
        relay.cut()
        result = await ended(first)
    assert (result.status, result.reason) == ("failed", "agent_died")
    assert "does not answer any more" in result.text

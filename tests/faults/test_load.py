"""Many sessions and many messages at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read
from tests.support.faults import Models, Use, agents, memory_bytes

import midflight
from midflight.testing import FakeModel, ModelRequest, Step, Text, ToolCall, Wait

pytestmark = pytest.mark.anyio


@fault("A10", "A11")
async def test_sessions_at_the_same_time_do_not_disturb_one_another(
    scripted_model: Models, use: Use
) -> None:
    def script(request: ModelRequest) -> Step:
        if request.tool_results:
            return Text("".join(request.tool_results.values()))
        return ToolCall("Bash", {"command": f"echo {request.last_user_text}"})

    async def session(name: str) -> str:
        options = use(model, allowed_tools=["Bash"])
        async with midflight.dispatch(name, **options) as session:
            events = await read(session)
        assert len(of(midflight.TurnEnded, events)) == 1
        return of(midflight.TurnEnded, events)[0].text

    model = await scripted_model(script)
    names = [f"session-{number}" for number in range(6)]
    assert await asyncio.gather(*(session(name) for name in names)) == names
    assert not agents()


@fault("A11")
async def test_ten_thousand_steers_cost_bounded_memory_and_all_end(
    tmp_path: Path,
) -> None:
    async with FakeModel([[Wait("on"), ToolCall("Bash", {"command": "true"})], Text("all")]) as m:
        options: dict[str, Any] = {"agent": "fake", "env": m.env(tmp_path), "cwd": tmp_path}
        async with midflight.dispatch("go", allowed_tools=["Bash"], **options) as session:
            await m.reached("on")
            before = memory_bytes()
            messages = [await session.send(f"also {number}") for number in range(10_000)]
            m.signal("on")
            results = [await ended(message) for message in messages]
            after = memory_bytes()
    assert {result.status for result in results} == {"completed"}
    assert {message.state for message in messages} == {"answered"}
    assert after - before < 100_000_000


@fault("A11")
async def test_hundreds_of_steers_reach_the_agent_once_and_in_order(
    scripted_model: Models, use: Use
) -> None:
    def script(request: ModelRequest) -> Step:
        if len(model.requests) == 1:
            return [Wait("on"), ToolCall("Bash", {"command": "true"})]
        return Text(f"after {len(request.messages)} messages")

    model = await scripted_model(script)
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        await model.reached("on")
        messages = [await session.send(f"also number {number}.") for number in range(200)]
        model.signal("on")
        for message in messages:
            assert (await ended(message)).status == "completed"
        await read(session)
    told = str(model.requests[-1].messages)
    places = [told.index(f"also number {number}.") for number in range(200)]
    assert places == sorted(places)
    assert all(told.count(f"also number {number}.") == 1 for number in range(200))

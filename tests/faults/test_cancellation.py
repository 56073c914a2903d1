"""The program that uses midflight is cancelled, fails, hangs or ends: no agent outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.events import of, read
from tests.support.faults import Fake, Models, Use, agents, gone, pid_in, pipe

import midflight
from midflight.testing import Silence, Text, ToolCall, Wait, Words

pytestmark = pytest.mark.anyio

TALK = [Words("one two"), Silence()]


async def _dispatch(options: dict[str, Any], said: asyncio.Event) -> None:
    """Run a session until it is cancelled; tell when the agent has begun to talk."""
    async with midflight.dispatch("go", **options) as session:
        async for event in session.stream():
            if isinstance(event, midflight.TextDelta):
                said.set()


@fault("A5")
async def test_cancelled_task_ends_its_agent(scripted_model: Models, use: Use) -> None:
    model, said = await scripted_model([TALK]), asyncio.Event()
    task = asyncio.create_task(_dispatch(use(model), said))
    async with asyncio.timeout(60):
        await said.wait()
    (agent,) = agents()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await gone([agent], 0)


@fault("A5")
async def test_task_cancelled_again_and_again_still_ends_its_agent(
    scripted_model: Models, use: Use
) -> None:
    model, said = await scripted_model([TALK]), asyncio.Event()
    task = asyncio.create_task(_dispatch(use(model), said))
    async with asyncio.timeout(60):
        await said.wait()
        (agent,) = agents()
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=0.05)
    assert task.cancelled()
    assert await gone([agent], 0)


@fault("A5")
async def test_session_that_takes_too_long_ends_with_its_agent(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model(lambda _: TALK)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(_dispatch(use(model), asyncio.Event()), 3)
    assert not agents()


@fault("A5")
async def test_failed_sibling_ends_every_agent_of_the_group(
    scripted_model: Models, use: Use
) -> None:
    model, said = await scripted_model([TALK, TALK]), [asyncio.Event(), asyncio.Event()]

    async def fail() -> None:
        async with asyncio.timeout(60):
            for event in said:
                await event.wait()
        raise LookupError("the sibling fails")

    async def all_together() -> None:
        async with asyncio.TaskGroup() as group:
            for event in said:
                group.create_task(_dispatch(use(model), event))
            group.create_task(fail())

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await all_together()
    assert not agents()


@fault("A5", "A1")
async def test_cancelled_start_leaves_no_process(tmp_path: Path, no_agent_left: None) -> None:
    path = tmp_path / "agent"
    path.write_text('#!/bin/sh\n[ "$1" = --version ] && echo 2.1.330 && exit\nexec cat >/dev/null')
    path.chmod(0o755)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1), midflight.open(agent_path=path, cwd=tmp_path):
            pass
    assert not agents()


@fault("A5")
async def test_cancelled_stream_resumes_where_it_stopped(fake: Fake) -> None:
    model, options = await fake([[Words("one "), Wait("on"), Words("two")]])
    async with midflight.dispatch("go", **options) as session:
        seen: list[midflight.Event] = []
        half = asyncio.Event()

        async def listen() -> None:
            async for event in session.stream():
                seen.append(event)
                if isinstance(event, midflight.TextDelta):
                    half.set()

        task = asyncio.create_task(listen())
        async with asyncio.timeout(60):
            await half.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        model.signal("on")
        seen += await read(session)
    numbers = [event.seq for event in seen if event.seq is not None]
    assert numbers == list(range(1, len(numbers) + 1))
    assert "".join(delta.text for delta in of(midflight.TextDelta, seen)) == "one two"


@fault("A5", "A6")
@pytest.mark.parametrize("how", ["interrupted", "forgotten"])
async def test_program_that_ends_takes_its_agent_along(
    scripted_model: Models, use: Use, project: Path, how: str
) -> None:
    fifo = pipe(project / "pid")
    model = await scripted_model(
        [ToolCall("Bash", {"command": f"echo $$ > {fifo}; exec tail -f /dev/null"})]
    )
    program = """
import asyncio, json, sys, midflight

async def main():
    session = midflight.dispatch("go", allowed_tools=["Bash"], **json.loads(sys.argv[2]))
    if sys.argv[1] == "forgotten":
        await session.__aenter__()
        async for event in session.stream():
            if isinstance(event, midflight.ToolStarted):
                await asyncio.to_thread(sys.stdin.readline)
                return
    async with session:
        async for event in session.stream():
            pass

asyncio.run(main())
"""
    options = use(model)
    given = json.dumps({"cwd": str(options["cwd"]), "env": options["env"]})
    host = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, how, given),
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        tool = await pid_in(fifo)
        family = psutil.Process(host.pid).children(recursive=True)
        assert tool in family
        if how == "interrupted":
            host.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await host.communicate(b"\n")
    finally:
        with contextlib.suppress(ProcessLookupError):
            host.kill()
        await host.wait()
    assert await gone(family, 30)


# The user's own code --------------------------------------------------------------------------


def _fails(request: object) -> midflight.commands.Answer:
    raise LookupError(request)


async def _fails_later(request: object) -> midflight.commands.Answer:
    raise LookupError(request)


def _talks(request: object) -> str:
    return f"yes, {request}"


@fault("A11")
@pytest.mark.parametrize("handler", [_fails, _fails_later, _talks])
async def test_failed_handler_denies_the_request_and_the_turn_continues(
    fake: Fake, handler: midflight.options.RequestHandler
) -> None:
    _, options = await fake([ToolCall("Bash", {"command": "touch here"}), Text("denied")])
    async with midflight.dispatch("go", on_request=handler, **options) as session:
        events = await read(session)
    (resolved,) = of(midflight.PermissionResolved, events)
    assert (resolved.decision, resolved.by) == ("deny", "user")
    assert "on_request" in resolved.reason
    assert [notice.level for notice in of(midflight.Notice, events)] == ["error"]
    assert of(midflight.TurnEnded, events)[0].text == "denied"


@fault("A11")
async def test_deadline_overrules_a_handler_that_never_answers(fake: Fake) -> None:
    async def hang(request: object) -> None:
        del request
        await asyncio.Event().wait()

    _, options = await fake([ToolCall("Bash", {"command": "touch here"}), Text("denied")])
    options |= {"on_request": hang, "request_timeout": 0.3}
    async with midflight.dispatch("go", **options) as session:
        events = await read(session)
    (resolved,) = of(midflight.PermissionResolved, events)
    assert (resolved.decision, resolved.by) == ("deny", "deadline")
    assert of(midflight.TurnEnded, events)[0].text == "denied"


@fault("A11", "A5")
async def test_error_in_on_event_ends_the_run_and_its_agent(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([TALK])

    def fail(event: midflight.Event) -> None:
        if event.type == "text.delta":
            raise LookupError("in on_event")

    with pytest.raises(LookupError, match="in on_event"):
        await asyncio.to_thread(midflight.run, "go", on_event=fail, **use(model))
    assert not agents()

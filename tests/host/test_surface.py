"""A session is used alike by all doors: its own process, a socket, a port, a database's journal."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.journal.conftest import server
from tests.support.events import PATIENCE_S, read, texts, until
from tests.support.host import journal_of

import midflight
from midflight import commands as c
from midflight import events as e
from midflight.client.session import RemoteSession
from midflight.host import Host
from midflight.session import BaseSession
from midflight.session.session import Session
from midflight.testing import FakeAgent, FakeModel, Silence, Text, ToolCall, Usage, Wait, Words

Open = Callable[..., Awaitable[tuple[FakeModel, Any]]]

WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
ASK = ToolCall(
    "AskUserQuestion",
    {"questions": [{"question": "Which?", "header": "W", "options": [{"label": "A"}]}]},
)


__all__ = ["server"]

DATABASE = "database"
"""The door of another program of this machine, where the journal is in a database."""


@pytest.fixture
def state(request: pytest.FixtureRequest, state: Path) -> Any:
    """Return where the journal is, as `Host` and `connect` take it."""
    params = getattr(request.node, "callspec", None)  # a test of one door alone has none
    if params is None or params.params.get("open_") != DATABASE:
        return state
    return request.getfixturevalue("server")


@pytest.fixture(params=["process", "socket", "http", DATABASE])
def open_(
    request: pytest.FixtureRequest,
    begin: Callable[..., Awaitable[tuple[FakeModel, Session]]],
    attach: Callable[..., Awaitable[RemoteSession]],
    attach_over_http: Callable[..., Awaitable[RemoteSession]],
) -> Open:
    """Return a function from steps to a model and a session, here or elsewhere."""
    elsewhere = {"socket": attach, "http": attach_over_http, DATABASE: attach}.get(request.param)

    async def start(*steps: Any, **options: Any) -> tuple[FakeModel, BaseSession]:
        model, session = await begin(*steps, **options)
        return model, (await elsewhere(session) if elsewhere else session)

    return start


# Events -----------------------------------------------------------------------------------


async def test_stream_ends_when_the_agent_is_quiet_and_the_next_continues(open_: Open) -> None:
    _, session = await open_(Words("on e"), Text("two"))
    await session.send("first")
    first = await read(session)
    assert texts(first) == ["on e"]
    assert any(isinstance(event, e.TextDelta) for event in first)
    assert await read(session) == []
    await session.send("second")
    assert texts(await read(session)) == ["two"]
    assert session.status == "idle"


async def test_stream_that_was_left_continues_where_it_stopped(open_: Open) -> None:
    model, session = await open_([Text("half"), Wait("go"), Text(" and half")])
    await session.send("say it")
    seen = []
    async for event in session.stream():
        seen.append(event)
        if isinstance(event, e.MessageStarted):
            break
    model.signal("go")
    seen += await read(session)
    numbers = [event.seq for event in seen if event.seq]
    assert numbers == list(range(1, session.last_seq + 1))


async def test_second_stream_at_a_time_is_a_conflict(open_: Open) -> None:
    model, session = await open_([Wait("go"), Text("one")])
    await session.send("go")
    reading = asyncio.create_task(read(session))
    await model.reached("go")
    await until(session, e.MessageStarted)
    with pytest.raises(midflight.Conflict, match="events"):
        await anext(aiter(session.stream()))
    model.signal("go")
    await reading


async def test_reader_who_comes_late_has_the_text_from_its_beginning(open_: Open) -> None:
    model, session = await open_([Words("half"), Wait("go"), Words(" and half")])
    await session.send("say it")
    await until(session, e.TextDelta)
    session.attend(False)  # who is elsewhere is connected anew, and gets nothing twice
    await session.set_limits(timeout=600)  # what it is by now
    pieces: list[str] = []
    async with asyncio.timeout(PATIENCE_S):
        async for event in session.events(session.last_seq):
            if isinstance(event, e.TextDelta):
                pieces.append(event.text)
                model.signal("go")
            elif isinstance(event, e.Text):
                assert "".join(pieces) == event.text == "half and half"
                break


async def test_events_begin_after_a_seq_and_end_with_the_session(open_: Open) -> None:
    _, session = await open_(Text("one"))
    await (await session.send("go")).result()
    await session.close()
    whole = [event.seq async for event in session.events() if event.seq]
    assert whole == list(range(1, session.last_seq + 1))
    assert [event.seq async for event in session.events(after=3) if event.seq] == whole[3:]
    assert [event async for event in session.events(after=session.last_seq)] == []


async def test_event_is_the_same_on_both_sides(host: Host, attach: Any, begin: Any) -> None:
    _, session = await begin([Text("first"), WRITE], Text("done"), allowed_tools=["Write"])
    remote = await attach(session)
    await (await session.send("go")).result()
    await session.close()
    there = [event async for event in session.events() if event.seq]
    assert [event async for event in remote.events() if event.seq] == there
    assert await journal_of(host).events(session.id, 0, None) == there


# What can be seen -------------------------------------------------------------------------


async def test_state_is_the_same_on_both_sides_in_every_phase(open_: Open) -> None:
    model, session = await open_(
        [Wait("run"), WRITE], [ASK], [Text("done"), Usage(100, 10)], Text("b"), attended=True
    )
    assert (session.status, session.pending, session.queued) == ("idle", (), ())
    message = await session.send("go")
    queued = await session.send("later", delivery="queue")
    assert session.status == "running"
    assert session.queued[-1] is queued
    model.signal("run")
    permission = await until(session, e.PermissionRequested)
    assert (session.status, session.pending) == ("waiting", (permission,))
    await session.answer(permission)
    question = await until(session, e.QuestionRequested)
    assert session.pending == (question,)
    await session.answer(question, answers={"Which?": "A"})
    result = await message.result()
    assert (result.status, result.text) == ("completed", "done")
    assert (await queued.result()).text == "b"
    await read(session)
    assert (session.status, session.pending, session.queued) == ("idle", (), ())
    assert session.total_cost_usd >= result.total_cost_usd > 0
    assert session.agent_session == next(iter(model.conversations))


async def test_capabilities_and_permission_mode_are_known(open_: Open) -> None:
    _, session = await open_([WRITE], Text("done"), max_turns=7, allowed_tools=["Read"])
    assert session.capabilities == FakeAgent.capabilities
    assert session.permission_mode == "default"
    given = session.options
    assert (given.agent, given.max_turns, list(given.allowed_tools)) == ("fake", 7, ["Read"])
    await session.set_permission_mode("acceptEdits")
    assert session.permission_mode == "acceptEdits"
    assert (await (await session.send("write")).result()).text == "done"
    await session.close()
    assert session.permission_mode == "acceptEdits"


async def test_permission_mode_set_by_another_client_is_known(open_: Open, client: Any) -> None:
    _, session = await open_(Text("done"))
    await (await session.send("x")).result()
    async with await client.session(session.id) as other:
        await other.set_permission_mode("plan")
    async for event in session.events():
        if isinstance(event, e.Notice) and "plan" in event.text:
            break
    assert session.permission_mode == "plan"


async def test_attendance_can_be_changed(open_: Open) -> None:
    _, session = await open_([WRITE], Text("not asked"), [WRITE], Text("done"), attended=False)
    session.attend(False)
    result = await (await session.send("write")).result()
    assert [denial.name for denial in result.denials] == ["Write"]
    session.attend(True)
    message = await session.send("write")
    async for event in session.events(session.last_seq):
        if isinstance(event, e.PermissionRequested):
            await session.answer(event)
        if isinstance(event, e.TurnEnded):
            break
    assert (await message.result()).text == "done"


async def test_first_message_is_the_task(open_: Open) -> None:
    _, session = await open_(Text("done"), task="do it")
    assert session.first.text == "do it"
    assert (await session.first.result()).text == "done"
    assert session.name == "do-it"


# Verbs ------------------------------------------------------------------------------------


async def test_message_has_its_state_and_result(open_: Open) -> None:
    model, session = await open_([Wait("go"), Text("done")])
    message = await session.send("do it")
    assert (message.state, message.turn) == ("accepted", None)
    await until(session, e.MessageStarted)
    assert (message.state, message.turn, session.queued) == ("started", 1, ())
    model.signal("go")
    assert (await message.result()).messages == (message.id,)
    assert message.state == "answered"
    assert not await message.cancel()


async def test_steer_is_read_by_the_running_turn(open_: Open) -> None:
    model, session = await open_(
        [Wait("go"), ToolCall("TodoWrite", {"todos": []})], Text("both done")
    )
    first = await session.send("this")
    await model.reached("go")
    steer = await session.send("and that")
    model.signal("go")
    assert (await steer.result()).messages == (first.id, steer.id)
    assert (steer.state, steer.turn) == ("answered", 1)


async def test_redirect_replaces_a_running_tool(open_: Open) -> None:
    _, session = await open_(
        ToolCall("Bash", {"command": "sleep 100 # x"}), Text("instead"), allowed_tools=["Bash"]
    )
    old = await session.send("sleep")
    await until(session, e.ToolStarted)
    new = await session.redirect("do that instead")
    assert (await old.result()).reason == "redirected"
    assert ((await new.result()).text, new.turn) == ("instead", 2)


async def test_interrupt_stops_the_turn_and_the_queue(open_: Open) -> None:
    model, session = await open_(Silence(), Text("kept"))
    message = await session.send("hang")
    await model.request(1)
    queued = await session.send("later", delivery="queue")
    await session.interrupt(keep_queued=True)
    assert (await message.result()).status == "interrupted"
    assert (await queued.result()).text == "kept"
    await read(session)
    before = session.last_seq
    await session.interrupt()
    assert session.last_seq == before


async def test_queued_messages_can_be_edited_moved_and_promoted(open_: Open) -> None:
    model, session = await open_(Silence(), Text("b"), Text("c"), Text("a"))
    await session.send("hang")
    await model.request(1)
    a, b, c_, d = [await session.send(text, delivery="queue") for text in "abcd"]
    await a.edit("much later")
    assert a.text == "much later"
    await a.move()
    await c_.move(before=b)
    await c_.move(before=a.id)
    assert session.queued == (b, d, c_, a)
    assert await d.cancel()
    assert d.state == "cancelled"
    assert (await d.result()).reason == "cancelled"
    await b.promote("now")
    assert [(await message.result()).text for message in (b, c_, a)] == ["b", "c", "a"]
    assert "much later" in str(model.requests[-1].messages[-1])


async def test_steer_that_the_agent_has_can_be_cancelled(open_: Open) -> None:
    model, session = await open_([Text("a"), Wait("go")])
    message = await session.send("go")
    await model.reached("go")
    steer = await session.send("and that")
    assert await steer.cancel()
    assert steer.state == "cancelled"
    model.signal("go")
    await message.result()


async def test_model_and_permission_mode_can_be_switched(open_: Open) -> None:
    model, session = await open_(Text("one"), [Text("two"), WRITE], Text("three"))
    await (await session.send("x")).result()
    await session.set_model("opus")
    await session.set_permission_mode("dontAsk")
    result = await (await session.send("y")).result()
    assert [request.model for request in model.requests] == ["fake-model", "opus", "opus"]
    assert [denial.name for denial in result.denials] == ["Write"]


async def test_denial_and_edited_input_reach_the_agent(open_: Open, tmp_path: Path) -> None:
    model, session = await open_([WRITE], [WRITE], Text("done"))
    message = await session.send("write")
    first = await until(session, e.PermissionRequested)
    await session.answer(first.request, "deny", reason="not there")
    asked = await asyncio.wait_for(_second(session), 60)
    await session.answer(asked, input={**WRITE.input, "content": "edited"})
    await message.result()
    assert "not there" in str(model.requests[1].tool_results)
    assert (tmp_path / "new").read_text() == "edited"


async def _second(session: BaseSession) -> e.PermissionRequested:
    asked = [session.events()]
    seen = 0
    async for event in asked[0]:
        seen += isinstance(event, e.PermissionRequested)
        if isinstance(event, e.PermissionRequested) and seen == 2:
            return event
    raise AssertionError


async def test_close_ends_everything(open_: Open, host: Host) -> None:
    model, session = await open_(Silence())
    message = await session.send("hang")
    await model.request(1)
    left = await session.send("left", delivery="queue")
    await session.close()
    assert (await message.result()).status == "interrupted"
    assert (await left.result()).reason == "closed"
    assert session.status == "closed"
    await session.close()
    assert [row.status for row in await journal_of(host).sessions()] == ["closed"]


# Errors -----------------------------------------------------------------------------------


@fault("I6")
async def test_second_answer_is_a_conflict_that_names_the_first(open_: Open) -> None:
    _, session = await open_([WRITE], Text("done"))
    message = await session.send("write")
    asked = await until(session, e.PermissionRequested)
    outcomes = await asyncio.gather(
        session.answer(asked, "deny"), session.answer(asked, "allow"), return_exceptions=True
    )
    (late,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(late, midflight.AlreadyAnswered)
    result = await message.result()
    stands = "deny" if result.denials else "allow"
    assert (late.request, late.decision, late.by) == (asked.request, stands, "user")
    resolved = [ev for ev in await read(session) if isinstance(ev, e.PermissionResolved)]
    assert [event.decision for event in resolved] == [stands]


async def test_verb_that_cannot_be_carried_out_raises_its_error(open_: Open) -> None:
    _, session = await open_([ASK], Text("done"), attended=True)
    message = await session.send("go", id="m1")
    asked = await until(session, e.QuestionRequested)
    for wrong in ("", " \n", "lone \ud800", None):
        with pytest.raises(midflight.InvalidInput):
            await session.send(wrong)
    with pytest.raises(midflight.InvalidInput):
        await session.answer(asked, answers={"Who?": "A"})
    with pytest.raises(midflight.NotFound):
        await session.answer("no-such-request")
    with pytest.raises(midflight.NotFound):
        await session.command(c.Cancel(message="no-such-message"))
    with pytest.raises(midflight.Conflict):
        await session.send("something else", id="m1")
    with pytest.raises(midflight.Conflict):
        await message.edit("too late")
    with pytest.raises(midflight.InvalidOption) as caught:
        await session.set_permission_mode("yolo")
    assert caught.value.option == "permission_mode"
    await session.answer(asked, answers={"Which?": "A"})
    assert (await message.result()).status == "completed"


async def test_same_id_twice_is_one_message(open_: Open) -> None:
    model, session = await open_(Text("once"))
    first = await session.send("do it", id="m1")
    assert await session.send("do it", id="m1") is first
    await first.result()
    assert len(model.requests) == 1


async def test_command_that_fails_is_a_notice_with_its_id(open_: Open) -> None:
    _, session = await open_(Text("done"))
    await session.submit(c.Cancel(message="x", id="k1"))
    await session.submit(c.Send(text="go"))
    notices = [event for event in await read(session) if isinstance(event, e.Notice)]
    assert [(notice.level, notice.command) for notice in notices] == [("error", "k1")]


async def test_session_has_to_be_entered(client: midflight.Client, begin: Any) -> None:
    _, session = await begin()
    remote = await client.session(session.id)
    with pytest.raises(midflight.Conflict, match="async with"):
        await remote.send("go")
    async with remote:
        with pytest.raises(midflight.Conflict, match="once"):
            await remote.__aenter__()

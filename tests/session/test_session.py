from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.events import read, read_until, texts
from tests.support.money import known

import midflight
from midflight import commands as c
from midflight import events as e
from midflight.agents.base import Memory, Preparing, Reply, Signal, Step
from midflight.errors import ConversationLost
from midflight.session.event_log import KEPT_EVENTS
from midflight.testing import (
    Drop,
    FakeAgent,
    FakeModel,
    Mark,
    Silence,
    Text,
    ToolCall,
    Usage,
    Wait,
    Words,
    usage_limit,
)

pytestmark = pytest.mark.usefixtures("no_agent_left", "patience")

Start = Callable[..., Any]
WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
ASK = ToolCall(
    "AskUserQuestion",
    {"questions": [{"question": "Which?", "header": "W", "options": [{"label": "A"}]}]},
)


# Streams ----------------------------------------------------------------------------------


async def test_stream_ends_when_the_agent_is_quiet_and_the_next_continues(fake: Start) -> None:
    _, session = await fake(Text("one"), Text("two"))
    async with session:
        await session.send("first")
        assert texts(await read(session)) == ["one"]
        assert await read(session) == []
        await session.send("second")
        assert texts(await read(session)) == ["two"]
        assert session.status == "idle"


async def test_stream_that_was_left_is_continued(fake: Start) -> None:
    _, session = await fake(Words("a b c"))
    async with session:
        await session.send("count")
        head = await read_until(session, e.TurnStarted)
        tail = await read(session)
    assert head.seq == 2
    assert [event.seq for event in tail if event.seq] == list(range(3, 3 + len(tail) - 3))
    assert tail[-1].type == "turn.ended"


async def test_stream_whose_task_was_cancelled_is_continued(fake: Start) -> None:
    model, session = await fake([Text("half"), Wait("go"), Text(" and half")])
    seen: list[e.Event] = []

    async def collect() -> None:
        async for event in session.stream():
            seen.append(event)

    async with session:
        await session.send("say it")
        task = asyncio.create_task(collect())
        await model.reached("go")
        task.cancel()
        await asyncio.wait({task})
        model.signal("go")
        seen += await read(session)
    assert [event.seq for event in seen if event.seq] == list(range(1, 9))
    assert texts(seen) == ["half and half"]


async def test_second_stream_conflicts_but_events_have_any_number_of_readers(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("one")])

    async def follow(after: int) -> list[int | None]:
        return [event.seq async for event in session.events(after) if event.seq]

    caught_up = asyncio.Event()

    async def stream() -> None:
        async for event in session.stream():
            if isinstance(event, e.SessionStarted):
                caught_up.set()

    async with session:
        await session.send("go on")
        await model.reached("go")
        reading = asyncio.create_task(stream())
        await caught_up.wait()
        with pytest.raises(midflight.Conflict, match="events"):
            await anext(aiter(session.stream()))
        readers = [asyncio.create_task(follow(after)) for after in (0, 0, 3)]
        model.signal("go")
        await reading
    whole, again, rest = [await reader for reader in readers]
    assert whole == again == list(range(1, len(whole) + 1))
    assert rest == whole[3:]


async def test_stream_that_a_newer_one_replaced_raises_conflict(fake: Start) -> None:
    _, session = await fake(Words("a b c"))
    async with session:
        await session.send("count")
        older = aiter(session.stream())
        await anext(older)
        await read(session)
        with pytest.raises(midflight.Conflict, match="elsewhere"):
            await anext(older)


async def test_events_no_longer_in_memory_raise_events_expired(
    fake: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.event_log.EventLog.__init__.__defaults__", (5,))
    _, session = await fake(Text("one"))
    async with session:
        await (await session.send("x")).result()
        with pytest.raises(midflight.EventsExpired, match="in memory"):
            await anext(aiter(session.events()))


# Messages ---------------------------------------------------------------------------------


async def test_receipt_follows_the_states_of_its_message(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("done"), Usage(100, 10)])
    async with session:
        message = await session.send("do it")
        assert (message.state, message.turn) == ("accepted", None)
        assert session.queued == (message,)
        await model.reached("go")
        assert (message.state, message.turn, session.queued) == ("started", 1, ())
        assert session.status == "running"
        model.signal("go")
        result = await message.result()
    assert (message.state, result.status, result.text) == ("answered", "completed", "done")
    assert result.total_cost_usd == session.total_cost_usd > 0
    assert message.id in repr(message)
    assert not await message.cancel()


async def test_message_that_never_got_a_turn_has_a_result(fake: Start) -> None:
    model, session = await fake(Silence())
    async with session:
        await session.send("hang")
        await model.request(1)
        queued = await session.send("later", delivery="queue")
        await queued.edit("much later")
        assert queued.text == "much later"
        assert await queued.cancel()
        result = await queued.result()
        assert (result.status, result.reason) == ("interrupted", "cancelled")
        left = await session.send("left", delivery="queue")
    assert (await left.result()).reason == "closed"


async def test_waiting_messages_can_be_reordered(fake: Start) -> None:
    model, session = await fake(Silence(), Text("b"), Text("c"), Text("a"))
    async with session:
        await session.send("hang")
        await model.request(1)
        a, b, c_ = [await session.send(text, delivery="queue") for text in "abc"]
        await a.move()
        await c_.move(before=b)
        await c_.move(before=a.id)
        assert session.queued == (b, c_, a)
        await b.promote("now")
        results = [await message.result() for message in (b, c_, a)]
    assert [result.text for result in results] == ["b", "c", "a"]


async def test_id_that_is_sent_twice_is_one_message(fake: Start) -> None:
    _, session = await fake(Text("once"))
    async with session:
        first = await session.send("do it", id="m1")
        assert await session.send("do it", id="m1") is first
        assert (await first.result()).messages == ("m1",)
        with pytest.raises(midflight.Conflict):
            await session.send("do something else", id="m2") and await session.send("x", id="m2")
        await session.interrupt()


async def test_unread_steer_can_be_cancelled(fake: Start) -> None:
    model, session = await fake([Text("a"), Wait("go")])
    async with session:
        await session.send("go")
        await model.reached("go")
        steer = await session.send("and that")
        assert await steer.cancel()
        model.signal("go")
        await read(session)
    assert len(model.requests) == 1


async def test_cancelled_wait_for_a_result_does_not_touch_the_message(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("done")])
    async with session:
        message = await session.send("x")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await message.result()
        model.signal("go")
        assert (await message.result()).text == "done"


@pytest.mark.parametrize("text", ["", " \n", "lone \ud800", "x" * (10 * 1024 * 1024 + 1), None])
async def test_text_that_cannot_be_sent_is_refused(fake: Start, text: Any) -> None:
    _, session = await fake()
    async with session:
        with pytest.raises(midflight.InvalidInput):
            await session.send(text)


# Commands ---------------------------------------------------------------------------------


async def test_submitted_command_that_fails_is_a_notice_with_its_id(fake: Start) -> None:
    _, session = await fake(Text("done"))
    async with session:
        await session.submit(c.Cancel(message="x", id="k1"))
        await session.submit(c.SetPermissionMode(mode="yolo", id="k2"))
        await session.submit(c.SetModel(model="--x", id="k3"))
        await session.submit(c.Send(text="go"))
        notices = [event for event in await read(session) if isinstance(event, e.Notice)]
        assert [(n.level, n.command) for n in notices] == [
            ("error", "k1"),
            ("error", "k2"),
            ("error", "k3"),
        ]
        await session.submit(c.Close())
        assert session.status == "closed"
        await session.submit(c.Close())
        await session.submit(c.Send(text="late"))
    assert (await anext(aiter(session.events(after=1)))).seq == 2
    with pytest.raises(midflight.SessionClosed):
        await session.send("late")


async def test_model_and_mode_can_be_switched(fake: Start) -> None:
    model, session = await fake(Text("one"), [Text("two"), WRITE], Text("three"))
    async with session:
        await (await session.send("x")).result()
        await session.set_model("opus")
        await session.set_permission_mode("dontAsk")
        assert session.permission_mode == "dontAsk"
        result = await (await session.send("y")).result()
    assert [request.model for request in model.requests] == ["fake-model", "opus", "opus"]
    assert [denial.name for denial in result.denials] == ["Write"]


# Requests ---------------------------------------------------------------------------------


async def test_reader_may_answer(fake: Start, tmp_path: Path) -> None:
    _, session = await fake([WRITE], [ASK], Text("done"))
    async with session:
        await session.send("write")
        async for event in session.stream():
            if isinstance(event, e.PermissionRequested):
                assert (session.status, session.pending) == ("waiting", (event,))
                await session.answer(event)
            if isinstance(event, e.QuestionRequested):
                await session.answer(event.request, answers={"Which?": "A"})
    assert (tmp_path / "new").read_text() == "by the agent"


async def test_handler_of_the_program_answers(fake: Start, tmp_path: Path) -> None:
    async def later(request: object) -> c.Answer | None:
        if isinstance(request, e.QuestionRequested):
            return c.Answer(request="", answers={"Which?": "A"})
        return c.Answer(request="", decision="allow", input={**WRITE.input, "content": "edited"})

    model, session = await fake([WRITE], [ASK], Text("done"), on_request=later)
    async with session:
        assert (await (await session.send("write")).result()).status == "completed"
    assert (tmp_path / "new").read_text() == "edited"
    assert '"Which?"="A"' in str(model.requests[2].tool_results)
    answered = (e.PermissionResolved, e.QuestionResolved)
    said = [event.who async for event in session.events() if isinstance(event, answered)]
    assert [who and (who.role, who.door) for who in said] == [("program", "library")] * 2


async def test_handler_may_be_a_plain_function(fake: Start) -> None:
    def deny(request: e.PermissionRequested | e.QuestionRequested) -> c.Answer:
        return c.Answer(request=request.request, decision="deny", reason="not here")

    _, session = await fake([WRITE], Text("done"), on_request=deny)
    async with session:
        result = await (await session.send("write")).result()
    assert [denial.reason for denial in result.denials] == ["not here"]


async def test_handler_that_raises_denies_and_is_reported(fake: Start) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("secret")

    _, session = await fake([WRITE], Text("done"), on_request=broken)
    async with session:
        await session.send("write")
        events = await read(session)
    notices = [event.text for event in events if isinstance(event, e.Notice)]
    assert any("RuntimeError" in text and "secret" not in text for text in notices)
    assert [event.decision for event in events if isinstance(event, e.PermissionResolved)] == [
        "deny"
    ]


async def test_handler_that_never_answers_does_not_hold_up_the_session(fake: Start) -> None:
    asked = asyncio.Event()

    async def forever(_: object) -> None:
        asked.set()
        await asyncio.Event().wait()

    _, session = await fake([WRITE], on_request=forever)
    async with session:
        message = await session.send("write")
        await asked.wait()
        await session.interrupt()
        assert (await message.result()).status == "interrupted"


async def test_handler_that_returns_none_leaves_the_request_pending(fake: Start) -> None:
    _, session = await fake([WRITE], Text("done"), on_request=lambda _: None)
    async with session:
        message = await session.send("write")
        await session.answer((await read_until(session, e.PermissionRequested)).request)
        assert (await message.result()).status == "completed"


async def test_request_is_denied_at_once_where_nobody_can_answer(fake: Start) -> None:
    _, session = await fake([WRITE], Text("done"))
    async with session:
        result = await (await session.send("write")).result()
    assert len(result.denials) == 1


async def test_person_who_leaves_has_pending_requests_denied(fake: Start) -> None:
    _, session = await fake([WRITE], Text("done"), attended=True)
    async with session:
        message = await session.send("write")
        await read_until(session, e.PermissionRequested)
        session.attend(False)
        assert len((await message.result()).denials) == 1


async def test_request_is_denied_at_its_deadline(fake: Start) -> None:
    _, session = await fake([WRITE], Text("done"), request_timeout=0.05)
    async with session:
        await session.send("write")
        events = await read(session)
    resolved = [event for event in events if isinstance(event, e.PermissionResolved)]
    assert [(event.decision, event.by) for event in resolved] == [("deny", "deadline")]


# Life -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        Silence(),
        [Words("a b"), Silence()],
        [ToolCall("Bash", {"command": "touch begun; sleep 100"}), Mark("asked")],
        [ASK, Mark("asked")],
    ],
    ids=["first byte", "streaming", "tool", "question"],
)
async def test_close_ends_the_turn_requests_and_messages(fake: Start, step: Any) -> None:
    model, session = await fake(step, attended=True, allowed_tools=["Bash"])
    async with session:
        message = await session.send("go")
        queued = await session.send("later", delivery="queue")
        await model.request(1)
    assert (message.state, queued.state) == ("cancelled", "cancelled")
    events = [event async for event in session.events()]
    assert events[-1].type == "session.ended"
    assert session.pending == ()


async def test_cancelled_block_closes_the_session_and_stays_cancelled(fake: Start) -> None:
    model, session = await fake(
        [ToolCall("Bash", {"command": "sleep 100"})], allowed_tools=["Bash"]
    )

    async def work() -> None:
        async with session:
            await session.send("go")
            async for _ in session.stream():
                pass

    task = asyncio.create_task(work())
    await model.request(1)
    task.cancel()
    await asyncio.wait({task})
    assert task.cancelled()
    assert session.status == "closed"


async def test_close_that_is_cancelled_runs_to_its_end(fake: Start) -> None:
    model, session = await fake(Silence())
    await session.__aenter__()
    await session.send("go")
    await model.request(1)
    closing = asyncio.create_task(session.close())
    await read_until(session, e.TurnEnded)
    closing.cancel()
    await asyncio.wait({closing})
    assert closing.cancelled()
    assert session.status == "closed"


async def test_session_without_a_model_does_not_start() -> None:
    with pytest.raises(midflight.AgentUnavailable, match="FakeModel"):
        async with midflight.open(agent="fake"):
            raise AssertionError


async def test_unknown_conversation_cannot_be_resumed(fake: Start) -> None:
    _, session = await fake(resume="no-such-conversation")
    assert session.agent_session == "no-such-conversation"
    with pytest.raises(ConversationLost, match="No conversation found"):
        async with session:
            raise AssertionError
    assert session.status == "closed"


async def test_conversation_is_resumed(fake_model: Callable[..., Any], tmp_path: Path) -> None:
    model = await fake_model(Text("one"), Text("two"))
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    async with midflight.dispatch("first", **options) as session:
        assert session.first is not None
        await session.first.result()
        earlier = session.agent_session
    async with midflight.dispatch("second", resume=earlier, spent_usd=1.0, **options) as session:
        assert session.first is not None
        assert known((await session.first.result()).total_cost_usd) > 1.0
    assert "first" in str(model.requests[1].messages)
    assert session.agent_session == earlier


async def test_copy_of_a_conversation_leaves_that_as_it_is(
    fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    """It is made once: when the agent is started again, it resumes the copy."""
    model = await fake_model(Text("one"), Text("two"), [Wait("never")], Text("four"))
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    async with midflight.dispatch("first", **options) as session:
        assert session.first is not None
        await session.first.result()
        earlier = session.agent_session
    options |= {"resume": earlier, "fork": True, "spent_usd": None, "max_budget_usd": 1.0}
    async with midflight.dispatch("second", **options) as session:
        assert session.first is not None
        result = await session.first.result()
        assert (result.status, result.total_cost_usd) == ("completed", None)
        assert known(result.cost_usd) > 0
        third = await session.send("third")
        await model.reached("never")
        await model.agents[-1].die()
        await third.result()
        copied = session.agent_session
        assert copied not in (None, earlier)
        assert (await (await session.send("fourth")).result()).text == "four"
        assert session.agent_session == copied
        assert session.total_cost_usd is None
    assert "first" in str(model.requests[1].messages)
    assert "second" in str(model.requests[3].messages)
    assert "second" not in str(model.conversations[earlier])
    assert len(model.conversations) == 2


async def test_next_message_restarts_an_agent_that_has_died(fake: Start) -> None:
    model, session = await fake([Words("a"), Wait("never")], Text("again"))
    async with session:
        message = await session.send("first")
        await model.reached("never")
        await model.agents[-1].die()
        result = await message.result()
        assert (result.status, result.reason) == ("failed", "agent_died")
        assert (await (await session.send("second")).result()).text == "again"
    assert "first" in str(model.requests[1].messages)


async def test_limit_ends_the_turn_and_the_session_stays_usable(fake: Start) -> None:
    tool = ToolCall("Bash", {"command": "true"})
    _, session = await fake(tool, tool, Silence(), Text("ok"), max_turns=2, timeout=0.5)
    async with session:
        reasons = [(await (await session.send(text)).result()).reason for text in "abc"]
    assert reasons == ["max_turns", "timeout", "end_turn"]


async def test_budget_holds_for_the_whole_session(fake: Start) -> None:
    expensive = [Text("x"), Usage(100_000, 0)]
    _, session = await fake(expensive, expensive, max_budget_usd=0.5)
    async with session:
        results = [await (await session.send(text)).result() for text in "abc"]
    assert [result.reason for result in results] == ["end_turn", "max_budget", "max_budget"]
    assert session.total_cost_usd == pytest.approx(0.6)


async def test_limits_that_were_reached_are_raised_and_the_session_goes_on(fake: Start) -> None:
    """The agent keeps its limits itself, so its program is started anew, with the conversation."""
    tool = ToolCall("Bash", {"command": "true"})
    dear = [Text("x"), Usage(100_000, 0)]
    model, session = await fake(dear, tool, tool, Text("ok"), max_budget_usd=0.2, max_turns=1)
    async with session:
        assert (await (await session.send("a")).result()).reason == "max_budget"
        assert (await (await session.send("b")).result()).reason == "max_budget"
        await session.set_limits(max_budget_usd=5.0)
        assert session.limits == {"max_turns": 1, "max_budget_usd": 5.0}
        assert (await (await session.send("c")).result()).reason == "max_turns"
        await session.set_limits(max_turns=None)
        assert session.limits == {"max_budget_usd": 5.0}
        result = await (await session.send("d")).result()
        assert (result.status, result.text) == ("completed", "ok")
        assert "a" in str(model.requests[-1].messages[0])
        agents = len(model.agents)
        await session.set_limits(max_budget_usd=4.0)  # which the session itself sees to
    assert agents == len(model.agents) == 3
    changed = [
        event.limits async for event in session.events() if isinstance(event, e.LimitsChanged)
    ]
    assert changed[-1] == {"max_budget_usd": 4.0}


async def test_command_that_changes_no_limit_or_to_nonsense_is_refused(fake: Start) -> None:
    _, session = await fake()
    async with session:
        with pytest.raises(midflight.InvalidInput, match="changes nothing"):
            await session.set_limits()
        for wrong in (0, -1.0, float("nan"), float("inf"), True, "5"):
            with pytest.raises(midflight.InvalidOption, match="max_budget_usd: expected"):
                await session.set_limits(max_budget_usd=wrong)
        assert session.limits == {}


async def test_eight_sessions_do_not_disturb_each_other(fake: Start) -> None:
    async def work(number: int) -> str:
        _, session = await fake([Words(f"{number} " * 50)])
        async with session:
            result: midflight.Result = await (await session.send("count")).result()
            return result.text

    results = await asyncio.gather(*map(work, range(8)))
    assert results == [f"{number} " * 50 for number in range(8)]


class Deaf(FakeAgent):
    async def events(self) -> AsyncIterator[Signal]:
        raise ValueError("cannot read")
        yield


class Clumsy(FakeAgent):
    async def send(self, message: str, text: str, *, steer: bool, typed: bool, **_: Any) -> None:
        raise OSError("broken pipe")

    async def set_model(self, model: str) -> None:
        raise midflight.AgentFailed("no such model")

    async def reply(self, reply: Reply) -> None:
        raise OSError("broken pipe")


async def test_driver_that_cannot_read_fails_the_start(
    fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    model: FakeModel = await fake_model()
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    with pytest.raises(midflight.AgentFailed, match="ValueError: cannot read"):
        async with midflight.Session(options, agent=Deaf):
            raise AssertionError


class Mute(FakeAgent):
    async def start(self, memory: Memory | None = None) -> None:
        pass


async def test_agent_that_does_not_come_up_fails_the_start(
    fake_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.agent_runner.START_TIMEOUT_S", 0.01)
    model: FakeModel = await fake_model()
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    session = midflight.Session(options, agent=Mute)
    with pytest.raises(midflight.AgentFailed, match="did not answer within"):
        async with session:
            raise AssertionError
    assert (session.status, session.pending) == ("closed", ())


class Hooked(FakeAgent):
    """Its start waits for a hook of the user's for longer than a start may take."""

    async def events(self) -> AsyncIterator[Signal]:
        yield Preparing("its hook")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.5):
                await asyncio.Event().wait()
        yield Preparing("")
        async for signal in super().events():
            yield signal


async def test_start_that_waits_for_a_hook_has_longer(
    fake_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.agent_runner.START_TIMEOUT_S", 1.0)
    model: FakeModel = await fake_model(Text("up"))
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    async with midflight.Session(options, "go", agent=Hooked) as session:
        assert texts(await read(session)) == ["up"]


async def test_lost_conversation_is_begun_anew_with_a_notice(fake: Start) -> None:
    model, session = await fake(Text("one"), Text("two"))
    async with session:
        await (await session.send("first")).result()
        await read(session)
        model.conversations.clear()
        await model.agents[-1].die()
        async for event in session.events():
            if isinstance(event, e.Notice) and "has ended" in event.text:
                break
        assert (await (await session.send("second")).result()).text == "two"
        notices = [event.text for event in await read(session) if isinstance(event, e.Notice)]
    assert "first" not in str(model.requests[1].messages)
    assert any("knows nothing of what was said" in text for text in notices)


class Moody(FakeAgent):
    """Its second start fails."""

    starts = 0

    async def start(self, memory: Memory | None = None) -> None:
        Moody.starts += 1
        if Moody.starts == 2:
            raise midflight.AgentFailed("out of memory")
        await super().start(memory)


async def test_restart_that_fails_does_not_lose_the_conversation(
    fake_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Moody, "starts", 0)
    model: FakeModel = await fake_model(Text("one"), Text("two"))
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    async with midflight.Session(options, agent=Moody) as session:
        await (await session.send("first")).result()
        await read(session)
        await model.agents[-1].die()
        async for event in session.events():
            if isinstance(event, e.Notice) and "has ended" in event.text:
                break
        assert (await (await session.send("second")).result()).reason == "agent_died"
        assert (await (await session.send("third")).result()).text == "two"
    assert "first" in str(model.requests[1].messages)


class Thrifty(FakeAgent):
    """Reports money only at the end of the turn, as Claude Code does."""

    async def events(self) -> AsyncIterator[Signal]:
        async for signal in super().events():
            if isinstance(signal, Step):
                yield Step(model="claude-haiku-4-5", tokens=signal.tokens)
            else:
                yield signal


async def test_money_is_estimated_until_the_agent_reports_it(
    fake_model: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.state.pricing._prices", {})
    model: FakeModel = await fake_model([ASK], Text("done"))
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path), attended=True)
    async with midflight.Session(options, agent=Thrifty) as session:
        message = await session.send("x")
        estimate = None
        async for event in session.stream():
            if isinstance(event, e.Usage) and event.cost_usd and session.pending:
                estimate = event
                await session.answer(session.pending[0], answers={"Which?": "A"})
        assert estimate is not None
        assert estimate.estimated
        assert (await message.result()).cost_usd == pytest.approx(0.00021)


async def test_action_that_fails_ends_what_depends_on_it(
    fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    model: FakeModel = await fake_model()
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    async with midflight.Session(options, agent=Clumsy) as session:
        result = await (await session.send("x")).result()
        assert (result.status, result.reason) == ("failed", "agent_error")
        await session.set_model("opus")
        notice = await read_until(session, e.Notice)
        assert isinstance(notice, e.Notice)
        assert "broken pipe" in notice.text


async def test_capabilities_are_those_of_the_agent(fake: Start) -> None:
    _, session = await fake()
    async with session:
        assert session.capabilities["steer"] == "supported"
        assert set(session.capabilities.values()) <= {"supported", "emulated", "not"}


async def test_dropped_connection_is_retried(fake: Start) -> None:
    _, session = await fake([Words("half"), Drop()], Text("whole"))
    async with session:
        await session.send("x")
        events = await read(session)
    assert [event.type for event in events if event.type in ("retry", "text")] == ["retry", "text"]
    assert texts(events) == ["whole"]


# What a user may get wrong ----------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        c.Answer(request="r", input={"a": object()}),
        c.Answer(request="r", reason="\ud800"),
        c.Answer(request="r", decision="yes"),  # type: ignore[arg-type]
        c.Answer(request="r", input="text"),  # type: ignore[arg-type]
    ],
    ids=["no data", "no text", "no decision", "no mapping"],
)
async def test_answer_that_cannot_be_sent_is_refused_and_the_request_waits(
    fake: Start, tmp_path: Path, answer: c.Answer
) -> None:
    _, session = await fake(WRITE, Text("done"), attended=True)
    async with session:
        message = await session.send("go")
        request = await read_until(session, e.PermissionRequested)
        assert isinstance(request, e.PermissionRequested)
        with pytest.raises(midflight.InvalidInput):
            await session.command(msgspec.structs.replace(answer, request=request.request))
        await session.answer(request)
        assert (await message.result()).status == "completed"
        assert (tmp_path / "new").exists()


@pytest.mark.parametrize("wrong", [{"delivery": "now"}, {"delivery": None}, {"id": 5}])
async def test_send_with_a_wrong_value_is_refused(fake: Start, wrong: dict[str, Any]) -> None:
    _, session = await fake()
    async with session:
        with pytest.raises(midflight.InvalidInput):
            await session.send("go", **wrong)
        assert session.status == "idle"


async def test_session_is_used_inside_its_block_and_entered_once(fake: Start) -> None:
    _, session = await fake(Text("one"))
    with pytest.raises(midflight.Conflict, match="not been entered"):
        await session.send("too early")
    with pytest.raises(midflight.Conflict, match="not been entered"):
        await read(session)
    async with session:
        with pytest.raises(midflight.Conflict, match="entered once"):
            async with session:
                pass
        assert (await (await session.send("go")).result()).text == "one"
    with pytest.raises(midflight.Conflict, match="entered once"):
        async with session:
            pass


async def test_session_belongs_to_its_event_loop(fake: Start) -> None:
    _, session = await fake()

    async def elsewhere() -> None:
        await session.send("go")

    async with session:
        with pytest.raises(midflight.Conflict, match="another event loop"):
            await asyncio.to_thread(asyncio.run, elsewhere())


async def test_settings_changed_while_the_agent_is_dead_hold_for_the_next(
    fake: Start, tmp_path: Path
) -> None:
    model, session = await fake(Text("one"), WRITE, Text("two"), attended=True)
    async with session:
        await (await session.send("go")).result()
        await model.agents[-1].die()
        async for event in session.events():
            if isinstance(event, e.Notice) and "has ended" in event.text:
                break
        await session.set_model("haiku")
        await session.set_permission_mode("plan")
        await (await session.send("go on")).result()
        assert model.requests[-1].model == "haiku"
        assert not (tmp_path / "new").exists()


class Choosy(FakeAgent):
    """Knows one model, and refuses one mode; a start with another model is refused too."""

    def __init__(self, options: midflight.Options) -> None:
        if options.model == "typo":
            raise midflight.UnsupportedOption("model", "no such model")
        super().__init__(options)

    async def set_model(self, model: str) -> None:
        raise midflight.UnsupportedOption("model", "no such model")

    async def set_permission_mode(self, mode: str) -> None:
        raise midflight.AgentFailed("no such mode")


async def test_settings_that_the_agent_refused_do_not_hold(
    fake_model: Callable[..., Any], tmp_path: Path
) -> None:
    model: FakeModel = await fake_model(Text("one"), Text("two"))
    options = midflight.Options.build(agent="fake", env=model.env(tmp_path))
    async with midflight.Session(options, agent=Choosy) as session:
        await session.set_model("typo")
        await session.set_permission_mode("bypassPermissions")
        await (await session.send("go")).result()
        assert session.permission_mode == "default"
        await model.agents[-1].die()
        async for event in session.events():
            if isinstance(event, e.Notice) and "has ended" in event.text:
                break
        assert (await (await session.send("go on")).result()).text == "two"


async def test_handler_is_not_called_for_what_a_policy_decided(fake: Start) -> None:
    asked: list[Any] = []
    options: dict[str, Any] = {"permission_mode": "bypassPermissions", "on_request": asked.append}
    _, session = await fake(WRITE, Text("done"), **options)
    async with session:
        await (await session.send("go")).result()
    assert asked == []


async def test_handler_that_returns_no_answer_is_named_in_the_denial(fake: Start) -> None:
    _, session = await fake(WRITE, Text("done"), on_request=lambda _: True)
    async with session:
        result = await (await session.send("go")).result()
        assert "expected an Answer or None, got bool" in result.denials[0].reason


async def test_command_that_the_agent_refuses_is_a_notice_with_its_id(tmp_path: Path) -> None:
    async with FakeModel([]) as model:
        options = midflight.Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
        async with midflight.Session(options, agent=Clumsy) as session:
            await session.command(c.SetModel(id="c-1", model="opus"))
            async for event in session.events():
                if isinstance(event, e.Notice):
                    assert (event.level, event.command) == ("error", "c-1")
                    break


class Stubborn(FakeAgent):
    async def close(self) -> None:
        await super().close()
        raise OSError("cannot be closed")


async def test_session_ends_even_if_closing_its_agent_fails(tmp_path: Path) -> None:
    async with FakeModel([[Wait("never")]]) as model:
        options = midflight.Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
        session = midflight.Session(options, agent=Stubborn)
        await session.__aenter__()
        message = await session.send("go")
        await read_until(session, e.TurnStarted)
        with pytest.raises(OSError, match="cannot be closed"):
            await session.close()
        assert session.status == "closed"
        assert (await message.result()).status == "interrupted"
        assert [type(event) async for event in session.events()][-1] is e.SessionEnded
        model.signal("never")


async def test_stream_that_missed_events_raises_once_and_continues(fake: Start) -> None:
    _, session = await fake()
    async with session:
        for number in range(KEPT_EVENTS + 2):
            session.notice("info", str(number))
        with pytest.raises(midflight.EventsExpired):
            await read(session)
        left = await read(session)
        assert len(left) == KEPT_EVENTS
        assert isinstance(left[0], e.Notice)
        assert left[0].text == "2"


async def test_stop_that_waited_for_the_start_does_not_kill_the_agent(
    fake_model: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.rules.turns.STOP_GRACE_S", 0.2)
    starting, started = asyncio.Event(), asyncio.Event()

    class Slow(FakeAgent):
        async def start(self, memory: Memory | None = None) -> None:
            if model.agents:
                starting.set()
                await started.wait()
            await super().start(memory)

    model = await fake_model(Text("one"), Text("instead"))
    options = midflight.Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    async with midflight.Session(options, agent=Slow) as session:
        await (await session.send("first")).result()
        await model.agents[0].die()
        async for event in session.events():
            if isinstance(event, e.Notice):
                break
        await session.send("second")
        await starting.wait()
        message = await session.redirect("do this instead")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):  # until an agent that runs would have been killed
                await started.wait()
        started.set()
        assert (await message.result()).text == "instead"
    assert len(model.agents) == 2


async def test_message_that_failed_before_the_handover_is_not_handed(fake: Start) -> None:
    model, session = await fake(Text("one"), Text("two"))
    async with session:
        await (await session.send("first")).result()
        await model.agents[0].die()
        lost = await session.send("goes to an agent that is dead")
        assert (await lost.result()).reason == "agent_died"
        assert (await (await session.send("second")).result()).text == "two"
    assert "that is dead" not in str(model.requests[-1].messages)


async def test_set_model_works_where_the_folder_of_the_process_is_gone(
    fake: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await fake()
    gone = tmp_path / "gone"
    gone.mkdir()
    async with session:
        monkeypatch.chdir(gone)
        gone.rmdir()
        await session.set_model("opus")
        with pytest.raises(midflight.InvalidOption, match=r"^permission_mode: "):
            await session.command(c.SetPermissionMode(mode="yolo"))
        monkeypatch.chdir(tmp_path)


async def test_a_queued_message_that_meets_the_usage_limit_ends_with_limit(fake: Start) -> None:
    model, session = await fake([Wait("queued"), usage_limit(3600)], on_usage_limit="fail")
    async with session:
        await session.send("one")
        queued = await session.send("two", delivery="queue")
        model.signal("queued")
        result = await queued.result()
        assert (result.status, result.reason) == ("limit", "usage_limit")

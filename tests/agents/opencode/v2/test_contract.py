"""What only stable OpenCode 2 has, on a contract stand-in; nothing about OpenCode itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.opencode2_stand_in import FailedRun, Run, StandIn

import midflight
from midflight import events as e

Play = Callable[[Run, str], Awaitable[None]]


@asynccontextmanager
async def playing(
    play: Play, cwd: Path, **options: Any
) -> AsyncIterator[tuple[StandIn, midflight.Session]]:
    """Open a session on a stand-in that plays this."""
    async with (
        StandIn(play) as server,
        asyncio.timeout(60),
        midflight.open(cwd=cwd, **server.options, **options) as session,
    ):
        yield server, session


async def say(run: Run, text: str) -> None:
    """Answer with the prompt itself."""
    async with run.step():
        run.say(text)


def of(events: list[e.Event], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


async def news(session: midflight.Session) -> list[e.Event]:
    return [event async for event in session.stream()]


async def test_run_ends_once_and_its_steps_money_is_added_up(tmp_path: Path) -> None:
    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls", cost=0.25):
            run.result(run.call("c1", "shell", {"command": "ls"}), "a file")
        await say(run, text)

    async with playing(play, tmp_path) as (_, session):
        first = await (await session.send("one")).result()
        second = await (await session.send("two")).result()
        events = await news(session)
    assert [(each.text, each.steps) for each in (first, second)] == [("one", 2), ("two", 2)]
    assert (first.cost_usd, second.total_cost_usd) == (0.75, 1.5)
    assert [(tool.name, tool.kind) for tool in of(events, e.ToolStarted)] == [
        ("shell", "execute")
    ] * 2
    assert {tool.output for tool in of(events, e.ToolEnded)} == {"a file"}
    assert len(of(events, e.TurnEnded)) == 2


async def test_steer_is_read_at_the_next_step_and_can_be_taken_back_until_then(
    tmp_path: Path,
) -> None:
    goes = asyncio.Event()
    seen: list[str] = []

    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls"):
            call = run.call("c1", "shell", {"command": "ls"})
            await goes.wait()
            run.result(call, "")
        seen.extend(item["text"] for item in run.session.inbox.values())
        await say(run, text)

    async with playing(play, tmp_path) as (server, session):
        first = await session.send("first")
        async for event in session.stream():
            if isinstance(event, e.ToolStarted):
                steer, back = await session.send("also"), await session.send("not this")
                assert await back.cancel()
                goes.set()
        assert (first.state, steer.state, back.state) == ("answered", "answered", "cancelled")
        assert steer.turn == first.turn
        bodies = [body for _, path, body in server.asked if path.endswith("/prompt")]
    assert [body["delivery"] for body in bodies] == ["queue", "steer", "steer"]
    assert all({"id", "text", "delivery"} == body.keys() for body in bodies)
    assert seen == []


async def test_interrupt_ends_the_run_and_the_next_prompt_has_its_own(tmp_path: Path) -> None:
    async def play(run: Run, text: str) -> None:
        async with run.step():
            run.say(f"about {text}")
            if text == "first":
                await asyncio.Event().wait()

    async with playing(play, tmp_path) as (_, session):
        first = await session.send("first")
        async for event in session.stream():
            if isinstance(event, e.TextDelta):
                await session.interrupt()
        assert ((await first.result()).status, (await first.result()).reason) == (
            "interrupted",
            "interrupted",
        )
        assert (await (await session.send("second")).result()).text == "about second"


async def test_interrupt_takes_back_what_the_model_has_not_got(tmp_path: Path) -> None:
    async def play(run: Run, text: str) -> None:
        del text
        async with run.step("tool-calls"):
            run.call("c1", "shell", {"command": "ls"})
            await asyncio.Event().wait()

    async with playing(play, tmp_path) as (server, session):
        first = await session.send("first")
        async for event in session.stream():
            if isinstance(event, e.ToolStarted):
                steer = await session.send("also")
                while not server.sessions["ses_1"].inbox:
                    await asyncio.to_thread(lambda: None)
                await session.interrupt()
        assert (first.state, steer.state) == ("cancelled", "cancelled")
        assert server.sessions["ses_1"].inbox == {}


@fault("I7")
async def test_prompt_that_the_server_refuses_fails_and_says_so(tmp_path: Path) -> None:
    async with playing(say, tmp_path) as (server, session):
        server.sessions.clear()
        message = await session.send("to whom?")
        assert (await message.result()).status == "failed"
        errors = [each for each in of(await news(session), e.Notice) if each.level == "error"]
        assert len(errors) == 1


@fault("I7")
async def test_prompt_that_is_parked_is_made_a_steer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.opencode.v2.prompts.LOST_AFTER_S", 0.2)
    monkeypatch.setattr("midflight.agents.opencode.v2.driver.QUIET_S", 0.2)
    async with playing(say, tmp_path) as (server, session):
        server.parks = True
        assert (await (await session.send("at last")).result()).text == "at last"
        changed = [(method, body) for method, _, body in server.asked if method == "PATCH"]
    assert changed == [("PATCH", {"delivery": "steer"})]


@fault("I7")
async def test_prompt_that_is_never_run_is_taken_back_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.opencode.v2.prompts.LOST_AFTER_S", 0.2)
    monkeypatch.setattr("midflight.agents.opencode.v2.driver.QUIET_S", 0.2)
    async with playing(say, tmp_path) as (server, session):
        alone = server.sessions["ses_1"]
        monkeypatch.setattr(alone, "wake", lambda: None)
        message = await session.send("never")
        assert (await message.result()).status == "failed"
        assert alone.inbox == {}
        assert any(
            "has not run a message" in each.text for each in of(await news(session), e.Notice)
        )


FIELDS: list[dict[str, Any]] = [
    {
        "key": "q0",
        "title": "Colour",
        "description": "Which colour?",
        "type": "string",
        "options": [{"value": "b", "label": "Blue"}, {"value": "r", "label": "Red"}],
    },
    {
        "key": "q1",
        "title": "Sizes",
        "description": "Which sizes?",
        "type": "multiselect",
        "options": [{"value": "s", "label": "Small"}, {"value": "l", "label": "Large"}],
    },
    {"key": "q2", "title": "How many?", "type": "integer"},
]


async def test_form_is_a_question_and_gets_answers_in_its_fields_types(tmp_path: Path) -> None:
    answers: list[Any] = []

    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls"):
            call = run.call("c1", "question", {})
            answers.append(await run.fill(call, FIELDS))
            run.result(call, "asked")
        await say(run, text)

    given: dict[str, str | list[str]] = {
        "Which colour?": "Blue",
        "Which sizes?": ["Small", "Large"],
        "How many?": "3",
    }
    async with playing(play, tmp_path) as (_, session):
        await session.send("ask")
        async for event in session.stream():
            if isinstance(event, e.QuestionRequested):
                assert [each.multiple for each in event.questions] == [False, True, False]
                await session.answer(event, answers=given)
        await session.send("ask again")
        async for event in session.stream():
            if isinstance(event, e.QuestionRequested):
                await session.answer(event, "deny")
    assert answers[0] == {"verb": "reply", "answer": {"q0": "b", "q1": ["s", "l"], "q2": 3}}
    assert answers[1]["verb"] == "cancel"


async def test_refusal_waits_until_no_other_request_is_undecided(tmp_path: Path) -> None:
    """One refusal would refuse all the others, without a word for the model."""
    replies: dict[str, Any] = {}

    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls"):
            calls = [run.call(name, "shell", {"command": name}) for name in ("c1", "c2")]
            asked = [run.ask(call, "shell", call) for call in calls]
            replies["both"] = await asyncio.gather(*asked)
            for call in calls:
                run.result(call, "")
        await say(run, text)

    async with playing(play, tmp_path, attended=True) as (server, session):
        message = await session.send("go")
        asked: list[e.PermissionRequested] = []
        async for event in session.stream():
            assert not isinstance(event, e.Notice) or event.level != "error"
            if isinstance(event, e.PermissionRequested):
                asked.append(event)
            if len(asked) == 2 and isinstance(event, e.PermissionRequested):
                await session.answer(asked[0], "deny", reason="not that")
                await session.answer(asked[1])
        assert [one.reason for one in (await message.result()).denials] == ["not that"]
        order = [path for method, path, _ in server.asked if "/permission/" in path]
    assert replies["both"] == [
        {"verb": "reply", "reply": "reject", "message": "not that"},
        {"verb": "reply", "reply": "once"},
    ]
    assert [path.split("/")[-2][-2:] for path in order] == ["c2", "c1"]


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("provider.auth", "no key", "auth"),
        ("provider.content-filter", "no", "refusal"),
        ("provider.unknown", "prompt is too long", "context_full"),
        ("provider.unknown", "it broke", "api_error"),
    ],
)
@fault("M6", "M7")
async def test_failed_run_is_told_with_its_reason(
    tmp_path: Path, kind: str, text: str, reason: str
) -> None:
    async def play(run: Run, prompt: str) -> None:
        del prompt
        async with run.step():
            raise FailedRun(kind, text)

    async with playing(play, tmp_path) as (_, session):
        result = await (await session.send("go")).result()
    assert (result.status, result.reason, result.text) == ("failed", reason, text)


@fault("M1", "M3")
async def test_new_attempt_is_told_and_its_first_text_is_not(tmp_path: Path) -> None:
    async def play(run: Run, text: str) -> None:
        async with run.step():
            run.say("half of it")
            run.retry(attempt=1)
            run.say(text)

    async with playing(play, tmp_path) as (_, session):
        result = await (await session.send("the whole")).result()
        events = await news(session)
    assert [each.attempt for each in of(events, e.Retry)] == [1]
    assert result.text == "the whole"


@fault("A12")
async def test_what_a_cut_stream_has_hidden_is_told_once(tmp_path: Path) -> None:
    hidden = asyncio.Event()

    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls"):
            run.session.server.held = True
            call = run.call("c1", "shell", {"command": "ls"})
            reply = await run.ask(call, "shell", "ls")
            run.result(call, reply["reply"])
        run.session.server.held = False
        hidden.set()
        await say(run, text)

    async with playing(play, tmp_path, allowed_tools=["Bash"]) as (server, session):
        message = await session.send("go")
        events = []
        async for event in session.stream():
            events.append(event)
            if isinstance(event, e.TurnStarted):
                server.cut()
        assert (await message.result()).text == "go"
        assert hidden.is_set()
    assert len(of(events, e.ToolStarted)) == len(of(events, e.ToolEnded)) == 1


async def test_sub_agents_work_is_told_with_its_call(tmp_path: Path) -> None:
    async def play(run: Run, text: str) -> None:
        async with run.step("tool-calls"):
            call = run.call("c1", "subagent", {"agent": "general", "prompt": "look"})
            child = run.session.server.begin(parentID=run.session.info["id"])
            child.emit("session.created", child.info)
            run.progress(call, {"sessionID": child.info["id"], "status": "running"})
            below = Run(child)
            async with below.step("tool-calls", cost=0.25):
                inner = below.call("c2", "shell", {"command": "make"})
                reply = await below.ask(inner, "shell", "make")
                below.result(inner, reply["reply"])
            run.result(call, "looked")
        await say(run, text)

    async with playing(play, tmp_path, attended=True) as (_, session):
        message = await session.send("go")
        events = []
        async for event in session.stream():
            events.append(event)
            if isinstance(event, e.PermissionRequested):
                assert event.parent == "c1"
                await session.answer(event)
        result = await message.result()
    started = [(tool.call, tool.parent) for tool in of(events, e.ToolStarted)]
    assert started == [("c1", None), ("c2", "c1")]
    assert (result.steps, result.cost_usd) == (2, 1.25)

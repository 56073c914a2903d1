"""Faults of the model's service, on the real Claude Code with a scripted model."""

from __future__ import annotations

import json

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read
from tests.support.faults import Models, Use
from tests.support.money import known

import midflight
from midflight.testing import (
    Drop,
    HttpError,
    Malformed,
    Silence,
    Step,
    Stop,
    StreamError,
    Text,
    ToolCall,
    Usage,
    Words,
)

pytestmark = pytest.mark.anyio

FEW_RETRIES = {"CLAUDE_CODE_MAX_RETRIES": "1"}


@fault("M1")
async def test_time_limit_holds_during_the_wait_for_a_rate_limit(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model(lambda _: HttpError(429, headers={"retry-after": "60"}))
    async with midflight.dispatch("go", timeout=4, **use(model)) as session:
        result = await ended(session.first)
    assert (result.status, result.reason) == ("limit", "timeout")
    assert result.duration_s < 15


@fault("M1")
async def test_rate_limit_is_reported_and_waited_for_which_is_no_silence(
    scripted_model: Models, use: Use
) -> None:
    limit = HttpError(429, headers={"retry-after": "9"})
    model = await scripted_model([limit, Text("at last")])
    async with midflight.dispatch("go", stall_timeout=8, **use(model)) as session:
        events = await read(session)
    (retry,) = of(midflight.Retry, events)
    (end,) = of(midflight.TurnEnded, events)
    assert (retry.status, retry.error, retry.attempt) == (429, "rate_limit", 1)
    assert retry.delay_s >= 9
    assert not of(midflight.Stalled, events[events.index(retry) :])
    assert (end.status, end.text) == ("completed", "at last")


@fault("M2")
async def test_service_that_keeps_failing_fails_the_turn_not_the_session(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([HttpError(500), HttpError(529), Text("back again")])
    async with midflight.dispatch("go", **use(model, env=FEW_RETRIES)) as session:
        events = await read(session)
        (end,) = of(midflight.TurnEnded, events)
        assert (end.status, end.reason) == ("failed", "api_error")
        assert "API Error" in end.text
        (retry,) = of(midflight.Retry, events)
        assert retry.status == 500
        assert retry.delay_s > 0
        assert session.first is not None
        assert session.first.state == "failed"
        assert (await ended(await session.send("again"))).text == "back again"


@fault("M3")
async def test_text_of_a_failed_stream_is_void_and_no_step_of_the_turn(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([[Words("half of"), StreamError()], Text("the whole")])
    async with midflight.dispatch("go", max_turns=1, **use(model)) as session:
        events = await read(session)
    kinds = (midflight.TextDelta, midflight.Text, midflight.Retry)
    shown = [event.type for event in events if isinstance(event, kinds)]
    # Claude Code asks again without a word, and shows the second answer without streaming it.
    assert shown == ["text.delta", "text.delta", "retry", "text"]
    assert of(midflight.TurnEnded, events)[0].text == "the whole"
    assert of(midflight.TurnEnded, events)[0].steps == 1


@fault("M3")
async def test_text_of_a_cut_stream_is_neither_final_nor_doubled(
    scripted_model: Models, use: Use
) -> None:
    """What came of a stream that is cut is no answer."""
    start = json.dumps(
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "usage": {"input_tokens": 1, "output_tokens": 1},
            },
        }
    )
    cut = Malformed(f"event: message_start\ndata: {start}\n\nevent: content_bl".encode())
    model = await scripted_model(
        [[Words("half of"), Drop()], Words("the whole"), [cut, Drop()], Text("whole")]
    )
    async with midflight.dispatch("go", **use(model)) as session:
        events = await read(session)
        shown = [event for event in events if isinstance(event, midflight.Text | midflight.Retry)]
        assert [event.type for event in shown] == ["retry", "text"]
        assert [text.text for text in of(midflight.Text, events)] == ["the whole"]
        assert of(midflight.TurnEnded, events)[0].text == "the whole"
        await session.send("and with less")
        events = await read(session)
        assert [text.text for text in of(midflight.Text, events)] == ["whole"]


@fault("M4", "A9")
async def test_silent_stream_is_reported_and_stopped_by_the_limit(
    scripted_model: Models, use: Use
) -> None:
    def script(request: midflight.testing.ModelRequest) -> Step:
        again = "still there?" in request.last_user_text
        return Text("here again") if again else [Words("and then"), Silence()]

    model = await scripted_model(script)
    async with midflight.dispatch("go", stall_timeout=8, **use(model)) as session:
        events = await read(session)
        (end,) = of(midflight.TurnEnded, events)
        assert 4 <= of(midflight.Stalled, events)[-1].silent_s < 8
        assert (end.status, end.reason) == ("limit", "stalled")
        assert (await ended(await session.send("still there?"))).text == "here again"


@fault("M4")
async def test_service_that_never_answers_is_stopped_by_the_limit(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model(lambda _: Silence())
    async with midflight.dispatch("go", stall_timeout=8, **use(model)) as session:
        result = await ended(session.first)
    assert (result.status, result.reason) == ("limit", "stalled")


@fault("M5")
async def test_broken_stream_ends_visibly_and_the_session_stays_usable(
    scripted_model: Models, use: Use
) -> None:
    answer: Step = Text("never said")
    model = await scripted_model(lambda _: answer)
    async with midflight.open(timeout=20, **use(model, env=FEW_RETRIES)) as session:
        for junk in (
            b"event: message_start\ndata: {broken\n\n",
            b'event: what_is_this\ndata: {"type":"what_is_this"}\n\n',
            b"\xff\xfe\x00 not a stream at all",
        ):
            answer = [Malformed(junk), Drop()]
            result = await ended(await session.send("go"))
            assert (result.status, result.reason) == ("failed", "api_error"), junk
        answer = Text("fine")
        assert (await ended(await session.send("again"))).text == "fine"


@fault("M5")
async def test_tool_call_with_nonsense_is_answered_and_the_turn_continues(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model(
        [
            [ToolCall("Bash", {"command": ["no", "text"]}), ToolCall("Nonsense", {"x": 1})],
            Text("I see"),
        ]
    )
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        events = await read(session)
    assert [tool.status for tool in of(midflight.ToolEnded, events)] == ["failed", "failed"]
    assert of(midflight.TurnEnded, events)[0].text == "I see"


@fault("M6")
async def test_agent_without_a_key_says_how_it_gets_one(scripted_model: Models, use: Use) -> None:
    """Its program says to run a command of its own terminal, which nobody has here."""
    model = await scripted_model([])
    async with midflight.dispatch("go", **use(model, env={"ANTHROPIC_API_KEY": ""})) as session:
        end = await ended(session.first)
    assert (end.status, end.reason) == ("failed", "auth")
    assert "/login" not in end.text
    assert "export ANTHROPIC_API_KEY=" in end.text


@fault("M6")
async def test_refused_key_fails_the_turn_at_once_and_not_the_next(
    scripted_model: Models, use: Use
) -> None:
    """A later message may succeed."""
    model = await scripted_model(
        [HttpError(401), Text("good now"), HttpError(403), Text("good again")]
    )
    async with midflight.dispatch("go", **use(model)) as session:
        first = await ended(session.first)
        assert (first.status, first.reason) == ("failed", "auth")
        assert first.text
        assert len(model.requests) == 1
        assert (await ended(await session.send("again"))).text == "good now"
        third = await session.send("three")
        fourth = await session.send("four", "queue")
        assert (await ended(third)).reason == "auth"
        assert (await ended(fourth)).reason == "auth"
        assert (await ended(await session.send("five"))).text == "good again"


@fault("M6")
async def test_due_payment_fails_the_turn_without_another_try(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([HttpError(402, message="your credit is used up")])
    async with midflight.dispatch("go", **use(model)) as session:
        result = await ended(session.first)
    assert (result.status, result.reason) == ("failed", "api_error")
    assert "your credit is used up" in result.text


@fault("M7")
async def test_answer_that_falls_short_has_a_reason_of_its_own(
    scripted_model: Models, use: Use
) -> None:
    too_long = "prompt is too long: 250000 tokens > 200000 maximum"
    cases: list[tuple[Step, tuple[str, str]]] = [
        ([Words("and so"), Stop("max_tokens")], ("failed", "max_tokens")),
        ([Words("I will not"), Stop("refusal")], ("failed", "refusal")),
        (HttpError(400, message=too_long), ("failed", "context_full")),
        (Usage(), ("completed", "end_turn")),
    ]
    answer: Step = Text("never said")
    model = await scripted_model(lambda _: answer)
    async with midflight.open(**use(model)) as session:
        for answer, expected in cases:  # noqa: B007 - the model says it
            result = await ended(await session.send("go"))
            assert (result.status, result.reason) == expected
    assert result.text == ""


@fault("M8")
async def test_missing_and_shrinking_usage_never_makes_the_books_smaller(
    scripted_model: Models, use: Use
) -> None:
    bash = ToolCall("Bash", {"command": "true"})
    model = await scripted_model(
        [
            [bash, Usage(1000, 500)],
            [bash, Usage(None, None, None, None)],
            [bash, Usage(-5000, -1)],
            [Text("done"), Usage(10, 1)],
        ]
    )
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        events = await read(session)
    usages = of(midflight.Usage, events)
    assert len(usages) >= 4
    for name in ("input_tokens", "output_tokens", "cost_usd", "total_cost_usd"):
        figures = [getattr(usage, name) for usage in usages]
        assert figures == sorted(figures), name
        assert min(figures) >= 0
    (end,) = of(midflight.TurnEnded, events)
    assert known(end.cost_usd) >= 0
    assert known(end.total_cost_usd) >= 0
    assert end.usage.input_tokens >= 0


@fault("M8")
async def test_huge_usage_passes_the_budget_and_ends_the_turn_as_a_limit(
    scripted_model: Models, use: Use
) -> None:
    bash = ToolCall("Bash", {"command": "true"})
    model = await scripted_model([[bash, Usage(10**12, 10**9)]])
    options = use(model, allowed_tools=["Bash"], max_budget_usd=1.0)
    async with midflight.dispatch("go", **options) as session:
        result = await ended(session.first)
        assert (result.status, result.reason) == ("limit", "max_budget")
        assert known(result.total_cost_usd) > 1
        more = await ended(await session.send("more"))
        assert (more.status, more.reason) == ("limit", "max_budget")
        assert len(model.requests) == 1


@fault("M8")
async def test_limit_of_model_calls_ends_the_turn_and_not_the_session(
    scripted_model: Models, use: Use
) -> None:
    bash = ToolCall("Bash", {"command": "true"})
    model = await scripted_model([bash, bash, Text("fresh")])
    options = use(model, allowed_tools=["Bash"], max_turns=2)
    async with midflight.dispatch("go", **options) as session:
        result = await ended(session.first)
        assert (result.status, result.reason, result.steps) == ("limit", "max_turns", 2)
        assert (await ended(await session.send("again"))).text == "fresh"

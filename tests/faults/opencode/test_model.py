"""Faults of the model's service, on the real OpenCode with a scripted model."""

from __future__ import annotations

import pytest
from tests.faults.manifest import fault
from tests.support.events import of
from tests.support.money import known

import midflight
from midflight.agents.opencode.v1.thread import SUMMARISED
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
from midflight.testing.conformance.rig import Stage

SOON = {"retry-after-ms": "100"}
"""OpenCode waits two seconds and more before it asks again, if it is not told how long."""


@fault("M1")
async def test_rate_limit_is_reported_and_waited_for(opencode: Stage) -> None:
    limit = HttpError(429, headers={"retry-after": "1"}, message="slow down")
    async with opencode.play([limit, Text("at last")]) as on:
        result = await on.ask()
        events = await on.events()
    (retry,) = of(midflight.Retry, events)
    assert retry.attempt == 1
    assert 0 < retry.delay_s <= 1
    assert (result.status, result.text) == ("completed", "at last")


@fault("M1")
async def test_time_limit_holds_during_the_wait_for_a_rate_limit(opencode: Stage) -> None:
    steps: list[Step] = [HttpError(429, headers={"retry-after": "60"}), Text("still there")]
    async with opencode.play(steps, timeout=1.5) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "timeout")
        await on.session.set_limits(timeout=60.0)
        assert (await on.ask()).text == "still there"


@fault("M2")
async def test_attempt_of_a_service_that_keeps_failing_is_reported(opencode: Stage) -> None:
    steps: list[Step] = [HttpError(500, headers=SOON), HttpError(529, headers=SOON), Text("back")]
    async with opencode.play(steps, max_turns=1) as on:
        result = await on.ask()
        events = await on.events()
    assert [retry.attempt for retry in of(midflight.Retry, events)] == [1, 2]
    assert all(retry.error for retry in of(midflight.Retry, events))
    assert (result.status, result.text, result.steps) == ("completed", "back", 1)


@fault("M3")
@pytest.mark.parametrize("end", [Drop(), StreamError()], ids=["dropped", "error"])
async def test_text_of_a_broken_stream_is_neither_final_nor_doubled(
    opencode: Stage, end: Drop | StreamError
) -> None:
    async with opencode.play([[Words("half of"), end], Words("the whole")]) as on:
        result = await on.ask()
        events = await on.events()
    kinds = (midflight.Text, midflight.Retry)
    assert [event.type for event in events if isinstance(event, kinds)] == ["retry", "text"]
    assert [text.text for text in of(midflight.Text, events)] == ["the whole"]
    assert (result.text, result.steps) == ("the whole", 1)


@fault("M4", "A9")
async def test_silent_stream_is_reported_and_stopped_by_the_limit(
    opencode: Stage,
) -> None:
    steps: list[Step] = [[Words("and then"), Silence()], Text("here again")]
    async with opencode.play(steps, stall_timeout=4) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "stalled")
        assert of(midflight.Stalled, await on.events())[-1].silent_s >= 1
        assert (await on.ask("still there?")).text == "here again"


@fault("M5")
@pytest.mark.parametrize(
    "junk",
    [
        b"event: message_start\ndata: {broken\n\n",
        b'data: {"type":"content_block_delta","index":7,"delta":{"type":"text_delta"}}\n\n',
    ],
    ids=["broken", "out of order"],
)
async def test_broken_answer_is_asked_for_again_and_that_is_reported(
    opencode: Stage, junk: bytes
) -> None:
    async with opencode.play([[Malformed(junk), Drop()], Text("fine")]) as on:
        result = await on.ask()
        events = await on.events()
    assert (result.status, result.text, result.steps) == ("completed", "fine", 1)
    assert len(of(midflight.Retry, events)) == 1


@fault("M5")
async def test_tool_call_with_nonsense_is_answered_and_the_turn_continues(
    opencode: Stage,
) -> None:
    calls = [ToolCall("bash", {"command": ["no", "text"]}), ToolCall("Nonsense", {"x": 1})]
    async with opencode.play([calls, Text("I see")], allowed_tools=["Bash"]) as on:
        result = await on.ask()
        events = await on.events()
    assert result.text == "I see"
    assert len(of(midflight.ToolEnded, events)) == len(of(midflight.ToolStarted, events)) == 2


@fault("M6", "S4")
async def test_refused_key_fails_the_turn_at_once_and_is_never_shown(opencode: Stage) -> None:
    refused = HttpError(401, message="wrong key")
    steps: list[Step] = [refused, Text("good now"), HttpError(403), Text("good again")]
    async with opencode.play(steps) as on:
        for _ in range(2):
            result = await on.ask()
            assert (result.status, result.reason) == ("failed", "auth")
            assert result.text
            assert "good" in (await on.ask("again")).text
        events = await on.events()
    assert not of(midflight.Retry, events)
    assert not [each for each in events if b"sk-ant-scripted" in midflight.events.encode(each)]


@fault("M6")
async def test_due_payment_fails_the_turn_without_another_try(opencode: Stage) -> None:
    # The server is shared: what an earlier session still asks is not this one's second try.
    async with opencode.play(lambda _: HttpError(402, message="your credit is used up")) as on:
        result = await on.ask("pay for this")
        mine = [each for each in on.requests if "pay for this" in each.last_user_text]
    assert len(mine) == 1
    assert (result.status, result.reason) == ("failed", "api_error")
    assert "your credit is used up" in result.text


@fault("M2")
async def test_refusal_with_a_number_like_a_status_is_asked_again_and_told(
    opencode: Stage,
) -> None:
    """OpenCode looks for such numbers in the whole of an error, and not only at its status."""
    spent = HttpError(402, headers=SOON, message="you have spent 500 of 500")
    async with opencode.play([spent, Text("there was some left")]) as on:
        result = await on.ask()
        events = await on.events()
    assert [retry.error for retry in of(midflight.Retry, events)] == ["you have spent 500 of 500"]
    assert result.text == "there was some left"


@fault("M7")
async def test_answer_that_falls_short_has_a_reason_of_its_own(
    opencode: Stage,
) -> None:
    cases: list[tuple[Step, tuple[str, str]]] = [
        ([Words("and so"), Stop("max_tokens")], ("failed", "max_tokens")),
        ([Words("I will not"), Stop("refusal")], ("failed", "refusal")),
        (Usage(), ("completed", "end_turn")),
    ]
    async with opencode.play([step for step, _ in cases]) as on:
        for _, expected in cases:
            result = await on.ask()
            assert (result.status, result.reason) == expected
    assert result.text == ""


@fault("M7")
async def test_full_context_fails_the_turn_with_a_reason_of_its_own(
    opencode: Stage,
) -> None:
    too_long = HttpError(400, message="prompt is too long: 250000 tokens > 200000 maximum")
    async with opencode.play(lambda _: too_long) as on:
        result = await on.ask()
    assert (result.status, result.reason) == ("failed", "context_full")


@fault("M7")
async def test_conversation_that_is_too_long_goes_on_from_a_summary(opencode: Stage) -> None:
    """The summary is OpenCode's own note: a call that counts and costs, no text of the agent."""
    full: Step = [ToolCall("Bash", {"command": "true"}), Usage(300_000, 500)]
    steps: list[Step] = [full, Text("what was said so far"), Text("the answer")]
    async with opencode.play(steps, allowed_tools=["Bash"]) as on:
        result = await on.ask()
        events = await on.events()
    assert [text.text for text in of(midflight.Text, events)] == ["the answer"]
    assert [notice.text for notice in of(midflight.Notice, events)] == [SUMMARISED]
    assert (result.status, result.text, result.steps) == ("completed", "the answer", 3)


@fault("M8")
async def test_missing_and_shrinking_usage_never_makes_the_books_smaller(opencode: Stage) -> None:
    bash = ToolCall("Bash", {"command": "true"})
    usages = [Usage(1000, 500), Usage(None, None, None, None), Usage(-5000, -1)]
    steps: list[Step] = [[bash, usage] for usage in usages]
    async with opencode.play([*steps, [Text("done"), Usage(10, 1)]]) as on:
        result = await on.ask()
        events = await on.events()
    told = of(midflight.Usage, events)
    assert len(told) >= 2
    for name in ("input_tokens", "output_tokens", "cost_usd", "total_cost_usd"):
        figures = [getattr(usage, name) for usage in told]
        assert figures == sorted(figures), name
        assert min(figures) >= 0
    assert known(result.cost_usd) >= 0
    assert result.usage.input_tokens >= 0


@fault("M8")
async def test_huge_usage_passes_the_budget_and_ends_the_turn_as_a_limit(opencode: Stage) -> None:
    step: Step = [ToolCall("Bash", {"command": "true"}), Usage(10**12, 10**9)]
    # OpenCode may begin to sum up, because no context is that long, before it is stopped.
    async with opencode.play(lambda _: step, max_budget_usd=1.0) as on:
        result = await on.ask()
        assert (result.status, result.reason) == ("limit", "max_budget")
        assert known(result.total_cost_usd) > 1
        assert (await on.ask("more")).reason == "max_budget"

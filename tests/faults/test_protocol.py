"""Damage between the real Claude Code and the driver: a program in the middle tampers with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read
from tests.support.faults import PROGRAMS, Models, Use, memory_bytes

import midflight
from midflight.agents.claude import program as claude_program
from midflight.testing import Text, ToolCall, Words

pytestmark = pytest.mark.anyio

Tampered = Callable[..., dict[str, Any]]
WORK = [[Words("let me look"), ToolCall("Bash", {"command": "echo found"})], Text("smooth")]


@pytest.fixture
def tampered(use: Use) -> Tampered:
    """Return the options of a session whose agent's output is tampered with."""

    def options(how: str, model: object, **more: Any) -> dict[str, Any]:
        env = {"TAMPER": how, "REAL_AGENT": str(claude_program.find(None))}
        more.setdefault("allowed_tools", ["Bash"])
        return use(model, env=env, agent_path=PROGRAMS / "tamper.py", **more)

    return options


def _said(events: list[midflight.Event]) -> list[tuple[str, str]]:
    """Return what a reader was told, without figures and signs of the agent's start."""
    kinds = (
        midflight.TurnStarted,
        midflight.MessageStarted,
        midflight.Text,
        midflight.ToolStarted,
        midflight.ToolEnded,
        midflight.MessageAnswered,
        midflight.TurnEnded,
    )
    return [
        (event.type, str(getattr(event, "text", getattr(event, "status", ""))))
        for event in events
        if isinstance(event, kinds)
    ]


UNDISTURBED = [
    ("turn.started", ""),
    ("message.started", ""),
    ("text", "let me look"),
    ("tool.started", ""),
    ("tool.ended", "completed"),
    ("text", "smooth"),
    ("message.answered", ""),
    ("turn.ended", "smooth"),
]


@fault("A7")
async def test_noise_marks_and_splits_lose_nothing_and_are_not_reported(
    scripted_model: Models, tampered: Tampered
) -> None:
    ways = ("noise", "windows", "split")
    model = await scripted_model(WORK * len(ways))
    async with midflight.open(**tampered(" ".join(ways), model)) as session:
        for way in ways:
            await session.send("go")
            events = await read(session)
            assert _said(events) == UNDISTURBED, way
            assert not of(midflight.Raw, events), way
            assert not of(midflight.Notice, events), way


@fault("A7")
async def test_damaged_frame_is_reported_and_damaged_text_still_shown(
    scripted_model: Models, tampered: Tampered
) -> None:
    """The text is shown as far as it can be read."""
    model = await scripted_model(WORK)
    async with midflight.dispatch("go", **tampered("damaged", model)) as session:
        events = await read(session)
    (notice,) = of(midflight.Notice, events)
    assert notice.level == "error", notice
    assert "could not be read" in notice.text
    assert of(midflight.TurnEnded, events)[0].text == "sm\N{REPLACEMENT CHARACTER}th"


@fault("A7")
async def test_line_without_end_is_reported_and_skipped(
    scripted_model: Models, tampered: Tampered
) -> None:
    model = await scripted_model(WORK)
    async with midflight.dispatch("go", **tampered("endless", model)) as session:
        events = await read(session)
    assert _said(events) == UNDISTURBED
    (notice,) = of(midflight.Notice, events)
    assert "over 67108864 bytes" in notice.text


@fault("A7")
async def test_text_of_five_megabytes_arrives_whole(scripted_model: Models, use: Use) -> None:
    text = "five megabytes " * 350_000
    model = await scripted_model([Text(text)])
    async with midflight.dispatch("go", **use(model)) as session:
        result = await ended(session.first)
    assert result.text.split() == text.split()


@fault("A8")
async def test_unknown_frames_are_kept_as_raw_and_the_session_continues(
    scripted_model: Models, tampered: Tampered
) -> None:
    model = await scripted_model([*WORK, Text("and on")])
    async with midflight.dispatch("go", **tampered("strange", model)) as session:
        events = await read(session)
        assert _said(events) == UNDISTURBED
        strange = [raw.data for raw in of(midflight.Raw, events)]
        assert {"type": "from_the_future", "value": 1} in strange
        assert {"type": "assistant", "message": "text where an object belongs"} in strange
        assert {"type": "control_request", "request_id": "r2"} in strange
        assert len(strange) >= 12
        assert not session.pending
        assert (await ended(await session.send("go on"))).text == "and on"


@fault("A10")
async def test_frames_that_come_twice_count_once(
    scripted_model: Models, tampered: Tampered
) -> None:
    touch = [Words("let me look"), ToolCall("Bash", {"command": "touch here"})]
    model = await scripted_model([touch, Text("smooth"), Text("and on")])
    options = tampered("twice", model, allowed_tools=None, on_request=_allow)
    async with midflight.dispatch("go", **options) as session:
        events = await read(session)
        assert _said(events) == UNDISTURBED
        (end,) = of(midflight.TurnEnded, events)
        assert end.steps == 2
        assert end.usage.input_tokens == 20
        assert [use.input_tokens for use in of(midflight.Usage, events)][-1] == 20
        assert len(of(midflight.PermissionResolved, events)) == 1
        assert (await ended(await session.send("go on"))).text == "and on"


@fault("A10")
async def test_frames_after_the_end_start_and_end_nothing(
    scripted_model: Models, tampered: Tampered
) -> None:
    model = await scripted_model([*WORK, Text("and on")])
    async with midflight.dispatch("go", **tampered("late", model)) as session:
        assert (await ended(session.first)).text == "smooth"
        result = await ended(await session.send("go on"))
        assert (result.text, result.steps) == ("and on", 1)
        events = await read(session)
        assert len(of(midflight.TurnEnded, events)) == 2
        assert [started.turn for started in of(midflight.TurnStarted, events)] == [1, 2]
        assert len(of(midflight.ToolStarted, events)) == 1
        assert len(of(midflight.ToolEnded, events)) == 1
        assert session.status == "idle"


@fault("A11")
async def test_flood_on_standard_error_costs_no_memory(
    scripted_model: Models, tampered: Tampered
) -> None:
    model = await scripted_model(WORK)
    async with midflight.dispatch("go", **tampered("flood", model)) as session:
        before = memory_bytes()
        events = await read(session)
        after = memory_bytes()
    assert _said(events) == UNDISTURBED
    assert after - before < 30_000_000


def _allow(request: object) -> midflight.commands.Answer:
    del request
    return midflight.commands.Answer(request="", decision="allow")

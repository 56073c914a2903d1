"""What a command puts out is seen while it runs, and is folded when it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.test_output import ATTACKS, DANGEROUS
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.agents.shared.content import OUTPUT_CHARS, put_out_since
from midflight.cli.terminal.running_tools import CALLS, LINES, RunningTools
from midflight.cli.terminal.screen import Screen
from midflight.testing import ScriptedModel, Text, ToolCall

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]


def started(call: str = "c", at: float = 100.0) -> e.ToolStarted:
    return e.ToolStarted(call=call, name="Bash", kind="execute", input={}, time=at)


def says(text: str, at: float = 101.0, call: str = "c") -> e.ToolProgress:
    return e.ToolProgress(call=call, text=text, time=at)


def shown(*events: e.Event, now: float = 110.0, width: int = 80) -> list[str]:
    tools = RunningTools()
    for event in events:
        tools.take(event)
    return tools.lines(now, width)


def test_last_lines_stand_below_the_time_it_takes() -> None:
    text = "".join(f"line {number}\n\n" for number in range(20))
    lines = shown(started(), says(text[:40], 103.0), says(text[40:], 104.0))
    assert lines == [
        "  Bash: 10 s, first output after 3 s",
        *(f"    line {number}" for number in range(20 - LINES, 20)),
    ]


def test_call_that_says_nothing_has_its_time_and_a_short_one_none() -> None:
    assert shown(started(), now=165.0) == ["  Bash: 1:05 min"]
    assert shown(started(), now=100.9) == []


def test_time_for_an_answer_is_not_the_command() -> None:
    asked = e.PermissionRequested(request="r", call="c", name="Bash", input={}, time=101.0)
    allowed = e.PermissionResolved(request="r", decision="allow", by="user", time=160.0)
    assert shown(started(), asked, now=150.0) == []
    assert shown(started(), asked, allowed, now=165.0) == ["  Bash: 5 s"]


@pytest.mark.parametrize(
    "end",
    [
        e.ToolEnded(call="c", name="Bash", status="completed"),
        e.TurnEnded(turn=1, status="interrupted", reason="interrupted"),
    ],
)
def test_nothing_is_left_of_a_call_that_has_ended(end: e.Event) -> None:
    assert shown(started(), says("text"), end) == []


@pytest.mark.parametrize("text", ATTACKS)
def test_output_drives_no_terminal_and_stays_within_its_width(text: str) -> None:
    lines = shown(started(), says(f"{text}\n{text * 50}"), width=40)
    assert all(DANGEROUS.search(line) is None and len(line) <= 40 for line in lines)


def test_what_a_program_paints_over_is_not_shown() -> None:
    assert shown(started(), says("10 %\r20 %\r30 %\r\nwell\r\n"))[1:] == ["    30 %", "    well"]


def test_much_output_and_many_calls_are_bounded() -> None:
    calls = [(started(f"{n}"), says("x\n" * 100_000, call=f"{n}")) for n in range(9)]
    lines = shown(*(event for pair in calls for event in pair))
    assert len(lines) == CALLS * (1 + LINES)


def test_folded_output_says_how_long_it_took(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    ended = e.ToolEnded(call="c", name="shell", status="completed", output="x\n" * 50, time=112.0)
    for event in (started(), says("x\n", 103.0)):
        screen.take(event, 80)
    *lines, last = (text for _, text in screen.take(ended, 80))
    assert (len(lines), last) == (8, "    … 42 more lines · 12 s, first output after 3 s\n")


@pytest.mark.parametrize(
    ("before", "now", "new"),
    [
        ("", "a", "a"),
        ("a", "ab", "b"),
        ("ab", "ab", ""),
        ("0123456789" * 90 + "end", "...\n" + "0123456789" * 80 + "end, more", ", more"),
        ("one", "other", "other"),
        ("", "x" * 2 * OUTPUT_CHARS, "x" * OUTPUT_CHARS),
    ],
)
def test_only_what_is_new_is_told_also_of_an_output_without_its_beginning(
    before: str, now: str, new: str
) -> None:
    assert put_out_since(before, now) == new


@pytest.mark.anyio
@pytest.mark.usefixtures("no_agent_left")
async def test_a_running_command_is_watched_in_the_terminal(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    command = "echo first; until [ -e go ]; do sleep 0.05; done; echo last"
    scripted = await model(ToolCall("Bash", {"command": command}), Text("done"))
    screen = await fake_terminal(scripted, "run", "work", "--allow", "Bash")
    await screen.sees("first output after ")
    await screen.sees("    first")
    (project / "go").touch()
    await screen.sees("    first\n    last\n")
    await screen.sees("turn 1 completed")
    await screen.quits()

"""The account's usage limit at the command line."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
from tests.support.program import Program
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.transcript import Transcript
from midflight.testing import ScriptedModel, Text, usage_limit

pytestmark = pytest.mark.anyio

Model = Callable[..., Awaitable[ScriptedModel]]
ACCOUNT = {"ANTHROPIC_API_KEY": "", "CLAUDE_CODE_OAUTH_TOKEN": "sk-ant-scripted"}
HOURS = 4 * 3600.0


@pytest.fixture
def five_hours_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Be a person who lives far in the east."""
    monkeypatch.setenv("TZ", "XXX-5")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def shown(fragments: list[tuple[str, str]]) -> str:
    return "".join(text for _, text in fragments)


@pytest.mark.usefixtures("five_hours_ahead")
def test_the_reset_is_shown_in_the_persons_time(tmp_path: Path) -> None:
    at = time.time() + 60
    told = e.UsageLimitReached(resets_at=at, message="m", at=at, give_up_at=at)
    clock = time.strftime("%H:%M", time.gmtime(at + 5 * 3600))
    status = StatusLine()
    status.take(told, 0.0)
    assert f"waits until {clock}" in status.line(0.0, 100, asking=False, queued=1)
    assert f"waits until {clock} (your time)" in shown(Transcript(tmp_path).take(told))
    line = shown(Screen(tmp_path).take(told, 100))
    assert f"waits until {clock} (your time) – type to go on at once, Esc to stop" in line


def test_a_reset_on_another_day_is_shown_with_its_date(tmp_path: Path) -> None:
    at = time.time() + 3 * 86400
    line = shown(Transcript(tmp_path).take(e.UsageLimitReached(resets_at=at)))
    assert re.search(r"resets at \d{4}-\d\d-\d\d \d\d:\d\d", line)


def test_a_finished_wait_is_not_shown_any_more() -> None:
    at = time.time() + 60
    told = e.UsageLimitReached(resets_at=at, message="m", at=at, give_up_at=at)
    for end in (
        e.MessageCancelled(message="m", reason="interrupted"),
        e.TurnStarted(origin="message", messages=("m",), turn=2),
    ):
        status = StatusLine()
        status.take(told, 0.0)
        status.take(e.MessageCancelled(message="other", reason="cancelled"), 0.0)
        assert "waits until" in status.line(0.0, 100, asking=False, queued=1)
        status.take(end, 0.0)
        assert "waits until" not in status.line(0.0, 100, asking=False, queued=0)


@pytest.mark.usefixtures("no_agent_left")
async def test_without_a_terminal_a_usage_limit_ends_with_its_exit_code(
    model: Model, fake_midflight: Callable[..., Awaitable[Program]]
) -> None:
    scripted = await model(usage_limit(HOURS))
    program = await fake_midflight(scripted, "do x", "--then", "do y", **ACCOUNT)
    code, out, err = await program.done()
    assert (code, err) == (3, "")
    assert "[usage limit] reached; it resets at" in out
    assert "[failed] usage_limit: do y" in out


@pytest.mark.usefixtures("no_agent_left")
async def test_without_a_terminal_a_run_waits_if_the_option_says_so(
    model: Model, fake_midflight: Callable[..., Awaitable[Program]]
) -> None:
    scripted = await model(usage_limit(1), Text("went on"))
    options = ("--on-usage-limit", "wait", "--max-wait", "1m")
    code, out, _ = await (await fake_midflight(scripted, "do x", *options, **ACCOUNT)).done()
    assert code == 0
    assert "[usage limit] reached, waits until" in out
    assert "went on\n\nResult: completed" in out


@pytest.mark.usefixtures("no_agent_left")
async def test_a_person_is_asked_waits_and_continues_by_typing(
    model: Model, terminal: Callable[..., Awaitable[Terminal]]
) -> None:
    scripted = await model(usage_limit(HOURS), Text("went on"))
    screen = await terminal(scripted, "do x", **ACCOUNT)
    await screen.sees("The usage limit is reached. Wait until")
    await screen.sees("1. Wait")
    screen.types("1")
    await screen.sees("– type to go")
    screen.types("go on, it is another account now")
    await screen.sees("went on")
    await screen.sees("turn 2 completed")
    await screen.quits()

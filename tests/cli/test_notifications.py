"""The person who looks elsewhere is told, and nothing that is told drives the terminal."""

from __future__ import annotations

import os
import pty
import re
import sys
import tty
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from tests.cli.test_output import ATTACKS
from tests.support.terminal import Terminal

from midflight.cli.output import name_window, notify, report_focus
from midflight.cli.terminal import notifications
from midflight.cli.terminal.notifications import FOCUS_IN, FOCUS_OUT, Notifications
from midflight.testing import ScriptedModel, Text, ToolCall

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]
Seen = Callable[[], str]

NEWS = ("fix waits for you", "Bash ls")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    """Return what has come to a terminal, which is standard output from the first call on."""
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    for name in ("TMUX", "VTE_VERSION", "KONSOLE_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    with os.fdopen(theirs, "w", encoding="utf-8", newline="") as stream:

        def read() -> str:
            monkeypatch.setattr(sys, "stdout", stream)
            stream.write("\x00")  # the last that comes through
            stream.flush()
            shown = b""
            while not shown.endswith(b"\x00"):
                shown += os.read(ours, 100_000)
            return shown[:-1].decode()

        yield read
    os.close(ours)


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notifications, "PATIENCE_S", 0)
    monkeypatch.setattr(notifications, "IDLE_S", 0)


def reports(told: Notifications, focus: Keys) -> None:
    """Have the terminal report focus."""
    keys = KeyBindings()
    told.bind(keys)
    keys.get_bindings_for_keys((focus,))[0].handler(cast("Any", None))


@pytest.mark.parametrize("text", [*ATTACKS, "a;b", "\x07\x1b\\", "✓ 检", "x\ny" * 300])
def test_no_text_ends_the_sequence_that_it_is_told_in(seen: Seen, text: str) -> None:
    seen()
    inside = r"[^\x00-\x1f\x7f-\x9f;]*"
    notify(text, text)
    told = seen()
    assert re.fullmatch(rf"\a\x1b\]9;{inside}\a", told)
    assert b"\x9c" not in told.encode()
    name_window(text)
    assert re.fullmatch(rf"\x1b\[22;2t\x1b\]2;{inside}\a", seen())


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("TERM", "foot", "\a\x1b]777;notify;a, b;c\a"),
        ("VTE_VERSION", "7600", "\a\x1b]777;notify;a, b;c\a"),
        ("TMUX", "/tmp/tmux,1,0", "\a\x1bPtmux;\x1b\x1b]9;a, b: c\a\x1b\\"),
        ("TERM", "dumb", ""),
    ],
)
def test_each_terminal_is_told_in_the_way_that_it_knows(
    seen: Seen, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, told: str
) -> None:
    seen()
    monkeypatch.setenv(variable, value)
    notify("a; b", "c")
    assert seen() == told


def test_what_is_no_terminal_gets_no_control(capsys: pytest.CaptureFixture[str]) -> None:
    notify(*NEWS)
    name_window("title")
    report_focus(wanted=True)
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("at_once")
async def test_the_idle_are_told_and_the_window_gets_its_name_back_at_a_key(seen: Seen) -> None:
    seen()
    told = Notifications(wanted=True)
    await told.tell(NEWS, lambda: True)
    assert seen() == "\x1b[22;2t\x1b]2;fix waits for you\a\a\x1b]9;fix waits for you: Bash ls\a"
    told.key()
    assert seen() == "\x1b[23;2t"


@pytest.mark.usefixtures("at_once")
async def test_focus_decides_where_the_terminal_reports_it(seen: Seen) -> None:
    seen()
    told = Notifications(wanted=True)
    reports(told, FOCUS_IN)
    await told.tell(NEWS, lambda: True)
    assert seen() == ""
    reports(told, FOCUS_OUT)
    told.key()
    await told.tell(NEWS, lambda: True)
    assert "]9;fix waits" in seen()
    reports(told, FOCUS_IN)
    assert seen() == "\x1b[23;2t"


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("wanted", "lasts"), [(False, True), (True, False)])
async def test_nobody_is_told_of_what_is_over_or_not_wanted(
    seen: Seen, wanted: bool, lasts: bool
) -> None:
    seen()
    told = Notifications(wanted=wanted)
    with told.listening():
        await told.tell(NEWS, lambda: lasts)
    assert seen() == ("\x1b[?1004h\x1b[?1004l" if wanted else "")


async def test_a_person_who_has_left_is_told_what_waits_and_what_ends(
    model: Model, fake_terminal: Start
) -> None:
    write = ToolCall("Write", {"file_path": "new.txt", "content": "x"})
    evil = Text("\x1b]52;c;ZXZpbA==\x07All done; \x07really.")
    screen = await fake_terminal(await model(write, evil), "run", "work")
    screen.keys("\x1b[O")
    await screen.sees("Allow Write?")
    await screen.sees("9;work waits for you: Write new.txt\a")
    screen.types("y")
    await screen.sees("9;work is done: All done, really.\a")
    await screen.quits()
    assert "52;c" not in screen.raw
    assert screen.raw.count("\x1b[22;2t\x1b]2;work") == screen.raw.count("\x1b[23;2t") == 2
    assert screen.raw.rindex("\x1b[?1004l") > screen.raw.index("\x1b[?1004h")


async def test_the_users_file_turns_it_off(
    model: Model, fake_terminal: Start, claude_home: Path
) -> None:
    folder = claude_home / ".config" / "midflight"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text("[terminal]\nnotify = false\n")
    screen = await fake_terminal(await model(Text("done")), "run", "work")
    await screen.sees("turn 1 completed")
    await screen.quits()
    assert "1004" not in screen.raw

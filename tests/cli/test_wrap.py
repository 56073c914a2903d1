"""Lines are broken between words, as whole ones and as they stream."""

from __future__ import annotations

from pathlib import Path

import pytest

from midflight import events as e
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.slash_commands import COMMANDS, help_text
from midflight.cli.terminal.transcript import Transcript
from midflight.cli.terminal.wrap import Wrap, wrapped

WORDS = "Claude Code could not finish since the service it asks has been away for an hour"


def plain(fragments: list[tuple[str, str]]) -> str:
    return "".join(text for _, text in fragments)


@pytest.mark.parametrize("width", [20, 60, 80])
def test_text_is_broken_between_words(width: int) -> None:
    text = plain(wrapped([("33", "  [failed]"), ("", f" {WORDS}\n")], width))
    assert max(map(len, text.splitlines())) <= width
    assert text.split() == ["[failed]", *WORDS.split()]
    assert all(line.startswith("  ") for line in text.splitlines())


def test_streamed_text_is_broken_like_whole_text() -> None:
    wrap = Wrap(20)
    streamed = [
        fragment for char in f"{WORDS}\n\n  {WORDS}" for fragment in wrap.take([("", char)])
    ]
    assert plain([*streamed, *wrap.flush()]) == plain(wrapped([("", f"{WORDS}\n\n  {WORDS}")], 20))


def test_text_that_fits_stays_as_it_is() -> None:
    text = "  a  b\n\n    c   d\n"
    assert plain(wrapped([("", text)], 20)) == text


def test_word_longer_than_the_terminal_is_left_to_it() -> None:
    assert plain(wrapped([("", f"see {'x' * 30} there\n")], 20)) == f"see\n{'x' * 30}\nthere\n"


def test_wide_characters_count_twice() -> None:
    assert plain(wrapped([("", "漢字漢字 漢字漢字\n")], 12)) == "漢字漢字\n漢字漢字\n"


@pytest.mark.parametrize("width", [60, 80])
def test_failed_tool_is_told_without_breaking_a_word(width: int) -> None:
    failed = e.ToolEnded(call="c", name="Bash", status="failed", output=WORDS * 2)
    for shown in (
        Screen(Path("/w")).take(failed, width),
        Transcript(Path("/w"), width=width).take(failed),
    ):
        lines = plain(shown).splitlines()
        assert len(lines) > 1
        assert max(map(len, lines)) <= width
        assert {*plain(shown).split()} <= {"[failed]", "Bash:", *(WORDS * 2).split()}


def test_help_of_the_terminal_is_one_screen() -> None:
    lines = help_text(80).splitlines()
    assert len(lines) <= 22
    assert max(map(len, lines)) <= 80
    assert max(map(len, help_text(60).splitlines())) <= 60


def test_help_of_the_terminal_names_every_command() -> None:
    shown = help_text(80)
    assert all(f"  {name} " in shown and each.does in shown for name, each in COMMANDS.items())

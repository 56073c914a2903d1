"""The lines of the board: what they say, how wide they are, and what they let through."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.support.board import CWD, NOW, asked, asks, board, command, edit, info, question

from midflight import events as e
from midflight.cli.board import paint, view, words
from midflight.cli.board.board import Board
from midflight.cli.board.request import Asking
from midflight.cli.board.tail import Tail
from midflight.cli.board.wrap import LEAST, lines_of, wrap
from midflight.cli.terminal.activity import Activity
from midflight.effects import EditEffect, FetchEffect, OtherEffect, ReadEffect

WIDTHS = (60, 80, 120, 160)


def text(line: list[tuple[str, str]]) -> str:
    return "".join(part for _, part in line)


def screen(made: Board, width: int, rows: int = 20) -> list[str]:
    """All that the board shows, as a terminal does."""
    lines = [view.header(made, width, NOW)]
    lines += [view.row(made, row, width, NOW) for row in made.rows]
    lower = view.lower(made, None, width, rows, NOW)
    lines += [*lower.lines, *lower.keys, *view.hints(made, width)]
    return [paint.strip(line, width).text for line in lines]


def scene() -> Board:
    made = board(
        asks("users-validation", ago=240, total_cost_usd=0.41),
        info("post-validation", "running", limits={"max_budget_usd": 10.0}, total_cost_usd=3.0),
        info("orders", "running", parent="post-validation", total_cost_usd=0.125),
        info("nightly", "waiting"),
        info("csv-export", last="9 files", cwd="/home/me/store", total_cost_usd=None),
    )
    for session, began in (("post-validation", 1120), ("orders", 348)):
        made.activities[session] = activity = Activity()
        activity.take(e.TurnStarted(origin="message"), NOW - began)
    started = e.ToolStarted(call="1", name="Edit", kind="edit", title="src/orders.py", input={})
    made.activities["orders"].take(started, NOW)
    made.activities["orders"].take(e.Usage(cost_usd=0.1, total_cost_usd=0.1, estimated=True), NOW)
    return made


def test_board_of_eighty_columns_says_what_each_session_does() -> None:
    assert [line.rstrip() for line in screen(scene(), 80)] == [
        " midflight   ? 1 wait   * 3 run   - 1 rest                today ~$3.54   ? keys",
        " Waits for you 1 ───────────────────────────────────────────────── oldest first",
        "> ? users-validation         asks: Bash npm test               4 min      $0.41",
        " Running 3 ──────────────────────────────────────────────────── time       cost",
        "  * post-validation          waiting for the model             18:40 ~$3.12/$10",
        "    └ * orders               Edit src/orders.py                 5:48     ~$0.12",
        "  = nightly                  usage limit                                  $0.00",
        " At rest 1 ─────────────────────────────────────────────────────── newest first",
        "  - csv-export               9 files                            30 s          ?",
        " users-validation ────────────────────────────── /home/me/shop · fake m · $0.41",
        " ? Run a command   Bash in /home/me/shop",
        "  npm test",
        " y allow   n deny   e edit",
        " a allow this very command for the rest of this session",
        " Enter open  m message  u queue  r redirect  s stop  d diff  c new  / filter",
    ]


@pytest.mark.parametrize("width", [20, 40, *WIDTHS])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    made = scene()
    lines = [view.row(made, row, width, NOW) for row in made.rows]
    lines += [view.header(made, width, NOW), *view.hints(made, width)]
    for line in lines if width >= 60 else []:  # else it is cut when it is drawn
        assert cell_len(text(line)) <= width
    assert {cell_len(line) for line in screen(made, width)} == {width}


def test_wide_screen_has_folders_and_a_narrow_one_keeps_time_and_cost() -> None:
    assert "csv-export               store" in "\n".join(screen(scene(), 120))
    narrow = "\n".join(screen(scene(), 60))
    assert " ? users-validation   Bash npm test" in narrow
    assert "4 min    $0.41" in narrow
    assert " ? 1   * 3   - 1" in narrow


def test_empty_board_says_what_to_do() -> None:
    made = Board(Path("/"))
    assert "Reading the journal" in "\n".join(screen(made, 80))
    made.take([], NOW)
    assert 'No sessions yet. c starts one, or: midflight "task"' in "\n".join(screen(made, 80))
    made = board(info("a"))
    made.press("/", NOW)
    made.submit("shop run")
    assert 'Nothing matches "shop run". Esc shows all 1.' in "\n".join(screen(made, 80))


def test_what_the_filter_hides_of_those_that_wait_is_said() -> None:
    made = board(asks("a"), asks("b"), info("c", "running"))
    made.press("/", NOW)
    made.submit("run")
    assert screen(made, 80)[-1].strip() == "? 2 others wait, hidden by the filter: w shows them"
    assert "Running 1 of 1" in "\n".join(screen(made, 80))
    assert "* 1 run   - 0 rest  / run  " in screen(made, 80)[0]


# How a session has ended ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("events", "status", "mark", "said"),
    [
        ([e.TurnEnded(status="completed", reason="end_turn")], "idle", "-", "done: last words"),
        ([e.TurnEnded(status="limit", reason="max_turns")], "idle", "!", "limit: all its steps"),
        ([e.TurnEnded(status="failed", reason="agent_died")], "idle", "!", "failed: the agent"),
        ([e.TurnEnded(status="interrupted", reason="redirected")], "idle", "x", "stopped"),
        ([e.SessionEnded(reason="host_died")], "idle", "-", "its host is gone; a message starts"),
        ([], "closed", "x", "last words"),
        ([], "starting", "*", "starting"),
        ([e.Stalled(silent_s=45)], "running", "*", "silent for 45 s"),
        (
            [e.Retry(attempt=3, delay_s=12, status=529, error="overloaded")],
            *("running", "*", "retrying in 12 s: the model"),
        ),
    ],
)
def test_state_is_a_letter_and_words(
    events: list[e.Event], status: str, mark: str, said: str
) -> None:
    made = board(info("a", status, last="last words"))
    made.activities["a"] = Activity()
    for event in [e.TurnStarted(origin="message"), *events]:
        made.activities["a"].take(event, NOW)
    (row,) = (row for row in made.rows if row.info)
    line = text(view.row(made, row, 120, NOW))
    assert line[2] == mark
    assert said in line


def test_session_that_ended_meanwhile_is_new_until_it_is_chosen() -> None:
    made = board(asks("w"), info("a", "running"))
    made.take([asks("w"), info("a")], NOW)
    assert made.state(made.infos["a"]) == "done"
    made.move(1)
    assert made.state(made.infos["a"]) == "seen"


# Requests ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effects", "said"),
    [
        ((EditEffect(path=f"{CWD}/a"),), "Edit a file   Bash"),
        ((EditEffect(path=f"{CWD}/a", target="/etc/a"),), "Edit a file outside its folder"),
        ((EditEffect(path=f"{CWD}/a", protected=True),), "Edit a file that decides what may run"),
        ((ReadEffect(path=f"{CWD}-other/a"),), "Read a file outside its folder"),
        ((FetchEffect(url="https://a.example/x"),), "Fetch an address"),
        ((OtherEffect(input={"a": 1}),), "Use a tool; midflight does not know what it does"),
        ((), "Use a tool, of which it does not say what it will do"),
    ],
)
def test_request_is_called_by_what_it_does(effects: tuple[object, ...], said: str) -> None:
    asking = Asking(asks("a", command("a", effects=effects)))
    assert said in "\n".join(map(text, asking.shown(100).body))


def test_request_is_shown_whole_or_its_keys_are_not() -> None:
    made = board(asks("a", edit("a", lines=30)))
    lower = view.lower(made, None, 80, 12, NOW)
    assert (lower.whole, len(lower.lines) + len(lower.keys)) == (False, 12)
    assert text(lower.keys[0]) == " Enter reads all 32 lines, then it can be answered"
    assert view.lower(made, None, 80, 40, NOW).whole


def test_several_requests_are_counted() -> None:
    both = command("a", "ls"), command("a", "pwd", "r-2")
    assert "1 of 2" in "\n".join(map(text, Asking(asks("a", *both)).shown(80).body))


@example("a" * 99, 16)
@example("    " + "漢" * 99, 16)
@given(st.text(alphabet="ab 漢\u0301😀x", max_size=200), st.integers(1, 60))
def test_wrapping_leaves_nothing_out(words_: str, width: int) -> None:
    (line,) = lines_of([("1", words_[:20]), ("", words_[20:] + "\n")])
    pieces = wrap([line], width)
    whole = "".join(map(text, pieces))
    assert whole.replace(" ", "") == words_.replace(" ", "")
    assert all(cell_len(text(piece).rstrip(" ")) <= max(width, LEAST) for piece in pieces)


def test_line_that_goes_on_never_looks_like_the_next_one() -> None:
    asking = Asking(asks("a", command("a", f"echo {'x ' * 60}\nrm it")))
    body = [text(line) for line in asking.shown(60).body]
    assert [len(line) - len(line.lstrip()) for line in body[1:]] == [2, 6, 6, 4]


# What agents write ---------------------------------------------------------------------------

EVIL = "\x1b]0;owned\x07\x1b[2J\u202e[bold red]x[/]\x9b31m\rgone\u200b"


def test_no_text_of_an_agent_is_obeyed_or_hidden() -> None:
    request = command("a", EVIL, name=EVIL, reason=EVIL, rule=f"Edit({EVIL})")
    asks_ = asked("b", question("b", EVIL, text=EVIL))
    made = board(
        asks(EVIL, request, name=EVIL, cwd=f"/{EVIL}", model=EVIL),
        asks("b", asks_, name="b"),
        info("c", "running", name=EVIL, last=EVIL, parent=EVIL),
    )
    tail = Tail("c", "/")
    for event in (
        e.TextDelta(text=EVIL),
        e.ToolStarted(call="1", name=EVIL, kind="other", title=EVIL, input={}, time=NOW - 9),
        e.ToolProgress(call="1", text=EVIL, time=NOW - 5),
        e.Notice(level="error", text=EVIL),
    ):
        tail.take(event)
    made.said = EVIL
    shown = []
    for width in WIDTHS:
        for key in made.keys:
            made.choose(key)
            shown += screen(made, width)
            shown += [paint.strip(line, width).text for line in tail.lines(width, 30, NOW)]
    assert {unicodedata.category(char) for line in shown for char in line}.isdisjoint(
        {"Cc", "Cf", "Cs", "Zl", "Zp"}
    )
    assert "[bold red]x[/]" in "".join(shown)  # it is no markup
    assert "<U+202E>" in "".join(shown)


def test_terminal_without_unicode_gets_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paint, "_UNICODE", False)
    made = scene()
    lines = screen(made, 80)
    assert all(line.isascii() for line in lines)
    assert "    ` * orders" in "\n".join(lines)
    assert "Running 3 ------" in "\n".join(lines)


def test_spans_of_time_are_short() -> None:
    assert [words.since(each) for each in (3, 240, 7300, 200_000)] == [
        "3 s", "4 min", "2 h", "2 d"
    ]  # fmt: skip
    assert [words.running(each) for each in (41, 1120, 4321)] == ["0:41", "18:40", "1:12 h"]

"""The board without a screen: what is chosen, and what keys and texts come to."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.board import CWD, NOW, asked, asks, board, command, edit, info, question, read

from midflight import commands as c
from midflight import events as e
from midflight.cli.board.acts import CarryOut, Dispatch, Enter, Leave, Look
from midflight.cli.board.board import ANSWERED_S, HELD_S, Board
from midflight.cli.board.boxes import DenyBox
from midflight.cli.board.groups import Key

LATER = NOW + 0.2


def press(made: Board, *keys: str, now: float = NOW) -> object:
    """Press keys, and return what the last one comes to."""
    act: object = None
    for key in keys:
        act = made.press(key, now)
    return act


def chosen(made: Board) -> str:
    return made.chosen.session


# What is chosen ------------------------------------------------------------------------------


def test_choice_follows_its_session_and_not_the_row() -> None:
    made = board(asks("a"), info("b", "running"), info("c"))
    press(made, "j")
    assert chosen(made) == "b"
    made.take([asks("a"), asks("b", ago=99), asks("c", ago=50)], NOW)
    assert made.chosen == Key("b", above=True)
    assert [key.session for key in made.keys] == ["b", "c", "a"]


def test_next_row_is_chosen_where_the_session_has_gone() -> None:
    made = board(info("a", updated=NOW - 1), info("b", updated=NOW - 2), info("c", updated=NOW - 3))
    press(made, "j")
    made.take([info("a", updated=NOW - 1), info("c", updated=NOW - 3)], NOW)
    assert chosen(made) == "c"
    made.take([], NOW)
    assert (chosen(made), press(made, "enter"), press(made, "y")) == ("", None, None)


def test_next_that_waits_is_chosen_by_a_key_also_behind_a_filter() -> None:
    made = board(asks("a", ago=9), asks("b", ago=5), info("docs", "running"))
    assert [press(made, "w") or chosen(made) for _ in range(3)] == ["b", "a", "b"]
    press(made, "/")
    made.submit("docs")
    assert (chosen(made), made.hidden_waiting) == ("docs", 2)
    press(made, "w")
    assert (chosen(made), made.hidden_waiting, made.filter) == ("a", 0, "")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("SHOP", {"api", "old"}),
        ("shop run", {"api"}),
        ("wait", {"asks"}),
        ("rest", {"old", "broken"}),
        ("fail", {"broken"}),
        ("npm", {"asks"}),
        ("nothing like it", set()),
    ],
)
def test_filter_lists_what_has_all_its_words(words: str, left: set[str]) -> None:
    made = board(
        info("api", "running"),
        info("old", cwd="/x/shop"),
        asks("asks", cwd="/x"),
        info("broken", cwd="/x"),
    )
    end = e.TurnEnded(status="failed", reason="agent_died")
    made.activities["broken"] = made.activity("broken")
    made.activities["broken"].take(end, NOW)
    press(made, "/")
    made.submit(words)
    assert {key.session for key in made.keys} == left
    press(made, "escape")
    assert len(made.keys) == 4


def test_space_folds_children_and_unfolds_what_is_old() -> None:
    old = info("old", updated=NOW - 200_000)
    made = board(info("boss", "running"), info("kid", parent="boss"), info("new"), old)
    press(made, "j", " ")
    assert [key.session for key in made.keys] == ["boss", "new", ""]
    assert chosen(made) == "boss"
    press(made, " ", "G", "enter")
    assert [key.session for key in made.keys] == ["boss", "kid", "new", "old"]


# Answers -------------------------------------------------------------------------------------


def test_key_answers_only_what_was_on_the_screen_whole_for_a_while() -> None:
    made = board(asks("a"))
    assert press(made, "y") is None
    ready = read(made)
    assert press(made, "y", now=ready - 0.1) is None
    made.painted(whole=False, now=NOW)
    assert press(made, "y", now=ready + 9) is None
    assert press(made, "enter", now=ready + 9) == Look("request")
    made.painted(whole=True, now=ready + 9)
    assert press(made, "y", now=ready + 9.1) is None
    answer = c.Answer(request="r-1")
    assert press(made, "y", now=ready + 10) == CarryOut("a", answer, "allowed")


def test_request_that_takes_the_place_of_another_is_read_anew() -> None:
    made = board(asks("a", command("a", "ls")))
    ready = read(made)
    made.take([asks("a", command("a", "rm -rf .", "r-2"))], ready)
    made.painted(whole=True, now=ready)
    assert press(made, "y", now=ready + 0.1) is None
    again = press(made, "y", now=ready + 1)
    assert isinstance(again, CarryOut)
    assert again.command == c.Answer(request="r-2")


def test_effects_that_change_under_the_same_id_are_read_anew() -> None:
    made = board(asks("a", command("a", "ls")))
    ready = read(made)
    made.take([asks("a", command("a", "rm -rf ."))], ready)
    assert press(made, "y", now=ready) is None  # it is not even on the screen
    made.painted(whole=True, now=ready)
    assert press(made, "y", now=ready + 0.1) is None


def test_answer_is_given_once_and_said_for_three_seconds() -> None:
    made = board(asks("a", ago=9), asks("b", ago=5))
    act = press(made, "y", now=read(made))
    assert isinstance(act, CarryOut)
    assert chosen(made) == "b"
    press(made, "k")
    assert (made.asking, press(made, "y", now=NOW + 9)) == (None, None)
    made.done(act, NOW)
    a = info("a", "running")
    made.take([a, asks("b", ago=5)], NOW)
    assert [key.session for key in made.keys] == ["a", "b"]
    assert made.answered(a).startswith("allowed ")
    assert made.answered(a).endswith(", runs")
    made.take([a, asks("b", ago=5)], NOW + ANSWERED_S)
    assert [key.session for key in made.keys] == ["b", "a"]
    assert (made.answered(a), chosen(made)) == ("", "a")


def test_answer_that_failed_can_be_given_again() -> None:
    made = board(asks("a"))
    act = press(made, "y", now=read(made))
    assert isinstance(act, CarryOut)
    made.failed(act, "the host is gone")
    assert made.said == "the host is gone"
    made.painted(whole=True, now=NOW)
    assert isinstance(press(made, "y", now=NOW + 2), CarryOut)


def test_next_request_of_a_session_can_be_answered_by_the_same_key() -> None:
    both = command("a", "one", "r-1"), command("a", "two", "r-2")
    made = board(asks("a", *both))
    press(made, "y", now=read(made))
    assert made.asking is None
    made.take([asks("a", both[1])], NOW)
    act = press(made, "y", now=read(made) + HELD_S + 0.1)
    assert isinstance(act, CarryOut)
    assert act.command == c.Answer(request="r-2")


def test_key_that_is_held_down_answers_one_request() -> None:
    made = board(asks("a", ago=9), asks("b", ago=5))
    ready = read(made)
    assert isinstance(press(made, "y", now=ready), CarryOut)
    made.painted(whole=True, now=ready)
    assert chosen(made) == "b"
    repeats = [ready + 0.66 + n / 25 for n in range(100)]
    assert [press(made, "y", now=each) for each in repeats] == [None] * 100
    assert isinstance(press(made, "y", now=repeats[-1] + HELD_S + 0.1), CarryOut)


def test_key_that_is_held_before_there_is_a_request_answers_none() -> None:
    made = board(info("a", "running"))
    press(made, "y", now=NOW)
    made.take([asks("a")], NOW)
    ready = read(made)
    press(made, "y", now=NOW + 0.3)
    assert press(made, "y", now=ready) is None
    press(made, "n", now=ready)
    assert isinstance(made.box, DenyBox)


def test_same_request_of_another_session_is_read_anew() -> None:
    made = board(asks("a", command("x"), ago=9), asks("b", command("x"), ago=5))
    ready = read(made)
    made.take([asks("b", command("x"), ago=5)], ready)
    assert press(made, "y", now=ready) is None


def test_rule_is_added_where_there_is_one() -> None:
    made = board(asks("a"), asks("b", command("b", rule="")))
    act = press(made, "a", now=read(made))
    assert isinstance(act, CarryOut)
    assert act.command == c.Answer(request="r-1", remember="session")
    assert chosen(made) == "b"
    assert press(made, "a", now=read(made)) is None


def test_denial_takes_a_reason_or_none() -> None:
    made = board(asks("a"))
    press(made, "n", now=read(made))
    assert made.box is not None
    act = made.submit("  not in shared ")
    assert act == CarryOut(
        "a", c.Answer(request="r-1", decision="deny", reason="not in shared"), "denied"
    )


def test_command_is_edited_in_the_field_that_holds_it() -> None:
    given = {"command": "npm test", "description": "Runs the tests"}
    made = board(asks("a", command("a", input=given)))
    press(made, "e", now=read(made))
    assert made.box is not None
    assert made.box.text == "npm test"
    assert made.submit(" ") is None
    assert made.said == "a command has words"
    act = made.submit("npm run unit")
    assert isinstance(act, CarryOut)
    assert act.command == c.Answer(request="r-1", input={**given, "command": "npm run unit"})


@pytest.mark.parametrize(
    "request_",
    [
        edit("a"),
        command("a", input={"command": "npm test", "also": "npm test"}),
        command("a", "npm\u202etest"),
        command("a", effects=()),
    ],
)
def test_what_is_no_plain_command_cannot_be_edited(request_: e.PermissionRequested) -> None:
    made = board(asks("a", request_))
    press(made, "e", now=read(made))
    assert made.box is None


def test_option_is_chosen_by_its_number_or_its_own_digit() -> None:
    made = board(asks("a", asked("a", question("a", "red", "blue"))))
    assert press(made, "3", now=read(made)) is None
    act = press(made, "2", now=NOW + 1)
    assert act == CarryOut("a", c.Answer(request="q-1", answers={"Which?": "blue"}), "answered")
    made = board(asks("b", asked("b", question("b", "2", "4", "8"))))
    assert press(made, "1", now=read(made)) is None
    act = press(made, "4", now=NOW + 1)
    assert isinstance(act, CarryOut)
    assert act.command == c.Answer(request="q-1", answers={"Which?": "4"})


def test_several_options_and_questions_make_one_answer() -> None:
    several = question("a", "red", "blue", "x, y", multiple=True)
    made = board(asks("a", asked("a", several, question("a", text="Why?"))))
    ready = read(made)
    assert press(made, "1", "2", "3", "2", "enter", now=ready) is None
    assert press(made, "t", now=ready) is None
    assert made.box is None  # the second question has not been read
    press(made, "t", now=read(made) + 1)
    made.painted(whole=True, now=ready)
    press(made, "t", now=ready + 1)
    act = made.submit("because")
    answers: dict[str, str | list[str]] = {"Which?": ["red", "x, y"], "Why?": "because"}
    assert act == CarryOut("a", c.Answer(request="q-1", answers=answers), "answered")


# Messages, sessions, the rest ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "tabs", "sent"),
    [
        ("m", 0, c.Send(text="go on")),
        ("m", 1, c.Send(text="go on", delivery="queue")),
        ("u", 0, c.Send(text="go on", delivery="queue")),
        ("r", 0, c.Redirect(text="go on")),
        ("r", 1, c.Send(text="go on")),
    ],
)
def test_message_is_sent_in_one_of_three_ways(keys: str, tabs: int, sent: c.Command) -> None:
    made = board(info("a", "running"))
    press(made, keys)
    assert made.box is not None
    for _ in range(tabs):
        made.box.tab()
    assert made.submit("  ") is None
    assert made.box is not None
    act = made.submit("go on")
    assert isinstance(act, CarryOut)
    assert (act.session, act.command) == ("a", sent)


def test_box_says_what_will_become_of_the_message() -> None:
    made = board(asks("a"), info("b", updated=NOW - 1))
    made.queued = 2
    press(made, "r")
    assert made.box is not None
    assert "Ends asks: Bash npm test and 1 request; 2 queued stay behind it" in made.box.hint
    made.box.tab()
    assert "Read at the agent's next step" in made.box.hint
    made.box = None
    press(made, "j", "m")
    assert made.box is not None
    assert "Starts a turn" in made.box.hint


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("s", c.Interrupt()),
        ("k", c.Interrupt(keep_queued=True)),
        ("x", c.Close()),
        ("y", None),
        ("escape", None),
    ],
)
def test_stop_is_asked_back(key: str, sent: c.Command | None) -> None:
    made = board(info("a", "running"))
    assert press(made, "s") is None
    act = press(made, key)
    assert (act.command if isinstance(act, CarryOut) else None) == sent
    assert not made.stopping


@pytest.mark.parametrize("key", ["s", "k", "x"])
def test_stop_is_for_the_session_that_was_asked_about(key: str) -> None:
    made = board(info("a", "running"), info("b", "running"))
    press(made, "s")
    made.take([info("b", "running")], NOW)
    assert (chosen(made), press(made, key), made.stopping) == ("b", None, "")
    press(made, "s")
    made.begun("new")
    made.take([info("new", "running"), info("b", "running")], NOW)
    act = press(made, key)
    assert isinstance(act, CarryOut)
    assert (chosen(made), act.session) == ("new", "b")


def test_new_session_begins_here_or_where_the_chosen_one_is() -> None:
    made = board(info("a"))
    press(made, "c")
    assert made.submit("do it") == Dispatch("do it", Path("/home/me"))
    press(made, "c")
    assert made.box is not None
    made.box.tab()
    assert made.submit("do it") == Dispatch("do it", Path(CWD))
    made.begun("b")
    made.take([info("a"), info("b", "running")], NOW)
    assert chosen(made) == "b"


def test_other_keys_open_look_and_leave() -> None:
    made = board(info("a"))
    assert [press(made, key) for key in ("enter", "d", "?", "q")] == [
        Enter("a"), Look("diff"), Look("keys"), Leave()
    ]  # fmt: skip
    assert [press(made, key) for key in "yane123tz"] == [None] * 9
    assert made.box is None

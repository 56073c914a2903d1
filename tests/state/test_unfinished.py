"""Who comes in the middle of a text gets it from its beginning, and nothing twice."""

from __future__ import annotations

from typing import Any

import pytest

from midflight import events as e
from midflight.state.unfinished import Piece, beyond, unfinished


def text(words: str, **fields: Any) -> e.TextDelta:
    return e.TextDelta(text=words, **fields)


def told(*events: e.Event) -> list[tuple[str, str, str]]:
    """Return what there is so far: the block's type, whose it is, and its text."""
    pieces = unfinished(events)
    assert all(piece.so_far and piece.seq is None for piece in pieces)
    return [(each.type, getattr(each, "call", each.parent or ""), each.text) for each in pieces]


def test_each_block_that_streams_is_told_from_its_beginning() -> None:
    events = [
        text("It "),
        text("sub", parent="task"),
        text("works"),
        e.ThinkingDelta(text="why"),
        e.ToolProgress(call="c", text="line\n"),
        e.ToolProgress(call="c", text="line\n"),
    ]
    assert told(*events) == [
        ("text.delta", "", "It works"),
        ("text.delta", "task", "sub"),
        ("thinking.delta", "", "why"),
        ("tool.progress", "c", "line\nline\n"),
    ]


@pytest.mark.parametrize(
    "end",
    [
        e.Text(text="It works", seq=1),
        e.Retry(attempt=1, delay_s=1.0, seq=1),
        e.TurnEnded(status="completed", reason="end_turn", seq=1),
        e.SessionEnded(reason="closed", seq=1),
    ],
)
def test_text_that_has_ended_or_is_void_is_not_told(end: e.Event) -> None:
    assert told(text("It works"), end) == []
    assert told(text("It works"), end, text("And")) == [("text.delta", "", "And")]


def test_end_of_one_block_leaves_the_others() -> None:
    sub = text("sub", parent="task")
    assert told(sub, text("own"), e.Text(text="own", seq=1)) == [("text.delta", "task", "sub")]
    ended = e.ToolEnded(call="task", name="Task", status="completed", seq=1)
    output = e.ToolProgress(call="task", text="line")
    assert told(sub, output, text("own"), ended) == [("text.delta", "", "own")]


def test_text_so_far_begins_its_block_anew() -> None:
    assert told(text("wro"), text("right", so_far=True), text("!")) == [
        ("text.delta", "", "right!")
    ]


@pytest.mark.parametrize(
    ("known", "missed"),
    [
        ([], text("half a sen", so_far=True)),
        ([text("half", so_far=True)], text(" a sen")),
        ([text("half a sen", so_far=True)], None),
        ([text("another", so_far=True)], text("half a sen", so_far=True)),
        ([text("half", so_far=True, parent="task")], text("half a sen", so_far=True)),
    ],
)
def test_reader_who_comes_back_gets_what_was_missed(
    known: list[Piece], missed: e.TextDelta | None
) -> None:
    assert beyond(text("half a sen", so_far=True), known) == missed

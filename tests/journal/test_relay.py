"""Pieces of a stream for a reader on another machine; nothing here needs a server."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from midflight import events as e
from midflight.journal.relay import (
    AGENT,
    END,
    MAX_BATCH_BYTES,
    Gap,
    Item,
    Packer,
    Unpacker,
    items_of,
)

STREAM = "a" * 32


def _delta(text: str, session: str = "s1", seq: int | None = None) -> e.TextDelta:
    return e.TextDelta(text=text, session=session, seq=seq)


def _pieces(*batches: list[Item]) -> list[str]:
    """Return what is heard of some batches."""
    packer = Packer(STREAM)
    payloads = [payload for batch in batches for payload in packer.pack(batch)]
    assert all(len(payload.encode()) < 8_000 for payload in payloads)
    assert all(payload.startswith(f"d{STREAM}:") for payload in payloads)
    return [payload.partition(":")[2] for payload in payloads]


def _take(pieces: Iterable[str]) -> None:
    unpacker = Unpacker("s1")
    for piece in pieces:
        unpacker.take(piece)


@pytest.mark.parametrize("text", ["short", "x" * 30_000, "\U0001f600é\0" * 9_000], ids=len)
def test_batch_of_any_length_arrives_as_it_was(text: str) -> None:
    items: list[Item] = [AGENT, 3, _delta(text), _delta("more"), 4, END]
    pieces = _pieces([], items)

    unpacker = Unpacker("s1")
    taken = [unpacker.take(piece) for piece in pieces]

    assert taken[0] == []
    assert taken[1:-1] == [None] * (len(taken) - 2)
    assert taken[-1] == items


def test_what_is_on_disk_is_told_by_its_number_alone() -> None:
    text = e.Text(text="a secret", session="s1", seq=7)
    started = e.ToolStarted(call="c", name="Bash", kind="execute", input={}, session="s1", seq=6)
    assert items_of([started, text, _delta("b"), text]) == [7, _delta("b"), 7]


def test_too_long_a_batch_loses_its_deltas_and_nothing_else() -> None:
    (piece,) = _pieces([1, _delta("x" * MAX_BATCH_BYTES), 2])
    assert Unpacker("s1").take(piece) == [1, 2]


@pytest.mark.parametrize("wrong", ["lost", "twice", "turned"])
def test_piece_out_of_its_place_is_a_gap(wrong: str) -> None:
    first, second = _pieces([1], [2])
    heard = {"lost": [second], "twice": [first, first], "turned": [second, first]}[wrong]
    with pytest.raises(Gap):
        _take(heard)


NONSENSE = [
    *("", "0", "0.", "0.{}", '0.["no', ".[]", "-1.[]", "\u0660.[]", "0.[null]", "0.[1.5]"),
    *("0." + "[" * 9_000, "9" * 30 + ".[]", '0.[{"type":"text","text":"whole","session":"s1"}]'),
]


@pytest.mark.parametrize("piece", NONSENSE)
def test_nonsense_is_a_gap(piece: str) -> None:
    with pytest.raises(Gap):
        Unpacker("s1").take(piece)


def test_pieces_that_never_end_are_a_gap() -> None:
    with pytest.raises(Gap):
        _take(f"{number}+{'x' * 7_000}" for number in range(100))


def test_delta_of_another_session_is_no_part_of_the_stream() -> None:
    forged = [_delta("of another", session="s2"), _delta("as if on disk", seq=3), _delta("right")]
    (piece,) = _pieces([*forged])
    assert json.loads(piece.partition(".")[2])[0]["session"] == "s2"
    assert Unpacker("s1").take(piece) == [_delta("right")]

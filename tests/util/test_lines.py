"""Lines out of pieces that end anywhere, and JSON objects out of lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midflight._util.lines import OVERLONG, LineSplitter, json_object

# Few different bytes, so that line ends and lines of the limit are common.
LIMIT = 8
OUTPUT = st.lists(st.sampled_from([b"a", b"\n", b"\r", b"12345678", b"x" * 50])).map(b"".join)
CUTS = st.lists(st.integers(1, 20), min_size=1)


def pieces(output: bytes, cuts: list[int]) -> list[bytes]:
    """Cut output into pieces of these sizes, again and again."""
    found: list[bytes] = []
    while output:
        size = cuts[len(found) % len(cuts)]
        found.append(output[:size])
        output = output[size:]
    return found


def bounded(line: bytes) -> bytes:
    return OVERLONG if len(line) > LIMIT else line


@given(OUTPUT, CUTS)
def test_lines_are_the_same_however_the_output_is_cut(output: bytes, cuts: list[int]) -> None:
    """A line over the limit is reported and the next one is whole, also within one piece."""
    splitter = LineSplitter(LIMIT)
    lines = [line for piece in pieces(output, cuts) for line in splitter.push(piece)]
    assert [*lines, splitter.rest()] == [bounded(line) for line in output.split(b"\n")]
    whole = LineSplitter(LIMIT)
    assert [*whole.push(output), whole.rest()] == [*lines, splitter.rest()]


@given(st.lists(st.binary(max_size=3 * LIMIT)))
def test_splitter_holds_no_more_than_a_line_of_the_limit(output: list[bytes]) -> None:
    splitter = LineSplitter(LIMIT)
    for piece in output:
        splitter.push(piece)
        assert sum(map(len, splitter._parts)) <= LIMIT  # noqa: SLF001 - that it is bounded is the point


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_whole_wherever_the_pieces_end(size: int) -> None:
    splitter = LineSplitter()
    cut = pieces(b"one\n\ntwo\r\nthree", [size])
    assert [line for piece in cut for line in splitter.push(piece)] == [b"one", b"", b"two\r"]
    assert splitter.rest() == b"three"


def test_line_that_is_too_long_is_dropped_and_the_next_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("midflight._util.lines.MAX_LINE_BYTES", 5)
    splitter = LineSplitter()
    assert splitter.push(b"12345\n123") == [b"12345"]
    assert splitter.push(b"456") == []
    assert splitter.push(b"789\nnext\n") == [OVERLONG, b"next"]
    assert splitter.rest() == b""


def test_line_that_is_too_long_is_reported_at_the_end_too() -> None:
    splitter = LineSplitter(5)
    splitter.push(b"whole\n123456")
    assert splitter.rest() is OVERLONG


PLAIN = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5)


@given(st.dictionaries(st.text(max_size=5), PLAIN | st.lists(PLAIN, max_size=3), max_size=3))
def test_json_object_of_a_line_is_what_was_encoded(value: dict[str, Any]) -> None:
    assert json_object(json.dumps(value).encode()) == value


@pytest.mark.parametrize("line", [b"", b"noise", b"[1]", b"1", b"{", b"{'a': 1}", OVERLONG])
def test_line_without_a_json_object_has_none(line: bytes) -> None:
    assert json_object(line) is None


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'\xef\xbb\xbf{"a": "b"}', "b"),
        (b'{"a": "\\ud800b"}', "\ufffdb"),
        (b'{"a": "\xffb"}', "\ufffdb"),
    ],
    ids=["a byte order mark", "a lone surrogate", "damaged UTF-8"],
)
def test_line_that_is_damaged_is_read_as_far_as_it_can_be(line: bytes, text: str) -> None:
    assert json_object(line) == {"a": text}

import pytest

from midflight._util import lines as framing
from midflight._util.lines import OVERLONG, Framer


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_lines_are_whole_wherever_the_pieces_end(size: int) -> None:
    output, framer = b"one\n\ntwo\r\nthree", Framer()
    pieces = [output[at : at + size] for at in range(0, len(output), size)]
    assert [line for piece in pieces for line in framer.push(piece)] == [b"one", b"", b"two\r"]
    assert framer.rest() == b"three"


def test_a_line_that_is_too_long_is_dropped_and_the_next_is_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(framing, "MAX_LINE_BYTES", 5)
    framer = Framer()
    assert framer.push(b"12345\n123") == [b"12345"]
    assert framer.push(b"456") == []
    assert framer.push(b"789\nnext\n") == [OVERLONG, b"next"]
    assert framer.rest() == b""

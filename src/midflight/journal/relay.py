"""What an owner tells a reader on another machine: pieces of a stream, as they go over ``NOTIFY``.

A stream says what a reader beside the owner gets, in the same order. What streams is in it as it
is. Of what is on disk it says only up to which ``seq`` it may be read now: the reader takes it from
the journal, which is what it believes. So who could forge a piece would make up what an agent seems
to be saying, until it is said, and nothing that has happened; see `Presence.reader` for who can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import msgspec

from midflight import events as e
from midflight.state.unfinished import Piece

AGENT, END = "agent", "end"
"""Marks: what is known of the agent has changed; the owner tells no more."""

Item = Piece | int | str
"""A delta, the ``seq`` up to which all is on disk, or a mark."""

MAX_BATCH_BYTES = 500_000
"""How long a batch may be; of a longer one the deltas are left out, and their texts come whole."""

_MAX_PIECE_BYTES = 7_800
"""PostgreSQL takes payloads of less than 8,000 bytes."""

_WITHIN = frozenset(bytes([each]) for each in range(0x80, 0xC0))
"""The bytes of UTF-8 with which no character begins."""

_HEAD = re.compile("([0-9]{1,18})([.+])")
_ITEMS = msgspec.json.Decoder(list[e.TextDelta | e.ThinkingDelta | e.ToolProgress | int | str])


def items_of(events: Iterable[e.Event]) -> list[Item]:
    """Return what a reader is told of some events."""
    items: list[Item] = []
    for event in events:
        if isinstance(event, Piece):
            items.append(event)
        elif event.seq is not None:
            if items and isinstance(items[-1], int):
                items[-1] = event.seq
            else:
                items.append(event.seq)
    return items


class Packer:
    """Makes the payloads of one stream: each names the stream and has the next number."""

    def __init__(self, stream: str) -> None:
        """Begin with number 0."""
        self._stream = stream
        self._number = 0

    def pack(self, items: Sequence[Item]) -> list[str]:
        """Return the payloads of a batch."""
        body = msgspec.json.encode(items)
        if len(body) > MAX_BATCH_BYTES:
            body = msgspec.json.encode([one for one in items if not isinstance(one, Piece)])
        pieces = _cut(body)
        payloads = []
        for index, piece in enumerate(pieces):
            more = "+" if index < len(pieces) - 1 else "."
            payloads.append(f"d{self._stream}:{self._number}{more}{piece}")
            self._number += 1
        return payloads


def _cut(body: bytes) -> list[str]:
    """Cut a text where no character is cut."""
    pieces, start = [], 0
    while start < len(body):
        end = min(start + _MAX_PIECE_BYTES, len(body))
        while body[end : end + 1] in _WITHIN:
            end -= 1
        pieces.append(body[start:end].decode())
        start = end
    return pieces


class Gap(Exception):
    """A piece is missing, or is none: the stream has to be asked for anew."""


class Unpacker:
    """Takes the pieces of one stream in their order."""

    def __init__(self, session: str) -> None:
        """``session`` is the one that all of it has to be about."""
        self._session = session
        self._next = 0
        self._parts: list[str] = []
        self._length = 0

    def take(self, piece: str) -> list[Item] | None:
        """Return what a piece completes, None where more has to come. Raises `Gap`."""
        head = _HEAD.match(piece)
        if head is None or int(head[1]) != self._next:
            raise Gap
        body = piece[head.end() :]
        self._next += 1
        self._parts.append(body)
        self._length += len(body)
        if self._length > MAX_BATCH_BYTES:
            raise Gap
        if head[2] == "+":
            return None
        whole, self._parts, self._length = "".join(self._parts), [], 0
        try:
            items: list[Item] = _ITEMS.decode(whole)
        except (msgspec.MsgspecError, RecursionError) as error:
            raise Gap from error
        return [item for item in items if self._is_right(item)]

    def _is_right(self, item: Item) -> bool:
        """A piece that says it is on disk, or of another session, is not what an owner sends."""
        return not isinstance(item, Piece) or (item.seq is None and item.session == self._session)

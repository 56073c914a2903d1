"""Pieces of bytes into lines, whole or dropped, in bounded memory; and lines into JSON objects."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What reading a message raises that is not of the form that was measured."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line of an agent that is read."""

OVERLONG = b"(overlong)"
"""This very object stands for a line that was longer than allowed, and was dropped."""

_SURROGATES = re.compile(r"[\ud800-\udfff]")
_decode = msgspec.json.Decoder().decode


class LineSplitter:
    """Puts lines together from pieces that end anywhere; holds one line of the limit at most."""

    def __init__(self, limit: int | None = None) -> None:
        """``limit`` is the most bytes that a line may have, by default `MAX_LINE_BYTES`."""
        self._limit = MAX_LINE_BYTES if limit is None else limit
        self._parts: list[bytes] = []
        self._bytes = 0

    def push(self, data: bytes) -> list[bytes]:
        """Add a piece, and return the lines that it completes; `OVERLONG` for one dropped."""
        if b"\n" not in data:
            self._keep(data)
            return []
        first, *lines, last = data.split(b"\n")
        self._keep(first)
        lines.insert(0, self.rest())
        if len(data) > self._limit:
            lines[1:] = [self._bounded(line) for line in lines[1:]]
        self._parts, self._bytes = [], 0
        self._keep(last)
        return lines

    def rest(self) -> bytes:
        """Return what follows the last line end; `OVERLONG` if it is too long."""
        return OVERLONG if self._bytes > self._limit else b"".join(self._parts)

    def _keep(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self._limit:
            self._parts = []
        elif data:
            self._parts.append(data)

    def _bounded(self, line: bytes) -> bytes:
        return OVERLONG if len(line) > self._limit else line


def json_object(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line, or None if there is none."""
    try:
        value = _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if not line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
            return None
        # Lone surrogates, a byte order mark and damaged UTF-8 are not for the fast decoder.
        try:
            value = json.loads(line.decode("utf-8-sig", errors="replace"))
        except (ValueError, RecursionError):
            return None
        text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", json.dumps(value, ensure_ascii=False))
        value = json.loads(text)
    return value if isinstance(value, dict) else None


def unreadable(line: bytes) -> str:
    """Return a sentence about an agent's line that could not be read."""
    size = f"over {MAX_LINE_BYTES} bytes" if line is OVERLONG else f"{len(line)} bytes"
    return f"a line of {size} from the agent could not be read"

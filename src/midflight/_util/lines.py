"""Lines out of pieces of output, whole or not at all, in bounded memory; frames out of lines."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

__all__ = ["MALFORMED", "MAX_LINE_BYTES", "OVERLONG", "Framer", "frame", "unreadable"]

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What reading a message raises that is not of the form that was measured."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line that is read."""

OVERLONG = b"(overlong)"
"""This very object stands for a line that was longer, and was dropped."""

_SURROGATES = re.compile(r"[\ud800-\udfff]")
_decode = msgspec.json.Decoder().decode


class Framer:
    """Puts lines together from pieces that end anywhere."""

    def __init__(self) -> None:
        """Begin at the start of a line."""
        self._partial: list[bytes] = []
        self._bytes = 0

    def push(self, data: bytes) -> list[bytes]:
        """Add a piece, and return the lines that it completes; `OVERLONG` for one dropped."""
        if b"\n" not in data:
            self._keep(data)
            return []
        first, *rest = data.split(b"\n")
        self._keep(first)
        lines = [OVERLONG if self._bytes > MAX_LINE_BYTES else b"".join(self._partial), *rest[:-1]]
        self._partial, self._bytes = [], 0
        self._keep(rest[-1])
        return lines

    def rest(self) -> bytes:
        """Return what came behind the last line end."""
        return b"".join(self._partial)

    def _keep(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > MAX_LINE_BYTES:
            self._partial = []
        elif data:
            self._partial.append(data)


def frame(line: bytes) -> dict[str, Any] | None:
    """Return the JSON object in a line, or None if there is none."""
    try:
        found = _decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        if not line.lstrip(b"\xef\xbb\xbf \t").startswith(b"{"):
            return None
        # Lone surrogates, a byte order mark and damaged UTF-8 are not for the fast decoder.
        try:
            found = json.loads(line.decode("utf-8-sig", errors="replace"))
        except (ValueError, RecursionError):
            return None
        text = _SURROGATES.sub("\N{REPLACEMENT CHARACTER}", json.dumps(found, ensure_ascii=False))
        found = json.loads(text)
    return found if isinstance(found, dict) else None


def unreadable(line: bytes) -> str:
    """Say of a line that it could not be read."""
    size = f"over {MAX_LINE_BYTES} bytes" if line is OVERLONG else f"{len(line)} bytes"
    return f"a line of {size} from the agent could not be read"

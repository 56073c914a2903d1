"""Lines out of pieces of output, whole or not at all, in bounded memory; and broken ones."""

from __future__ import annotations

__all__ = ["MALFORMED", "MAX_LINE_BYTES", "OVERLONG", "Framer"]

MALFORMED = (KeyError, TypeError, ValueError, AttributeError, IndexError)
"""What reading a message raises that is not of the form that was measured."""

MAX_LINE_BYTES = 64 * 1024 * 1024
"""The longest line that is read."""

OVERLONG = b"(overlong)"
"""This very object stands for a line that was longer, and was dropped."""


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

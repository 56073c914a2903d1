"""The stream of events as the server sends it, read from a connection of its own.

The server sends each piece of text as a chunk of its own, and what an HTTP library does for a chunk
took half of the processor time of a turn. One request that is answered until somebody hangs up
needs none of that.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING

from midflight.errors import AgentFailed

if TYPE_CHECKING:
    import httpx2

__all__ = ["Chunks", "pieces"]

PIECE_BYTES = 64 * 1024
_HEAD_ENDS = b"\r\n\r\n"
_ACCEPTED = re.compile(rb"HTTP/1\.[01] 200\b")
_CHUNKED = re.compile(rb"(?im)^transfer-encoding:[ \t]*chunked")
_BROKEN = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)


class Chunks:
    """Takes a body out of its chunks, from pieces that end anywhere."""

    def __init__(self) -> None:
        """Begin before the first chunk."""
        self._rest = b""
        self._left = 0

    def push(self, data: bytes) -> bytes:
        """Add a piece, and return what of the body is in it. Raises `ValueError`."""
        data, at, found = self._rest + data, 0, []
        while at < len(data):
            if self._left:
                part = data[at : at + self._left]
                found.append(part)
                at += len(part)
                self._left -= len(part)
                continue
            end = data.find(b"\n", at)
            if end < 0:
                break
            size = data[at:end].partition(b";")[0].strip()
            self._left = int(size, 16) if size else 0  # A chunk ends with an empty line.
            at = end + 1
        self._rest = data[at:]
        return b"".join(found)


async def pieces(
    request: httpx2.Request, trust: ssl.SSLContext, *, connect_s: float, silence_s: float
) -> AsyncGenerator[bytes]:
    """Send a request, and yield the pieces of what is answered until the stream ends.

    Raises `AgentFailed` when it is refused, breaks, or is silent for too long.
    """
    url = request.url
    secure = url.scheme == "https"
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(connect_s):
            reader, writer = await asyncio.open_connection(
                url.raw_host.decode(),
                url.port or (443 if secure else 80),
                ssl=trust if secure else None,
            )
        writer.write(_head(request))
        async with asyncio.timeout(silence_s):
            head = await reader.readuntil(_HEAD_ENDS)
        if not _ACCEPTED.match(head):
            raise ValueError(head.partition(b"\r\n")[0].decode(errors="replace"))
        chunks = Chunks() if _CHUNKED.search(head) else None
        while True:
            async with asyncio.timeout(silence_s):
                piece = await reader.read(PIECE_BYTES)
            if not piece:
                return
            yield chunks.push(piece) if chunks else piece
    except _BROKEN as error:
        why = str(error) or type(error).__name__
        raise AgentFailed(f"OpenCode's events have stopped: {why}") from error
    finally:
        if writer is not None:
            writer.transport.abort()


def _head(request: httpx2.Request) -> bytes:
    """Return a request without a body as it is sent."""
    headers = b"".join(b"%s: %s\r\n" % header for header in request.headers.raw)
    return b"%s %s HTTP/1.1\r\n%s\r\n" % (request.method.encode(), request.url.raw_path, headers)

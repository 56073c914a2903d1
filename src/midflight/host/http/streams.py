"""Server-sent events: how events, heartbeats and the end of a stream look on the wire."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import cast

from starlette.responses import StreamingResponse
from starlette.types import Send

from midflight import events as e
from midflight.errors import MidflightError
from midflight.host.http.problems import problem

HEARTBEAT_S = 15.0
"""How often a stream on which nothing happens carries a heartbeat."""

HERE, STILL_HERE = b": here\n\n", b": still here\n\n"
END, LAGGED, LEAVING = (
    b"event: %s\ndata: {}\n\n" % name for name in (b"end", b"lagged", b"leaving")
)

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


def response(frames: AsyncGenerator[bytes]) -> StreamingResponse:
    """Return the response of a stream, which no proxy keeps back."""
    return _Stream(frames, media_type="text/event-stream", headers=_HEADERS)


class _Stream(StreamingResponse):
    """A stream that ends what it reads from, also when its reader is sent away in the middle."""

    async def stream_response(self, send: Send) -> None:
        """Send the stream."""
        async with contextlib.aclosing(cast("AsyncGenerator[bytes]", self.body_iterator)):
            await super().stream_response(send)


def frame(event: e.Event, id: bytes = b"") -> bytes:
    """Return an event; ``id`` is what a reader comes back with, its ``seq`` if nothing is given."""
    if not id and event.seq is not None:
        id = b"%d" % event.seq  # noqa: A001 - that is what SSE calls it
    return b"%sdata: %s\n\n" % (b"id: %s\n" % id if id else b"", e.encode(event))


def error(what: MidflightError) -> bytes:
    """Return the error with which a stream ends."""
    return b"event: error\ndata: " + bytes(problem(what).body) + b"\n\n"

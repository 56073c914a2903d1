"""Plays one step as the HTTP answer to one request."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midflight.testing.model.script import (
    Drop,
    HttpError,
    Mark,
    Part,
    Silence,
    StreamError,
    Wait,
    Words,
)
from midflight.testing.model.wire.base import Wire, as_json

if TYPE_CHECKING:
    from starlette.types import Receive, Send

_WRITE_SIZE = 32 * 1024


class _ClientGoneError(Exception):
    """The client closed the connection while the script held it."""


class _HeldTooLongError(Exception):
    """The test did not give a signal in time."""


@dataclass
class Signals:
    """Named events between a script and its test: reached by the script, released by the test."""

    reached: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )
    released: defaultdict[str, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )


class StepPlayer:
    """Plays the answer to one request, in the words of its API.

    ``cut`` has the server close the connection after `play`.
    """

    def __init__(
        self,
        wire: Wire,
        signals: Signals,
        timeout_s: float,
        receive: Receive,
        send: Send,
    ) -> None:
        """Prepare; nothing is sent before `play`."""
        self._wire = wire
        self._signals = signals
        self._timeout_s = timeout_s
        self._send = send
        self._gone = asyncio.ensure_future(_until_gone(receive))
        self._started = False
        self._buffer = bytearray()
        self.cut = False

    async def gone(self) -> None:
        """Wait until the client has left, or the server has closed the connection."""
        await self._gone

    async def play(self, parts: tuple[Part, ...]) -> str | None:
        """Send the answer. Return what went wrong with the script, if anything did."""
        try:
            await self._play(parts)
        except _ClientGoneError:
            return None
        except _HeldTooLongError as error:
            self.cut = True
            return str(error)
        finally:
            if not self.cut:
                self._gone.cancel()
        return None

    async def _play(self, parts: tuple[Part, ...]) -> None:
        wire = self._wire
        for part in parts:
            match part:
                case HttpError() as error:
                    body = wire.error(error.status, error.error_type, error.message)
                    await self._whole(wire.status(error.status), as_json(body), error.headers)
                    return
                case StreamError(kind, message):
                    if not wire.streams:
                        await self._whole(500, as_json(wire.error(500, kind, message)), {})
                        return
                    self._buffer += wire.broken(kind, message)
                    await self._end()
                    return
                case Drop():
                    await self._flush()
                    self.cut = True
                    return
                case Silence():
                    await self._flush()
                    await self._gone
                    raise _ClientGoneError
                case Mark(name):
                    await self._flush()
                    self._signals.reached[name].set()
                case Wait(name):
                    await self._flush()
                    self._signals.reached[name].set()
                    await self._hold(name)
                case _:
                    await self._say(part)
        if wire.streams:
            self._buffer += b"".join(wire.end())
            await self._end()
        else:
            await self._whole(200, wire.whole(), {})

    async def _say(self, part: Part) -> None:
        pace_s = part.pace_s if isinstance(part, Words) else 0.0
        for piece in self._wire.encode(part):
            if not self._wire.streams:
                continue
            if pace_s:
                await self._pause(pace_s)
            self._buffer += piece
            if pace_s or len(self._buffer) >= _WRITE_SIZE:
                await self._flush()

    async def _pause(self, seconds: float) -> None:
        await asyncio.wait({self._gone}, timeout=seconds)
        if self._gone.done():
            raise _ClientGoneError

    async def _hold(self, name: str) -> None:
        """Wait for the test's signal, but not for a client that has left."""
        released = asyncio.ensure_future(self._signals.released[name].wait())
        try:
            await asyncio.wait(
                {released, self._gone},
                timeout=self._timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if self._gone.done():
                raise _ClientGoneError
            if not released.done():
                raise _HeldTooLongError(
                    f"signal {name!r} was not given within {self._timeout_s:g} s"
                )
        finally:
            released.cancel()

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send an answer that is not a stream."""
        if self._started:
            # The status line is out, so an error can only end the stream as it stands.
            self._buffer += body
            await self._end()
            return
        await self._start(status, {"content-type": "application/json"} | dict(headers))
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._started = True
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def _flush(self, *, more: bool = True) -> None:
        """Send what has been encoded so far; before the first word not even headers."""
        if not self._buffer and more:
            return
        if not self._started:
            await self._start(
                200, {"content-type": "text/event-stream", "cache-control": "no-cache"}
            )
        body = bytes(self._buffer)
        self._buffer.clear()
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _end(self) -> None:
        await self._flush(more=False)


async def _until_gone(receive: Receive) -> None:
    # The request's body has been read, so the next message is the disconnect.
    while (await receive())["type"] != "http.disconnect":
        pass

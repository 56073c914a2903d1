"""HTTP over a host's Unix socket: one connection for each call, which is cheap there.

`httpx2` could do the same, but takes a third of a second to load, which a command in a terminal
would have to wait for, and its reads from Unix sockets cannot be cancelled without a trace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator

import h11

from midflight._util.lines import OVERLONG, LineSplitter
from midflight.errors import HostGone

__all__ = ["Answer", "ask"]

SILENCE_S = 90.0
"""How long an answer may keep silent: a command may have to wait for the start of an agent."""

_PIECE = 65_536


class Answer:
    """What a host says: the ``status`` at once, the body as it comes."""

    def __init__(self, reader: asyncio.StreamReader, protocol: h11.Connection) -> None:
        """Made by `ask`."""
        self.status = 0
        self._reader = reader
        self._protocol = protocol

    async def begin(self) -> None:
        """Wait for the status. Raises `HostGone`."""
        event = await self._next()
        while not isinstance(event, h11.Response):
            event = await self._next()
        self.status = event.status_code

    async def pieces(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes. Raises `HostGone` if it breaks off."""
        while isinstance(event := await self._next(), h11.Data):
            yield bytes(event.data)

    async def body(self) -> bytes:
        """Return the whole body. Raises `HostGone` if it breaks off."""
        return b"".join([piece async for piece in self.pieces()])

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of the body as they come.

        Raises `HostGone` if it breaks off, or has a line that is too long.
        """
        splitter = LineSplitter()
        async for piece in self.pieces():
            for line in splitter.push(piece):
                if line is OVERLONG:
                    raise HostGone("the session's host has sent a line that is too long")
                yield line.decode()

    async def _next(self) -> object:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                async with asyncio.timeout(SILENCE_S):
                    self._protocol.receive_data(await self._reader.read(_PIECE))
        except (OSError, TimeoutError, h11.RemoteProtocolError) as error:
            raise HostGone(f"the session's host does not answer: {error}") from error
        return event


@contextlib.asynccontextmanager
async def ask(
    address: str,
    method: str,
    path: str,
    body: bytes | None = None,
    *,
    accept: str = "*/*",
    **more: str,
) -> AsyncGenerator[Answer]:
    """Ask a host something, and enter its answer. ``more`` are headers. Raises `HostGone`."""
    try:
        reader, writer = await asyncio.open_unix_connection(address)
    except OSError as error:
        raise HostGone(f"the session's host does not answer: {error}") from error
    protocol = h11.Connection(h11.CLIENT)
    headers = [("host", "midflight"), ("accept", accept), ("connection", "close"), *more.items()]
    if body is not None:
        headers += [("content-type", "application/json"), ("content-length", str(len(body)))]
    try:
        writer.write(protocol.send(h11.Request(method=method, target=path, headers=headers)) or b"")
        if body:
            writer.write(protocol.send(h11.Data(data=body)) or b"")
        protocol.send(h11.EndOfMessage())
        answer = Answer(reader, protocol)
        await answer.begin()
        yield answer
    finally:
        writer.transport.abort()

"""HTTP to a host or a server: one connection for each request, which is cheap on a Unix socket.

`httpx2` could do the same, but a command in a terminal would have to wait until it is loaded, and
its reads from Unix sockets cannot be cancelled without a trace.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from typing import Any, TypeVar

import h11
import msgspec

from midflight import events as e
from midflight._util.lines import MAX_LINE_BYTES, OVERLONG, LineSplitter
from midflight.address import Address, ServerAddress
from midflight.errors import HostGone, MidflightError
from midflight.info import AGENT, AgentInfo, SessionInfo, decode

T = TypeVar("T")

INTERNAL = "internal"
"""The code of an error that is a mistake in the host itself."""

BAD_REQUEST = 400
"""From this status on the body of a response is an error."""

SILENCE_S = 90.0
"""How long a response may keep silent: a command may have to wait for the start of an agent."""

LOOK_S = 5.0
"""After so long a silence it is asked whether the host answers at all."""

STREAM_LOOK_S = 20.0
"""The same for a stream of events, on which something comes every 15 seconds."""

ANSWER_S = 4.0
"""How long a host may take to say that it is there."""

MAX_BODY_BYTES = MAX_LINE_BYTES
"""The longest answer that is read, but for a stream."""

_PIECE = 65_536

_STREAM = {"accept": "text/event-stream"}
_EVENT, _DATA = b"event: ", b"data: "

Told = e.Event | AgentInfo | None
"""What a stream says: an event, what the agent can do, or only that the host is there."""


class HostSick(HostGone):
    """A host is there, and makes mistakes or answers nonsense; another one may do better."""


class Response:
    """What a host answers: the ``status`` at once, the body as it comes."""

    def __init__(self, reader: asyncio.StreamReader, protocol: h11.Connection) -> None:
        """Made by `request`."""
        self.status = 0
        self._reader = reader
        self._protocol = protocol
        self._clock = asyncio.get_running_loop().time
        self._heard = self._clock()

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
        """Return the whole body. Raises `HostGone` if it breaks off or is too long."""
        body = bytearray()
        async for piece in self.pieces():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise HostSick(f"the host has answered with more than {MAX_BODY_BYTES} bytes")
        return bytes(body)

    async def lines(self) -> AsyncIterator[list[bytes]]:
        """Yield the lines of the body as they come, all that came at once together.

        Raises `HostGone` if it breaks off, or has a line that is too long.
        """
        splitter = LineSplitter()
        async for piece in self.pieces():
            lines = splitter.push(piece)
            if any(line is OVERLONG for line in lines):
                raise HostGone("the session's host has sent a line that is too long")
            yield lines

    async def _next(self) -> object:
        try:
            while (event := self._protocol.next_event()) is h11.NEED_DATA:
                self._protocol.receive_data(await self._reader.read(_PIECE))
                self._heard = self._clock()
        except (OSError, h11.RemoteProtocolError) as error:
            raise HostGone(f"the session's host does not answer: {error}") from error
        return event

    async def watch(self, address: Address | ServerAddress, look_s: float) -> None:
        """Break the response off where its host keeps silent, and answers nobody else either.

        A timer for each piece that is read would cost more than the reading.
        """
        while True:
            await asyncio.sleep(look_s)
            silent = self._clock() - self._heard
            if silent >= look_s and (silent > SILENCE_S or not await _answers(address)):
                error = HostGone("the session's host does not answer", "midflight doctor")
                self._reader.set_exception(error)
                return


async def _answers(address: Address | ServerAddress) -> bool:
    """Tell whether a host answers anything at all."""
    try:
        async with asyncio.timeout(ANSWER_S):
            await call(address, "GET", "/healthz")
    except (HostGone, TimeoutError):
        return False
    except MidflightError:
        pass  # It is there, and refuses.
    return True


async def _open(
    address: Address | ServerAddress,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(address, Address):
        return await asyncio.open_unix_connection(address.socket)
    tls = address.scheme == "https" or None
    return await asyncio.open_connection(address.host, address.port, ssl=tls)


@contextlib.asynccontextmanager
async def request(
    address: Address | ServerAddress,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
    *,
    look_s: float,
) -> AsyncGenerator[Response]:
    """Send a request, and enter the response. Raises `HostGone`.

    After a silence of ``look_s`` seconds it is asked whether the host is there.
    """
    try:
        async with asyncio.timeout(LOOK_S):
            reader, writer = await _open(address)
    except (OSError, TimeoutError) as error:
        who = "the session's host" if isinstance(address, Address) else str(address)
        raise HostGone(f"{who} does not answer: {error}") from error
    protocol = h11.Connection(h11.CLIENT)
    name = "midflight" if isinstance(address, Address) else address.name
    fields = [("host", name), ("connection", "close"), *headers.items()]
    if body is not None:
        fields += [("content-type", "application/json"), ("content-length", str(len(body)))]
    try:
        writer.write(protocol.send(h11.Request(method=method, target=path, headers=fields)) or b"")
        if body:
            writer.write(protocol.send(h11.Data(data=body)) or b"")
        protocol.send(h11.EndOfMessage())
        response = Response(reader, protocol)
        watching = asyncio.get_running_loop().create_task(response.watch(address, look_s))
        try:
            await response.begin()
            yield response
        finally:
            watching.cancel()
    finally:
        writer.transport.abort()


async def call(
    address: Address | ServerAddress,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: Mapping[str, str] = {},
) -> bytes:
    """Send a request and return the body of the response. Raises the error that it carries."""
    async with request(address, method, path, body, headers, look_s=LOOK_S) as response:
        content = await response.body()
    if response.status >= BAD_REQUEST:
        raise _error(content)
    return content


async def stream(
    address: Address | ServerAddress, path: str, headers: Mapping[str, str] = {}
) -> AsyncGenerator[list[Told]]:
    """Yield the events that a host sends, until it ends them. Raises the error that it answers.

    They come as many at a time as there are. What its agent can do comes before the first, and with
    what has changed it; None says that the host is there, and knows of the reader. Where the reader
    was too slow the host ends the events too: the reader asks for the rest.
    """
    asked = {**_STREAM, **headers}
    async with request(address, "GET", path, None, asked, look_s=STREAM_LOOK_S) as response:
        if response.status >= BAD_REQUEST:
            raise _error(await response.body())
        kind, last = b"", None
        async for lines in response.lines():
            told: list[Told] = []
            for line in lines:
                if line.startswith(_DATA) and kind:
                    last = line[len(_DATA) :]
                    break
                if line.startswith(_DATA):
                    told.append(e.decode(line[len(_DATA) :]))
                elif line.startswith(AGENT):
                    told.append(read(line[len(AGENT) :], AgentInfo))
                elif line.startswith(b":"):
                    told.append(None)
                elif line.startswith(_EVENT):
                    kind = line[len(_EVENT) :]
            if told:
                yield told
            if last is not None:
                if kind == b"error":
                    raise _error(last)
                return


def read(body: bytes, kind: type[T]) -> T:
    """Return what a host has answered. Raises `HostSick` for one that answers nonsense."""
    return _read(body, lambda: msgspec.json.decode(body, type=kind))


def read_session(body: bytes) -> SessionInfo:
    """Return the session that a host has answered. Raises `HostSick`."""
    return _read(body, lambda: decode(body))


def _read(body: bytes, decoded: Callable[[], T]) -> T:
    try:
        return decoded()
    except (msgspec.MsgspecError, UnicodeError, TypeError, RecursionError) as error:
        raise HostSick(f"the host has answered what cannot be read: {body[:200]!r}") from error


def _error(body: bytes) -> MidflightError:
    """Return the error that a host has answered, as what it was there."""
    try:
        facts = read(body, dict[str, Any])
    except HostSick as nonsense:
        return nonsense
    error = MidflightError.from_plain(facts)
    return HostSick(error.message, error.hint) if facts.get("code") == INTERNAL else error

"""The client of OpenCode's API."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast

import pytest

from midflight.agents.opencode.http import trusted
from midflight.agents.opencode.v1.client import OpenCodeClient
from midflight.errors import AgentFailed

CONNECTED = b'data: {"type":"server.connected"}\n\n'
OK = b"HTTP/1.1 200 OK\r\n"


def test_https_needs_authorities_and_plain_http_trusts_none() -> None:
    assert trusted("HTTPS://far.example").cert_store_stats()["x509_ca"] > 0
    nobody = trusted("http://127.0.0.1:4096")
    assert nobody.cert_store_stats()["x509_ca"] == 0
    assert nobody.verify_mode == ssl.CERT_REQUIRED


class Server:
    """Answers a request for events with these pieces, each when the one before was read."""

    def __init__(self, *pieces: bytes, hang_up: bool = True) -> None:
        self.asked = b""
        self.left = asyncio.Event()
        self._pieces = pieces
        self._hang_up = hang_up

    @asynccontextmanager
    async def at(self) -> AsyncIterator[str]:
        """Yield where it listens, without the scheme."""
        async with await asyncio.start_server(self._serve, "127.0.0.1", 0) as server:
            yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not self.asked.endswith(b"\r\n\r\n"):
            self.asked += (piece := await reader.read(1000))
            if not piece or self.asked[:3] != b"GET":
                break
        for piece in self._pieces:
            writer.write(piece)
            await writer.drain()
        if not self._hang_up:
            await reader.read()
            self.left.set()
        writer.close()


async def heard(client: OpenCodeClient) -> list[dict[str, Any] | None]:
    """Return the events until they end."""
    try:
        async with asyncio.timeout(60):
            return [frame async for frame in client.events()]
    finally:
        await client.close()


async def test_stream_is_requested_with_the_password_for_the_directory() -> None:
    server = Server(OK + b"Transfer-Encoding: chunked\r\n\r\n23\r\n", CONNECTED + b"\r\n0\r\n\r\n")
    async with server.at() as place:
        frames = await heard(
            OpenCodeClient(f"http://{place}/base", "s\u00e9same", Path("/a folder"))
        )
    assert frames == [{"type": "server.connected"}]
    head = server.asked.decode().lower()
    key = base64.b64encode("opencode:s\u00e9same".encode()).decode()
    assert head.startswith("get /base/event?directory=%2fa+folder http/1.1\r\n")
    assert f"\r\nauthorization: basic {key.lower()}\r\n" in head
    assert f"\r\nhost: {place}\r\n" in head


@pytest.mark.parametrize("size", [1, 7, 1000])
async def test_events_are_whole_wherever_the_pieces_of_their_chunks_end(size: int) -> None:
    chunk = b"%x;note=x\r\n%s\r\n" % (len(CONNECTED), CONNECTED)
    sent = OK + b"Transfer-Encoding: chunked\r\n\r\n" + 2 * chunk + b"0\r\n\r\n"
    server = Server(*(sent[at : at + size] for at in range(0, len(sent), size)))
    async with server.at() as place:
        frames = await heard(OpenCodeClient(f"http://{place}", "sesame"))
    assert frames == 2 * [{"type": "server.connected"}]


async def test_password_in_the_address_is_used_if_there_is_no_other() -> None:
    for given, used in ((None, "her:own"), ("word", "opencode:word")):
        server = Server(OK + b"\r\n" + CONNECTED)
        async with server.at() as place:
            await heard(OpenCodeClient(f"http://her:own@{place}", given))
        assert base64.b64encode(used.encode()) in server.asked


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 401 Unauthorized\r\n\r\n" + CONNECTED,
        b"<html>",
        b"",
        OK + b"transfer-encoding: chunked\r\n\r\nnonsense\r\n",
        OK + b"x: " + b"long " * 20_000,
    ],
    ids=["refused", "no HTTP", "nothing", "no chunk", "an endless head"],
)
async def test_answer_that_is_no_stream_fails(answer: bytes) -> None:
    async with Server(answer).at() as place:
        with pytest.raises(AgentFailed, match="events have stopped"):
            await heard(OpenCodeClient(f"http://{place}", "sesame"))


async def test_stream_that_is_silent_for_too_long_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midflight.agents.opencode.v1.client.SILENCE_S", 0.1)
    server = Server(OK + b"\r\n", hang_up=False)
    async with server.at() as place:
        with pytest.raises(AgentFailed, match="events have stopped"):
            await heard(OpenCodeClient(f"http://{place}", "sesame"))
        async with asyncio.timeout(60):
            await server.left.wait()


async def test_reader_that_stops_hangs_up() -> None:
    server = Server(OK + b"\r\n" + CONNECTED, hang_up=False)
    async with server.at() as place, asyncio.timeout(60):
        client = OpenCodeClient(f"http://{place}", None)
        stream = cast("AsyncGenerator[Any]", client.events())
        assert await anext(stream) == {"type": "server.connected"}
        await stream.aclose()
        await server.left.wait()
        await client.close()


async def test_https_sends_nothing_in_the_clear() -> None:
    server = Server(OK + b"\r\n" + CONNECTED)
    async with server.at() as place:
        with pytest.raises(AgentFailed, match="events have stopped"):
            await heard(OpenCodeClient(f"https://{place}", "sesame"))
    assert server.asked[:1] == b"\x16"  # a handshake
    assert b"GET" not in server.asked


class Counting:
    """Answers no call to ``/slow`` and every other at once, and counts the connections."""

    def __init__(self) -> None:
        self.made = 0
        self.standing = 0
        self.slow = 0
        self._changed = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        self.standing += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                if head.startswith(b"GET /slow"):
                    self.slow += 1
                    self._changed.set()
                else:
                    writer.write(OK + b"Content-Length: 2\r\n\r\n{}")
        self.standing -= 1
        self._changed.set()
        writer.close()

    async def until(self, true: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not true():
                self._changed.clear()
                await self._changed.wait()


@pytest.mark.parametrize("calls", range(1, 6))
async def test_cancelled_close_forgets_no_connection(calls: int) -> None:
    """Of those that calls at the same time have made, one is kept for the next call."""
    counting = Counting()
    async with await asyncio.start_server(counting.serve, "127.0.0.1", 0) as server:
        client = OpenCodeClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", None)
        await asyncio.gather(*(client.get("/session") for _ in range(4)))
        assert counting.made > 1
        await counting.until(lambda: counting.standing == 1)
        slow = [asyncio.ensure_future(client.get("/slow")) for _ in range(calls)]
        await counting.until(lambda: counting.slow == calls)
        closing = asyncio.ensure_future(client.close())
        asyncio.get_running_loop().call_soon(closing.cancel)
        await counting.until(lambda: counting.standing == 0)
        ended = await asyncio.gather(closing, *slow, return_exceptions=True)
        assert [type(error) for error in ended] == [asyncio.CancelledError, *[AgentFailed] * calls]

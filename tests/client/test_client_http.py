"""What a client makes of a host's answers: late ones, endless ones, none at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault

from midflight import errors
from midflight import events as e
from midflight.address import Address
from midflight.client import http

Answer = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\n"


@contextlib.asynccontextmanager
async def answering(folder: Path, answer: Answer) -> AsyncIterator[Address]:
    """Listen, and answer each request, known by its first line."""
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        with contextlib.suppress(ConnectionError):
            await answer(await reader.readline(), reader, writer)
            await writer.drain()
        writer.close()

    path = folder / "socket"
    async with await asyncio.start_unix_server(serve, path), asyncio.timeout(60):
        yield Address(path)
        await asyncio.wait(serving)


async def nothing(_: bytes, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
    """Answer nothing, until the other side has gone."""
    await reader.read()


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "STREAM_LOOK_S", "ANSWER_S"):
        monkeypatch.setattr(http, name, 0.1)


@fault("D7")
async def test_host_that_hangs_is_given_up_soon(tmp_path: Path) -> None:
    async with answering(tmp_path, nothing) as address:
        with pytest.raises(errors.HostGone, match="does not answer"):
            await http.call(address, "GET", "/sessions")
        with pytest.raises(errors.HostGone, match="does not answer"):
            async for _ in http.stream(address, "/sessions/a/events"):
                pass


async def test_host_that_takes_its_time_is_waited_for(tmp_path: Path) -> None:
    looked = asyncio.Semaphore(0)

    async def answer(
        first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del reader
        if b"/healthz" in first:
            looked.release()
        else:
            await looked.acquire()
            await looked.acquire()
        writer.write(HEAD + b"content-length: 4\r\n\r\nlate")

    async with answering(tmp_path, answer) as address:
        assert await http.call(address, "POST", "/sessions", b"{}") == b"late"


async def test_host_that_never_ends_its_answer_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100_000)

    async def answer(
        first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del first, reader
        writer.write(HEAD + b"content-length: 99999999999\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x" * 65_536)
            await writer.drain()

    async with answering(tmp_path, answer) as address:
        with pytest.raises(errors.HostGone, match="more than 100000 bytes"):
            await http.call(address, "GET", "/sessions")


@pytest.mark.parametrize("end", ["end", "lagged", "error"])
async def test_what_comes_before_the_end_of_a_stream_is_told_first(
    tmp_path: Path, end: str
) -> None:
    event = e.Notice(seq=1, session="s", level="info", text="one\u2028line")
    error = b'{"code": "not_found", "message": "gone", "hint": ""}'

    async def answer(
        first: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del reader
        assert b"/events" in first
        body = b": here\n\nid: 1\ndata: %s\n\n" % e.encode(event)
        body += b"event: %s\ndata: %s\n\ndata: {}\n\n" % (end.encode(), error)
        writer.write(HEAD + b"content-length: %d\r\n\r\n%s" % (len(body), body))

    told: list[http.Told] = []
    async with answering(tmp_path, answer) as address:
        with contextlib.suppress(errors.NotFound) if end == "error" else contextlib.nullcontext():
            async for together in http.stream(address, "/sessions/a/events"):
                told += together
            assert end != "error"
    assert told == [None, event]

"""A host's socket as any program may speak to it: raw HTTP, one connection at a time."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

__all__ = ["Raw", "call", "dial"]


class Raw:
    """One connection, its request sent.

    ``status`` and ``headers`` are those of the answer, all in lower case; ``head`` is as it came.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.head = ""

    async def begin(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.head = head
        first, *lines = head.strip().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    async def _pieces(self) -> AsyncIterator[bytes]:
        if "content-length" in self.headers:
            yield await self.reader.readexactly(int(self.headers["content-length"]))
            return
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]

    async def body(self) -> Any:
        data = b"".join([piece async for piece in self._pieces()])
        return json.loads(data) if data.startswith((b"{", b"[")) else data

    async def events(self) -> AsyncIterator[tuple[str, str, Any]]:
        """Yield each event of a stream: its id, its kind, its data."""
        rest = ""
        async for piece in self._pieces():
            *whole, rest = (rest + piece.decode()).split("\n\n")
            for block in whole:
                if not block.startswith(":"):
                    fields = dict(line.split(": ", 1) for line in block.split("\n"))
                    kind = fields.get("event", "")
                    yield fields.get("id", ""), kind, json.loads(fields["data"])


async def connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to a socket's path, or to ``host:port``."""
    if ":" in address:
        host, _, port = address.rpartition(":")
        return await asyncio.open_connection(host, int(port))
    return await asyncio.open_unix_connection(address)


@contextlib.asynccontextmanager
async def dial(
    address: str,
    target: str,
    method: str = "GET",
    body: object = None,
    **headers: str | Sequence[str],
) -> AsyncIterator[Raw]:
    """Send a request as it is written here, and wait for the head of the answer.

    The address is the path of a socket, or ``host:port``. A header may come more than once.
    """
    reader, writer = await connect(address)
    raw = Raw(reader, writer)
    told: dict[str, str | Sequence[str]] = {"host": address if ":" in address else "x"}
    told |= {name.replace("_", "-"): value for name, value in headers.items()}
    data = b""
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"content-type": "application/json", "content-length": str(len(data))} | told
    head = "".join(
        f"{name}: {each}\r\n"
        for name, value in told.items()
        for each in ([value] if isinstance(value, str) else value)
    )
    try:
        writer.write(f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1"))
        writer.write(data)
        await raw.begin()
        yield raw
    finally:
        writer.transport.abort()


async def call(
    address: str,
    target: str,
    method: str = "GET",
    body: object = None,
    **headers: str | Sequence[str],
) -> tuple[int, Any]:
    """Send a request and return the status and the body of the answer."""
    async with dial(address, target, method, body, **headers) as raw:
        return raw.status, await raw.body()

"""A host that is known to the journal and sick: it hangs, or answers what no host would."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from midflight.journal import Journal

__all__ = ["SICK", "sick_host"]

_HAS_ALL = b'{"status": "ok", "warm": true, "takes": true, "knows": true}'
_REFUSAL = b'{"code": "invalid_input", "message": "revoke: not a command", "hint": "send"}'
_FAILURE = b'{"code": "internal", "message": "FileNotFoundError", "hint": ""}'


def _response(status: int, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status} x\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


SICK: dict[str, tuple[bytes, bytes]] = {
    "hangs": (b"", b""),
    "ends": (b"\n", b"\n"),
    "junk": (b"\x00\xff\r\n\r\n", b""),
    "no JSON": (_response(200, b"<html>"), b""),
    "no object": (_response(200, b"[1]"), b""),
    "fails at once": (_response(500, _FAILURE), b""),
    "fails then": (_response(200, _HAS_ALL), _response(500, _FAILURE)),
    "nonsense then": (_response(200, _HAS_ALL), _response(201, b'{"id": 7}')),
    "junk then": (_response(200, _HAS_ALL), b"\x00\xff\r\n\r\n"),
}
"""What it answers when it is asked how it is, and to everything else; nothing is a silence."""

_HANGS = {"hangs then": (_response(200, _HAS_ALL), b"")}
"""One that says that it is well, and hangs."""

_WELL = {"refuses": (_response(200, _HAS_ALL), _response(422, _REFUSAL))}
"""One that is not sick: it does not know what is asked of it."""


@contextlib.asynccontextmanager
async def sick_host(state: Path, kind: str) -> AsyncIterator[list[bytes]]:
    """Have a sick host in the journal; yields the first lines of what it is asked."""
    health, rest = (SICK | _HANGS | _WELL)[kind]
    asked: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        asked.append(await reader.readline())
        body = health if b"/healthz" in asked[-1] else rest
        writer.write(body)
        if body:
            writer.close()

    async with Journal(state) as journal:
        path = journal.socket_path()
        async with await asyncio.start_unix_server(answer, path):
            await journal.host.register(str(path))
            yield asked
            await journal.host.leave()
            for writer in writers:
                writer.transport.abort()

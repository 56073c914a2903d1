"""A relay between a driver and an agent's server, whose streams of events can be held up or cut."""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType
from typing import Literal, Self

from tests.support.events import PATIENCE_S

__all__ = ["Relay"]

_STREAM = b"GET /event"


class Relay:
    """Passes on what is said to a server on loopback, and back. An async context manager.

    By itself it disturbs streams of events only: other calls get through. ``asked`` is what all
    clients have sent; ``damage`` is what to look for in a stream, and what to put there instead;
    the next call that begins with ``refuse`` is cut. The next one whose first line has ``hold`` is
    taken (``held``), with an answer that says no more than that, and passed on at ``go``.
    """

    def __init__(self, url: str) -> None:
        """``url`` is the server's."""
        self._server_port = int(url.rsplit(":", 1)[1])
        self._listener: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flows = asyncio.Event()
        self._waits = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._dead: set[asyncio.StreamWriter] = set()
        self.asked = bytearray()
        self.damage = (b"", b"")
        self.refuse = b""
        self.hold = b""
        self.held = asyncio.Event()
        self.go = asyncio.Event()
        self._new: Literal["flow", "cut"] = "flow"

    @property
    def url(self) -> str:
        """The address to connect to instead of the server's."""
        assert self._listener is not None
        return f"http://127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    def stall(self) -> None:
        """Forward nothing more on any stream, and close none: what comes meanwhile is lost.

        One that is opened meanwhile has to wait.
        """
        self._open.clear()
        self._dead |= self._streams

    def cut(self) -> None:
        """Close every stream, and each that is opened anew."""
        self._new = "cut"
        for client in self._streams:
            client.close()

    async def renew(self) -> None:
        """Close every stream and wait until a new one flows."""
        self._flows.clear()
        self.cut()
        self.resume()
        async with asyncio.timeout(PATIENCE_S):
            await self._flows.wait()

    async def asked_again(self) -> None:
        """Wait until another stream is asked for, which a client does when one has stalled."""
        self._waits.clear()
        async with asyncio.timeout(PATIENCE_S):
            await self._waits.wait()

    def resume(self) -> None:
        """Let streams that are opened from now on flow."""
        self._new = "flow"
        self._open.set()

    async def __aenter__(self) -> Self:
        """Listen on a free port."""
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close everything."""
        assert self._listener is not None
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server: asyncio.StreamWriter | None = None
        try:
            with contextlib.suppress(OSError):
                answers, server = await asyncio.open_connection("127.0.0.1", self._server_port)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._ask(reader, server, client))
                    group.create_task(self._answer(answers, client))
        except asyncio.CancelledError:
            pass  # The end of the block; a task that `asyncio` made must not end as cancelled.
        finally:
            self._streams.discard(client)
            self._tasks.discard(task)
            for writer in (client, server):
                if writer is not None:
                    writer.close()

    async def _ask(
        self,
        source: asyncio.StreamReader,
        server: asyncio.StreamWriter,
        client: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                # A connection may have served other calls before.
                if piece.startswith(_STREAM):
                    self._streams.add(client)
                    if self._new == "cut":
                        client.close()
                    self._waits.set()
                    await self._open.wait()
                if self.refuse and piece.startswith(self.refuse):
                    self.refuse = b""
                    break
                self.asked += piece
                if self.hold and self.hold in piece.partition(b"\r\n")[0]:
                    self.hold = b""
                    await self._take(piece, source, client)
                    continue
                server.write(piece)
                await server.drain()
        server.close()

    async def _take(
        self, call: bytes, source: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        """Answer a call that the server gets later."""
        head, _, body = call.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        call += await source.readexactly(length - len(body))
        client.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        task = asyncio.get_running_loop().create_task(self._pass_on(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.held.set()

    async def _pass_on(self, call: bytes) -> None:
        await self.go.wait()
        answers, server = await asyncio.open_connection("127.0.0.1", self._server_port)
        server.write(call)
        await answers.readline()
        server.close()

    async def _answer(self, source: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await source.read(65536):
                if client in self._dead:
                    continue
                good, bad = self.damage
                client.write(
                    piece.replace(good, bad) if good in piece and client in self._streams else piece
                )
                await client.drain()
                if client in self._streams:
                    self._flows.set()
        client.close()

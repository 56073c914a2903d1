"""``midflight serve`` as its clients meet it: the program, a device's login, and its streams."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx2
import psutil

__all__ = ["PATIENCE_S", "Event", "Server", "serve"]

MIDFLIGHT = str(Path(sys.executable).with_name("midflight"))
PATIENCE_S = 120.0
LONGEST_LINE = 2**24

Event = Mapping[str, Any]


class Server:
    """The program that runs, and what it takes."""

    def __init__(self, url: str, pid: int) -> None:
        self.url = url
        self.process = psutil.Process(pid)
        self._headers: Mapping[str, str] = {}

    async def link(self) -> str:
        """Return an address that lets one device in, once."""
        process = await asyncio.create_subprocess_exec(
            *(MIDFLIGHT, "serve", "--link", "bench"), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        return said.decode().split()[0]

    async def log_in(self) -> None:
        """Be a device, as a browser is one."""
        code = (await self.link()).rpartition("=")[2]
        body = json.dumps({"code": code}).encode()
        async with httpx2.AsyncClient(trust_env=False) as client:
            kind = {"content-type": "application/json"}
            answer = await client.post(f"{self.url}/login", content=body, headers=kind)
        cookie = answer.headers["set-cookie"].partition(";")[0]
        self._headers = {"cookie": cookie, "midflight-secret": answer.json()["secret"]}

    def used(self) -> float:
        """Return the processor time that it has taken, in seconds."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory(self) -> int:
        """Return what it holds and no other process does, in bytes."""
        return int(self.process.memory_full_info().uss)

    @contextlib.asynccontextmanager
    async def reading(
        self, live: Iterable[str], take: Callable[[Event], None]
    ) -> AsyncIterator[None]:
        """Read the events of all sessions, and all that happens in the ``live`` ones."""
        begun = asyncio.get_running_loop().create_future()
        task = asyncio.ensure_future(self._read(",".join(live), take, begun))
        try:
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.wait({task, begun}, return_when=asyncio.FIRST_COMPLETED)
            assert not task.done(), task.result()
            yield
            assert not task.done(), "the stream has ended"
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _read(
        self, live: str, take: Callable[[Event], None], begun: asyncio.Future[None]
    ) -> None:
        address = self.url.partition("://")[2]
        host, _, port = address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port), limit=LONGEST_LINE)
        headers = {"host": address, "accept": "text/event-stream", **self._headers}
        lines = [
            f"GET /events?live={live} HTTP/1.1",
            *(": ".join(each) for each in headers.items()),
        ]
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            async for line in reader:
                if line.startswith(b"data: ") and begun.done():
                    take(json.loads(line[6:]))
                elif line.startswith(b"event: begin"):
                    begun.set_result(None)
                else:
                    assert not line.startswith((b"event: lagged", b"event: error")), line
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def serve() -> AsyncIterator[Server]:
    """Serve the sessions of the journal that the environment names."""
    process = await asyncio.create_subprocess_exec(
        *(MIDFLIGHT, "serve", "--port", "0"), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            said = (await process.stdout.readline()).decode()
        assert said.startswith("serving at "), said
        server = Server(said.split()[2], process.pid)
        await server.log_in()
        yield server
    finally:
        process.terminate()
        await process.wait()

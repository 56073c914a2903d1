"""The raw side for OpenCode: what a program does that speaks to its HTTP API with httpx2 and json.

It does no more than is needed, but what is needed: it waits until the server answers, and takes a
turn as ended only when its message is complete and the session is idle.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from bench.base import OnText

__all__ = ["Raw"]

ID_DIGITS = 14


class Raw:
    """A conversation on a server of its own."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._known = ""
        self.ended = 0.0

    async def __aenter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        password = secrets.token_urlsafe()
        self._process = await asyncio.create_subprocess_exec(
            *("opencode", "serve", "--hostname=127.0.0.1", f"--port={port}"),
            env={**os.environ, "OPENCODE_SERVER_PASSWORD": password},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        self._client = httpx2.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", auth=("opencode", password), trust_env=False
        )
        assert self._process.stdout is not None
        while b"listening on" not in await self._process.stdout.readline():
            assert self._process.returncode is None, "the server did not start"
        await self._wait()
        self._session = await self._begin()
        self._events = self._read()
        await anext(self._events)  # connected: nothing is missed
        await self.say(self._text)
        return self

    async def _begin(self) -> str:
        session = await self._client.post("/session", json={"title": "bench"}, timeout=60)
        return str(session.raise_for_status().json()["id"])

    async def _wait(self) -> None:
        """Wait until the server answers; it never answers the first connections."""
        while True:
            try:
                if (await self._client.get("/global/health", timeout=1)).is_success:
                    return
            except httpx2.HTTPError:
                await asyncio.sleep(0.05)

    async def _read(self) -> AsyncGenerator[dict[str, Any], None]:
        async with self._client.stream("GET", "/event", timeout=60) as response:
            async for line in response.aiter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    async def __aexit__(self, *error: object) -> None:
        await self._events.aclose()
        await self._client.aclose()
        os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()

    async def say(self, text: str) -> None:
        await self._prompt(self._session, text)

    async def _prompt(self, session: str, text: str) -> None:
        # The server sorts messages by their ids, which begin with the time.
        now = int(time.time() * 1000) * 0x1000 & (1 << 48) - 1
        self._known = f"msg_{now:012x}{secrets.token_hex(ID_DIGITS // 2)}"
        body = {"messageID": self._known, "parts": [{"type": "text", "text": text}]}
        prompt = f"/session/{session}/prompt_async"
        (await self._client.post(prompt, json=body)).raise_for_status()

    async def listen(self, on_text: OnText) -> None:
        idle = whole = False
        async for event in self._events:
            given = event["properties"]
            match event["type"]:
                case "message.part.delta" if given["field"] == "text":
                    on_text(given["delta"])
                case "message.updated" if given["info"].get("parentID") == self._known:
                    whole = "completed" in given["info"]["time"]
                case "session.idle":
                    idle = True
            if idle and whole:
                self.ended = time.perf_counter()
                return

    async def interrupt(self) -> None:
        (await self._client.post(f"/session/{self._session}/abort")).raise_for_status()

    @property
    def server(self) -> int:
        """The process of the server."""
        return self._process.pid

    async def many(self, count: int, on_text: OnText, text: str) -> None:
        """Have so many sessions of this server work at once, and read the one stream of it."""
        sessions = [self._session] + [await self._begin() for _ in range(count - 1)]
        for said in ("pong", text):  # each has streamed before
            working = set(sessions)
            for session in sessions:
                await self._prompt(session, said)
            while working:
                event = await anext(self._events)
                given = event["properties"]
                if event["type"] == "message.part.delta" and given["field"] == "text":
                    on_text(given["delta"])
                elif event["type"] == "session.idle":
                    working.discard(given["sessionID"])

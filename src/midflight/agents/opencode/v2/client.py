"""OpenCode 2's API: the calls that midflight makes. One client serves all folders of a server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from midflight.agents.opencode.http import CALL_TIMEOUT_S, HEALTH_TIMEOUT_S, Frame, HttpClient
from midflight.agents.opencode.server import Refused
from midflight.agents.opencode.v2.names import PREVIEW, STABLE, Names

SILENCE_S = 40.0
"""The server sends a comment every 15 seconds: after this long the stream is dead."""

HEALTH_OF_VERSION_1 = "/global/health"

PAGE = 100
"""How many numbered events are requested at once: the most that the preview gives."""


class OpenCode2Client(HttpClient):
    """One server."""

    async def names(self, expected: Names | None) -> tuple[Names, str]:
        """Return how the server is spoken to, and its version, asked on a connection of its own.

        A program that was started here is ``expected`` to be of one kind. The version is 1.x for a
        server that is spoken to otherwise. Raises `Refused` or `AgentFailed`.
        """
        probe = OpenCode2Client(self.url, self._password)
        likely = expected or STABLE
        try:
            return likely, await probe._version(likely.health)
        except Refused as refused:
            if refused.status in (401, 403) or likely is PREVIEW:
                raise
            # A server of version 1 answers the preview's question as well.
            with contextlib.suppress(Refused):
                return STABLE, await probe._version(HEALTH_OF_VERSION_1)
            if expected is not None:
                raise
            return PREVIEW, await probe._version(PREVIEW.health)
        finally:
            await probe.close()

    async def _version(self, path: str) -> str:
        told = await self.get(path, HEALTH_TIMEOUT_S)
        return str(told.get("version") or "") if isinstance(told, dict) else ""

    def events(self) -> AsyncIterator[Frame | None]:
        """Yield the events of every session; see `HttpClient.stream`."""
        return self.stream("/api/event", SILENCE_S)

    async def data(self, path: str, directory: Path | None = None) -> Any:
        """Return what a call answers, of a folder if it is one of a folder.

        Raises `Refused` or `AgentFailed`.
        """
        where = f"?location[directory]={quote(str(directory))}" if directory else ""
        answer = await self.get(f"{path}{where}")
        return answer["data"] if isinstance(answer, dict) and "data" in answer else answer

    async def log(self, names: Names, session: str, after: int) -> list[Frame]:
        """Return a session's numbered events behind one. Raises `Refused` or `AgentFailed`."""
        path, frames = names.log.format(session), []
        if names is not PREVIEW:
            async for frame in self.stream(f"{path}?after={after}", CALL_TIMEOUT_S):
                if frame is not None and "durable" not in frame:
                    break  # The mark that there are no more.
                frames += [] if frame is None else [frame]
            return frames
        while True:
            page = await self.get(f"{path}?after={after}&limit={PAGE}")
            frames += page["data"]
            if not page["data"] or not page.get("hasMore"):
                return frames
            after = seq_of(page["data"][-1])


def seq_of(frame: Frame) -> int:
    """Return the number of an event, 0 for one that is not kept."""
    durable = frame.get("durable")
    return int(durable["seq"]) if isinstance(durable, dict) else 0

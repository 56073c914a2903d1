"""OpenCode's v1 API: a directory's view of a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from midflight.agents.opencode.http import HEALTH_TIMEOUT_S, Frame, HttpClient
from midflight.agents.opencode.server import Refused

SILENCE_S = 25.0
"""The server sends a heartbeat every 10 seconds: after this long the stream is dead."""


class OpenCodeClient(HttpClient):
    """One directory's view of a server."""

    def __init__(self, url: str, password: str | None, directory: Path | None = None) -> None:
        """Nothing is connected yet; without a password the server must be an open one."""
        super().__init__(url, password, {"directory": str(directory)} if directory else None)

    def at(self, directory: Path) -> OpenCodeClient:
        """Return a client of the same server for a directory."""
        return OpenCodeClient(self.url, self._password, directory)

    def events(self) -> AsyncIterator[Frame | None]:
        """Yield the directory's events; see `HttpClient.stream`."""
        return self.stream("/event", SILENCE_S)

    async def version(self) -> str:
        """Return the server's version, asked on a connection of its own.

        Raises `Refused` or `AgentFailed`.
        """
        probe = OpenCodeClient(self.url, self._password)
        try:
            try:
                health = await probe.get("/global/health", HEALTH_TIMEOUT_S)
            except Refused as refused:
                health = await probe._of_version_2(refused)
            return str(health.get("version", "")) if isinstance(health, dict) else ""
        finally:
            await probe.close()

    async def _of_version_2(self, refused: Refused) -> Any:
        """Return what a server of OpenCode 2 says of itself, which has none of these calls.

        Where it does not either: raises ``refused``.
        """
        if refused.status in (401, 403):
            raise refused
        try:
            return await self.get("/api/info", HEALTH_TIMEOUT_S)
        except Refused:
            raise refused from None

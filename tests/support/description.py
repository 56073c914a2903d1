"""What an OpenCode server says of itself."""

from __future__ import annotations

from typing import Any

import httpx2

from midflight.testing.opencode import OpenCodeServer

PATIENCE_S = 50.0
"""The server makes the description anew each time, which takes long on a busy machine."""


async def description(server: OpenCodeServer) -> dict[str, Any]:
    """Return its routes and the shapes of its data, as OpenAPI has them."""
    key = ("opencode", server.env["OPENCODE_SERVER_PASSWORD"])
    async with httpx2.AsyncClient(auth=key, timeout=PATIENCE_S, trust_env=False) as http:
        answer = await http.get(f"{server.url}/doc")
        described: dict[str, Any] = answer.raise_for_status().json()
        return described

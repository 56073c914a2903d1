"""What drivers check before anything starts."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midflight.errors import AgentUnavailable, UnsupportedOption

__all__ = ["check_servers", "runnable"]


def runnable(path: Path, install: str) -> Path:
    """Return a program that can be run. Raises `AgentUnavailable` that says what to do."""
    if not path.is_file():
        raise AgentUnavailable(f"{path} does not exist", install)
    if not os.access(path, os.X_OK):
        raise AgentUnavailable(f"{path} is not executable", f"chmod +x {path}")
    return path


def check_servers(mcp_servers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `UnsupportedOption` for an MCP server within this program: no agent reaches it."""
    for name, server in mcp_servers.items():
        if server.get("type") == "sdk":
            raise UnsupportedOption(
                "mcp_servers", f"{name!r} is an in-process server", "run it over stdio or http"
            )

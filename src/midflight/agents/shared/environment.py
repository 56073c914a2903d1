"""What an agent's program starts in: checked before anything starts, and its environment."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from midflight._util.own_variables import for_others
from midflight.environment import of_terminal
from midflight.errors import AgentUnavailable, UnsupportedOption
from midflight.options import SERVERS_VARIABLE

CLAUDE_CODE = ("CLAUDECODE", "CLAUDE_CODE_ENTRYPOINT", "CLAUDE_CODE_SSE_PORT")
"""By these variables a new Claude Code would take itself for part of one that midflight runs in."""


def inherited(without: Collection[str]) -> dict[str, str]:
    """Return the environment of this process without some variables, other servers and our own.

    Those of a terminal come with the options: they are the session's, see `lineage.marked`.
    """
    out = {*without, SERVERS_VARIABLE}
    return {
        name: value
        for name, value in for_others(os.environ).items()
        if name not in out and not of_terminal(name)
    }


def runnable(path: Path, install: str) -> Path:
    """Return a program that can be run. Raises `AgentUnavailable` that says what to do."""
    if not path.is_file():
        raise AgentUnavailable(f"{path} does not exist", install)
    if not os.access(path, os.X_OK):
        raise AgentUnavailable(f"{path} is not executable", f"chmod +x {path}")
    return path


def check_servers(mcp_servers: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise `UnsupportedOption` for an MCP server in this process: no agent can reach it."""
    for name, server in mcp_servers.items():
        if server.get("type") == "sdk":
            raise UnsupportedOption(
                "mcp_servers", f"{name!r} is an in-process server", "run it over stdio or http"
            )

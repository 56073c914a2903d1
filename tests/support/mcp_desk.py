"""What a model does with the tools, through the official client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp_types import CallToolResult, TextContent


class Desk:
    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder

    async def call(self, tool: str, **given: Any) -> CallToolResult:
        result = await self.client.call_tool(tool, given)
        assert isinstance(result, CallToolResult)
        return result

    async def ask(self, tool: str, **given: Any) -> dict[str, Any]:
        """Call a tool that works, and return what it gives back; it says it in words too."""
        result = await self.call(tool, **given)
        assert not result.is_error, said(result)
        assert isinstance(result.structured_content, dict)
        assert said(result)
        return result.structured_content

    async def refused(self, tool: str, **given: Any) -> str:
        """Call a tool that does not, and return why not."""
        result = await self.call(tool, **given)
        assert result.is_error, said(result)
        return said(result)

    async def dispatch(self, task: str, **given: Any) -> dict[str, Any]:
        return await self.ask("dispatch", task=task, agent="fake", cwd=str(self.folder), **given)

    async def wait(self, **given: Any) -> dict[str, Any]:
        """Wait for one session, and return what is said of it."""
        (report,) = (await self.ask("wait", timeout_s=10, **given))["sessions"]
        assert isinstance(report, dict)
        return report


def said(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))

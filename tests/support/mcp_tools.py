"""What a model does with the tools, through the official client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mcp.client.client import Client
from mcp_types import CallToolResult, TextContent

from midflight.testing import ToolCall

WRITE = ToolCall("Write", {"file_path": "new", "content": "new"})
ASK = ToolCall(
    "AskUserQuestion",
    {
        "questions": [
            {
                "question": "Which?",
                "header": "W",
                "multiSelect": False,
                "options": [
                    {"label": "A", "description": "a"},
                    {"label": "B", "description": "b"},
                ],
            }
        ]
    },
)


class Tools:
    def __init__(self, client: Client, folder: Path) -> None:
        self.client = client
        self.folder = folder

    async def call(self, tool: str, **args: Any) -> CallToolResult:
        result = await self.client.call_tool(tool, args)
        assert isinstance(result, CallToolResult)
        return result

    async def ask(self, tool: str, **args: Any) -> dict[str, Any]:
        """Call a tool, and return its result, which has text as well."""
        result = await self.call(tool, **args)
        assert not result.is_error, text_of(result)
        assert isinstance(result.structured_content, dict)
        assert text_of(result)
        return result.structured_content

    async def refused(self, tool: str, **args: Any) -> str:
        """Call a tool that fails, and return the text of its error."""
        result = await self.call(tool, **args)
        assert result.is_error, text_of(result)
        return text_of(result)

    async def dispatch(self, task: str, **args: Any) -> dict[str, Any]:
        return await self.ask("dispatch", task=task, agent="fake", cwd=str(self.folder), **args)

    async def wait(self, **args: Any) -> dict[str, Any]:
        """Wait for one session, and return its report."""
        (report,) = (await self.ask("wait", timeout_s=50, **args))["sessions"]
        assert isinstance(report, dict)
        return report


def text_of(result: CallToolResult) -> str:
    return "\n".join(part.text for part in result.content if isinstance(part, TextContent))

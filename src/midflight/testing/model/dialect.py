"""Claude's tools in the words of OpenCode, so that one script serves both.

A script calls tools as Claude knows them: ``ToolCall("Bash", {"command": "ls"})``. A request that
does not offer such a tool, but OpenCode's, gets the call in OpenCode's words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from midflight.testing.model.script import ModelRequest, Part, ToolCall

MCP = "mcp__"
"""How Claude's names of MCP tools begin: ``mcp__server__tool``. OpenCode says ``server_tool``."""


class Tool(NamedTuple):
    """A tool's name, its fields by Claude's, values that differ, and what must be there.

    ``each`` names the list whose items need the defaults; else the input itself does.
    """

    name: str
    fields: Mapping[str, str] = {}
    values: Mapping[str, str] = {}
    defaults: Mapping[str, Any] = {}
    each: str = ""


_FILE = {"file_path": "filePath"}
_TASK = Tool("task", values={"general-purpose": "general"})

OPENCODE: Mapping[str, Tool] = {
    "Agent": _TASK,
    "AskUserQuestion": Tool("question", {"multiSelect": "multiple"}),
    "Bash": Tool("bash"),
    "Edit": Tool(
        "edit",
        _FILE | {"old_string": "oldString", "new_string": "newString", "replace_all": "replaceAll"},
    ),
    "Glob": Tool("glob"),
    "Grep": Tool("grep", {"glob": "include"}),
    "Read": Tool("read", _FILE),
    "Skill": Tool("skill", {"skill": "name"}),
    "Task": _TASK,
    "TodoWrite": Tool("todowrite", defaults={"priority": "medium"}, each="todos"),
    "WebFetch": Tool("webfetch", defaults={"format": "text"}),
    "Write": Tool("write", _FILE),
}
"""OpenCode's tools, by the name of Claude's."""

_PATH = {"file_path": "path"}
_SUBAGENT = Tool("subagent", {"subagent_type": "agent"}, values=_TASK.values)

OPENCODE_2: Mapping[str, Tool] = {
    **OPENCODE,
    "Agent": _SUBAGENT,
    "Bash": Tool("shell"),
    "Edit": Tool("edit", {**OPENCODE["Edit"].fields, **_PATH}),
    "Read": Tool("read", _PATH),
    "Task": _SUBAGENT,
    "Write": Tool("write", _PATH),
}
"""Those of OpenCode 2; its preview has the first version's names for commands and sub-agents."""

_NAMES = {tool.name for tools in (OPENCODE, OPENCODE_2) for tool in tools.values()}


def offers(request: ModelRequest, name: str) -> bool:
    """Return whether a request offers a tool, by Claude's name or in the agent's own words."""
    return name in request.tools or _tool(name, request).name in request.tools


def _tool(name: str, request: ModelRequest) -> Tool:
    """Return the tool that the agent which asked has in the place of Claude's."""
    if name.startswith(MCP):
        return Tool(name.removeprefix(MCP).replace("__", "_", 1))
    if not _is_opencode_2(request):
        return OPENCODE.get(name, Tool(name))
    tool, before = OPENCODE_2.get(name, Tool(name)), OPENCODE.get(name, Tool(name))
    return before if before.name in request.tools and tool.name != before.name else tool


def _is_opencode_2(request: ModelRequest) -> bool:
    """Tell whether its tools are those of OpenCode 2: a file's key there is ``path``."""
    schemas = {tool.get("name"): tool.get("input_schema") for tool in request.body.get("tools", ())}
    return "path" in ((schemas.get("read") or {}).get("properties") or {})


def translated(part: Part, request: ModelRequest) -> Part:
    """Return a part of a step in the words of the agent that asked."""
    if not isinstance(part, ToolCall) or part.name in request.tools:
        return part
    if not _NAMES.intersection(request.tools):
        return part
    tool = _tool(part.name, request)
    return replace(part, name=tool.name, input=_input(part, tool))


def _input(part: ToolCall, tool: Tool) -> dict[str, Any]:
    """Rename the fields at every depth, and add what must be there."""

    def renamed(value: Any) -> Any:
        match value:
            case Mapping():
                return {tool.fields.get(key, key): renamed(item) for key, item in value.items()}
            case list() | tuple():
                return [renamed(item) for item in value]
            case str():
                return tool.values.get(value, value)
        return value

    args: dict[str, Any] = renamed(part.input)
    if not tool.each:
        return {**tool.defaults, **args}
    return {**args, tool.each: [{**tool.defaults, **item} for item in args[tool.each]]}

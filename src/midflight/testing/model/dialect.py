"""Claude's tools in the words of other agents, so that one script serves them all.

A script calls tools as Claude knows them: ``ToolCall("Bash", {"command": "ls"})``. A request that
does not offer such a tool, but those of another agent, gets the call in that agent's words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from midflight.testing.model.script import ModelRequest, Part, ToolCall

MCP = "mcp__"
"""How Claude's names of MCP tools begin: ``mcp__server__tool``."""


class Tool(NamedTuple):
    """A tool's name, its fields by Claude's, values that differ, and what must be there.

    ``each`` names the list whose items need the defaults; else the input itself does. A field whose
    name is empty is left out. ``make`` makes the input where it is another one altogether.
    """

    name: str
    fields: Mapping[str, str] = {}
    values: Mapping[str, str] = {}
    defaults: Mapping[str, Any] = {}
    each: str = ""
    make: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None


class Dialect(NamedTuple):
    """An agent's tools, by the name of Claude's, and how it names those of an MCP server."""

    tools: Mapping[str, Tool]
    mcp: str = "mcp__{server}__{tool}"

    def spoken(self, name: str) -> str:
        """Return the agent's name of a tool of an MCP server."""
        server, _, tool = name.removeprefix(MCP).partition("__")
        return self.mcp.format(server=server, tool=tool)


def _escalated(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a command of Codex's that asks to run outside its sandbox, which writes nothing."""
    why = str(call.get("description") or "the script says so")
    return {
        "cmd": call["command"],
        "sandbox_permissions": "require_escalated",
        "justification": why,
        "yield_time_ms": 30_000,  # after that it would go on beside the turn
    }


def _added(call: Mapping[str, Any]) -> Mapping[str, Any]:
    lines = str(call["content"]).splitlines() or [""]
    body = "\n".join(f"+{line}" for line in lines)
    return _patch(f"*** Add File: {call['file_path']}\n{body}")


def _updated(call: Mapping[str, Any]) -> Mapping[str, Any]:
    before = (f"-{line}" for line in str(call["old_string"]).splitlines())
    after = (f"+{line}" for line in str(call["new_string"]).splitlines())
    hunk = "\n".join(("@@", *before, *after))
    return _patch(f"*** Update File: {call['file_path']}\n{hunk}")


def _patch(body: str) -> Mapping[str, Any]:
    return {"input": f"*** Begin Patch\n{body}\n*** End Patch\n"}


_FILE = {"file_path": "filePath"}
_TASK = Tool("task", values={"general-purpose": "general"})

OPENCODE = Dialect(
    {
        "Agent": _TASK,
        "AskUserQuestion": Tool("question", {"multiSelect": "multiple"}),
        "Bash": Tool("bash"),
        "Edit": Tool(
            "edit",
            _FILE
            | {"old_string": "oldString", "new_string": "newString", "replace_all": "replaceAll"},
        ),
        "Glob": Tool("glob"),
        "Grep": Tool("grep", {"glob": "include"}),
        "Read": Tool("read", _FILE),
        "Skill": Tool("skill", {"skill": "name"}),
        "Task": _TASK,
        "TodoWrite": Tool("todowrite", defaults={"priority": "medium"}, each="todos"),
        "WebFetch": Tool("webfetch", defaults={"format": "text"}),
        "Write": Tool("write", _FILE),
    },
    mcp="{server}_{tool}",
)
_PATH = {"file_path": "path"}
_SUBAGENT = Tool("subagent", {"subagent_type": "agent"}, values=_TASK.values)

OPENCODE_2 = Dialect(
    {
        **OPENCODE.tools,
        "Agent": _SUBAGENT,
        "Bash": Tool("shell"),
        "Edit": Tool("edit", {**OPENCODE.tools["Edit"].fields, **_PATH}),
        "Read": Tool("read", _PATH),
        "Task": _SUBAGENT,
        "Write": Tool("write", _PATH),
    },
    mcp=OPENCODE.mcp,
)
"""OpenCode 2; its preview has the first version's names for commands and sub-agents."""

CODEX = Dialect(
    {
        "Bash": Tool("exec_command", make=_escalated),
        "Edit": Tool("apply_patch", make=_updated),
        "Read": Tool("exec_command", make=lambda call: {"cmd": f"cat '{call['file_path']}'"}),
        "Write": Tool("apply_patch", make=_added),
    },
)
COPILOT = Dialect(
    {
        "Agent": Tool(
            "task",
            {"subagent_type": "agent_type"},
            defaults={"name": "helper", "mode": "sync"},
        ),
        "Bash": Tool(
            "bash",
            {"run_in_background": ""},
            defaults={"description": "run it", "mode": "sync", "initial_wait": 30},
        ),
        "Edit": Tool(
            "edit", {"file_path": "path", "old_string": "old_str", "new_string": "new_str"}
        ),
        "Glob": Tool("glob", {"path": "paths"}),
        "Grep": Tool("grep", {"path": "paths"}),
        "Read": Tool("view", {"file_path": "path"}),
        "Skill": Tool("skill"),
        "WebFetch": Tool("web_fetch"),
        "Write": Tool("create", {"file_path": "path", "content": "file_text"}),
    },
    mcp="{server}-{tool}",
)
GEMINI = Dialect(
    {
        "Agent": Tool(
            "invoke_agent",
            {"subagent_type": "agent_name", "description": ""},
            values={"general-purpose": "generalist"},
        ),
        "AskUserQuestion": Tool("ask_user", defaults={"type": "choice"}, each="questions"),
        "Bash": Tool("run_shell_command", {"run_in_background": "is_background"}),
        "Edit": Tool(
            "replace",
            {"replace_all": "allow_multiple"},
            defaults={"instruction": "change it"},
        ),
        "Glob": Tool("glob", {"path": "dir_path"}),
        "Grep": Tool("grep_search", {"path": "dir_path", "glob": "include_pattern"}),
        "Read": Tool("read_file", {"offset": "start_line", "limit": ""}),
        "Skill": Tool("activate_skill", {"skill": "name"}),
        "TodoWrite": Tool("write_todos", {"content": "description", "activeForm": ""}),
        "WebFetch": Tool("web_fetch", make=lambda call: {"prompt": f"read {call['url']}"}),
        "Write": Tool("write_file"),
    },
    mcp="mcp_{server}_{tool}",
)
QWEN = Dialect(
    {
        "Agent": Tool("agent"),
        "AskUserQuestion": Tool("ask_user_question"),
        "Bash": Tool(
            "run_shell_command",
            {"run_in_background": "is_background"},
            defaults={"is_background": False},
        ),
        "Edit": Tool("edit"),
        "Glob": Tool("glob"),
        "Grep": Tool("grep_search"),
        "Read": Tool("read_file"),
        "Skill": Tool("skill"),
        "TodoWrite": Tool("todo_write"),
        "WebFetch": Tool("web_fetch"),
        "Write": Tool("write_file"),
    },
)
_DIALECTS = (OPENCODE, CODEX, COPILOT, GEMINI, QWEN)


def offers(request: ModelRequest, name: str) -> bool:
    """Return whether a request offers a tool, by Claude's name or in the agent's own words."""
    return name in request.tools or _tool(name, request).name in request.tools


def translated(part: Part, request: ModelRequest) -> Part:
    """Return a part of a step in the words of the agent that asked."""
    if not isinstance(part, ToolCall) or part.name in request.tools:
        return part
    tool = _tool(part.name, request)
    if tool.name == part.name and not tool.fields:
        return part
    return replace(part, name=tool.name, input=_input(part, tool))


def _tool(name: str, request: ModelRequest) -> Tool:
    """Return the tool that the agent which asked has in the place of Claude's."""
    dialect = _dialect(request)
    if dialect is None:
        return Tool(name)
    if name.startswith(MCP):
        return Tool(dialect.spoken(name))
    tool = dialect.tools.get(name, Tool(name))
    if dialect is OPENCODE and _is_opencode_2(request):
        newer = OPENCODE_2.tools.get(name, tool)
        return tool if tool.name in request.tools and newer.name != tool.name else newer
    return tool


def _is_opencode_2(request: ModelRequest) -> bool:
    """Tell whether its tools are those of OpenCode 2: a file's key there is ``path``."""
    return "path" in (request.schemas.get("read", {}).get("properties") or {})


def _dialect(request: ModelRequest) -> Dialect | None:
    """Return the dialect of which most is offered: agents share some names of tools."""
    offered = set(request.tools)

    def words(dialect: Dialect) -> int:
        return len({tool.name for tool in dialect.tools.values()} & offered)

    best = max(_DIALECTS, key=words)
    return best if words(best) else None


def _input(part: ToolCall, tool: Tool) -> Mapping[str, Any]:
    """Rename the fields at every depth, and add what must be there."""
    if tool.make is not None:
        return tool.make(part.input)

    def renamed(value: Any) -> Any:
        match value:
            case Mapping():
                names = {key: tool.fields.get(key, key) for key in value}
                return {name: renamed(value[key]) for key, name in names.items() if name}
            case list() | tuple():
                return [renamed(item) for item in value]
            case str():
                return tool.values.get(value, value)
        return value

    args: dict[str, Any] = renamed(part.input)
    if not tool.each:
        return {**tool.defaults, **args}
    return {**args, tool.each: [{**tool.defaults, **item} for item in args[tool.each]]}

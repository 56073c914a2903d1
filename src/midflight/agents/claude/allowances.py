"""What a folder's own settings would allow: midflight asks for it all the same.

Claude Code obeys the allow list of a folder's settings, and what its hooks allow. A hook of
midflight's own, which is called before each tool call, has it ask for whatever these could cover.
That may be too much, and never too little.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from typing import Any

from midflight.agents.shared.read_only import is_read_only
from midflight.options import Options
from midflight.trust.stake import Stake
from midflight.values import PermissionMode

_RULE = re.compile(r"([\w*-]+)(?:\((.*)\))?", re.DOTALL)
EDITORS = frozenset({"Edit", "Write", "MultiEdit", "NotebookEdit"})
"""The tools that write a file."""

SHELLS = frozenset({"Bash", "PowerShell", "Monitor"})
"""The tools that run a command."""

_FAMILIES = {
    "Edit": EDITORS,
    "Read": {"Read", "Glob", "Grep", "LS"},
}
_PATHS = ("file_path", "path", "notebook_path")
_ASKED_ANYWAY = {"AskUserQuestion", "ExitPlanMode"}
_EFFECTS = {
    *("WebFetch", "WebSearch"),
    *SHELLS,
    *_FAMILIES["Edit"],
    *_FAMILIES["Read"],
}
"""What a rule for everything is about, besides the tools of MCP servers."""

_COMPOUND = re.compile(r"[;&|<>`$()\n\\]")
_WORDS = re.compile(r"[^\s;&|<>`$()'\"]+")


class Allowances:
    """The rules by which a folder would widen what the options allow."""

    def __init__(self, options: Options, stake: Stake, own: Iterable[str]) -> None:
        """``own`` are the rules of the user's settings; ``mode`` may be changed at any time."""
        self.mode: PermissionMode = options.permission_mode
        self._folders = [folder.resolve() for folder in (options.cwd, *options.add_dirs)]
        self._cwd = options.cwd
        self._rules = [
            rule
            for file in stake.files
            for consequence in file.consequences
            for rule in consequence.rules
        ]
        self._own = (*(options.allowed_tools or ()), *own)

    def __bool__(self) -> bool:
        """Tell whether there is any."""
        return bool(self._rules)

    def covers(self, tool: str, call: Mapping[str, Any]) -> bool:
        """Tell whether a call may be let through by the folder alone: then it has to be asked."""
        if tool in _ASKED_ANYWAY or self.mode == "bypassPermissions":
            return False
        inside = self._is_inside(call)
        if inside and (tool in _FAMILIES["Read"] or self._accepts(tool)):
            return False
        if tool in SHELLS and is_read_only(str(call.get("command") or ""), self._cwd):
            return False
        return any(_may_cover(rule, tool, call) for rule in self._rules) and not any(
            _covers(rule, tool, call) for rule in self._own
        )

    def _accepts(self, tool: str) -> bool:
        return self.mode == "acceptEdits" and tool in _FAMILIES["Edit"]

    def _is_inside(self, call: Mapping[str, Any]) -> bool:
        named = next((call[name] for name in _PATHS if isinstance(call.get(name), str)), "")
        path = (self._cwd / named).resolve()
        return any(path.is_relative_to(folder) for folder in self._folders)


def _is_of(name: str, tool: str) -> bool:
    if name == "*":
        return tool in _EFFECTS or tool.startswith("mcp__")
    return (
        tool in _FAMILIES.get(name, ())
        or fnmatch.fnmatchcase(tool, name)
        or (name.startswith("mcp__") and tool.startswith(f"{name}__"))
    )


def _may_cover(rule: str, tool: str, call: Mapping[str, Any]) -> bool:
    """Tell whether a rule of the folder could allow a call, however Claude Code reads it."""
    read = _RULE.fullmatch(rule.strip())
    if read is None:
        return True
    name, about = read[1], read[2]
    if not _is_of(name, tool):
        return False
    if tool not in SHELLS or not about:
        return True
    first = about.removesuffix(":*").split()[:1]
    return not first or "*" in first[0] or first[0] in _WORDS.findall(str(call.get("command")))


def _covers(rule: str, tool: str, call: Mapping[str, Any]) -> bool:
    """Tell whether a rule of the user's own surely allows a call."""
    read = _RULE.fullmatch(rule.strip())
    if read is None or not _is_of(read[1], tool):
        return False
    about = read[2]
    if about is None or about == "*":
        return True
    command = str(call.get("command") or "")
    if tool not in SHELLS or _COMPOUND.search(command):
        return False
    begin = about.removesuffix(":*").removesuffix(" *")
    return command == begin or (begin != about and command.startswith(f"{begin} "))

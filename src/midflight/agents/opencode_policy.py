"""What OpenCode may do without asking: midflight's permission modes in OpenCode's rules.

OpenCode's own "always" holds for every session of a folder, and its rules cannot be taken back, so
it is told to ask, and what need not be asked is answered here, ``once`` each time.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from midflight.errors import UnsupportedOption
from midflight.options import Options

__all__ = [
    "BASE",
    "UNRULED",
    "Asked",
    "Policy",
    "Verdict",
    "as_config",
    "check",
    "rules",
    "skills",
    "tool",
]

Rule = dict[str, str]

_TOOLS = {
    "Agent": "task",
    "AskUserQuestion": "question",
    "LS": "list",
    "MultiEdit": "edit",
    "NotebookEdit": "edit",
    "Task": "task",
    "TodoWrite": "todowrite",
    **{name: name.lower() for name in ("Bash", "Edit", "Glob", "Grep", "Read", "Skill", "Write")},
    **{name: name.lower() for name in ("WebFetch", "WebSearch")},
}
"""Claude's names for OpenCode's tools."""

_HARMLESS = (
    *("glob", "grep", "list", "lsp", "question", "read", "skill", "task"),
    *("todoread", "todowrite", "plan_enter", "plan_exit"),
)
"""What changes nothing. A sub-agent's own calls are asked for like any other."""

_EDITORS = frozenset({"edit", "write", "apply_patch"})
"""These share one permission, ``edit``."""

_LOOKS = frozenset({"doom_loop", "external_directory", "read", "webfetch", "websearch"})
"""What plan mode still asks for: the rest would change something, or may."""

_READ_ONLY = re.compile(
    r"(?:ls|pwd|cat|head|tail|wc|grep|stat|du|echo|true|whoami|uname|id|which)"
    r"(?: +(?!/)(?!-\S*/)(?!\S*=/)(?!\S*\.\.)(?!\S*\.env)[\w./=,+-]+)*",
    re.ASCII,
)
"""One plain command that only reads, on paths inside the folder. Everything else is asked for.

No shell text is taken apart to find out whether it is safe: a character that could mean anything
to a shell, or a path that could lead outside, does not match.
"""

_NOBODY_ASKED = "this session does not allow {}"
_PLAN = "plan mode changes nothing: say what you would do instead"


class Asked:
    """A permission request as OpenCode makes it, with the call that it is about."""

    def __init__(self, given: Mapping[str, Any], name: str, call_input: dict[str, Any]) -> None:
        """``name`` and ``call_input`` are the call's."""
        self.request = str(given["id"])
        self.session = str(given["sessionID"])
        self.permission = str(given["permission"])
        self.patterns = [str(pattern) for pattern in given.get("patterns") or ()]
        self.call = str((given.get("tool") or {}).get("callID", ""))
        self.name = name
        self.input = call_input


class Verdict(NamedTuple):
    """What a request gets without anybody being asked; ``ask`` is for somebody to answer."""

    decision: Literal["allow", "deny", "ask"]
    reason: str = ""


def tool(name: str) -> str:
    """Return OpenCode's name for a tool, given by Claude's or by its own."""
    if name.startswith("mcp__"):
        return "_".join(name.split("__")[1:])
    return _TOOLS.get(name, name)


def check(options: Options) -> None:
    """Raise `UnsupportedOption` for a rule about a part of a tool: text rules are no wall."""
    for option in ("allowed_tools", "disallowed_tools"):
        for name in getattr(options, option) or ():
            if not re.fullmatch(r"[\w.-]+", name):
                raise UnsupportedOption(
                    option, f"{name!r} is not the name of a tool", "OpenCode's tools are whole"
                )


def _names(given: Iterable[str] | None) -> frozenset[str]:
    return frozenset(tool(name) for name in given or ())


def rules(options: Options) -> list[Rule]:
    """Return what this session's rules add to `BASE`; of several that fit, the last one holds.

    A sub-agent inherits what is denied, not what is allowed.
    """
    denied = _names(options.disallowed_tools)
    told = [_rule(name, "deny") for name in sorted(denied - _EDITORS)]
    if denied >= {"edit", "write"}:
        told.append(_rule("edit", "deny"))
    return told


def skills(options: Options) -> list[Rule]:
    """Return the rules that leave only the named skills.

    They hide the others, for sub-agents too, only where the server is started with them.
    """
    if options.skills is None:
        return []
    named = [_rule("skill", "allow", skill.split(":")[-1]) for skill in options.skills]
    return [_rule("skill", "deny"), *named]


def _rule(permission: str, action: str, pattern: str = "*") -> Rule:
    return {"permission": permission, "pattern": pattern, "action": action}


BASE = [
    _rule("*", "ask"),
    *(_rule(name, "allow") for name in _HARMLESS),
    _rule("read", "ask", "*.env"),
    _rule("read", "ask", "*.env.*"),
]
"""What every session begins with: whatever may change something is asked for."""

UNRULED = [_rule("task", "ask")]
"""What a session of somebody else's server needs: a sub-agent has that server's rules, not ours."""


def as_config(given: Iterable[Rule]) -> dict[str, Any]:
    """Return rules as the configuration has them: permission → pattern → action."""
    config: dict[str, Any] = {}
    for rule in given:
        config.setdefault(rule["permission"], {})[rule["pattern"]] = rule["action"]
    return {
        permission: patterns["*"] if set(patterns) == {"*"} else patterns
        for permission, patterns in config.items()
    }


class Policy:
    """Decides requests by the options and the permission mode, as far as these decide."""

    def __init__(self, options: Options) -> None:
        """``mode`` may be changed at any time."""
        self.mode = options.permission_mode
        self._allowed = _names(options.allowed_tools)
        self._denied = _names(options.disallowed_tools)
        self._folders = options.add_dirs
        self._cwd = options.cwd.resolve()

    def __call__(self, asked: Asked) -> Verdict:
        """Return the verdict on a request."""
        names = {asked.name, asked.permission}
        if names & self._denied:
            return Verdict("deny", _NOBODY_ASKED.format(asked.name))
        if asked.name in self._allowed or self._reads_only(asked) or self._inside(asked):
            return Verdict("allow")
        if self.mode == "plan" and asked.permission not in _LOOKS:
            return Verdict("deny", _PLAN)
        if self.mode == "acceptEdits" and asked.permission == "edit":
            return Verdict("allow")
        return Verdict("ask")

    def _inside(self, asked: Asked) -> bool:
        """Tell whether it is about folders that were added to the session's own."""
        return (
            asked.permission == "external_directory"
            and bool(asked.patterns)
            and all(
                any(Path(os.path.normpath(pattern)).is_relative_to(each) for each in self._folders)
                for pattern in asked.patterns
            )
        )

    def _reads_only(self, asked: Asked) -> bool:
        """Tell whether it is a plain command that reads, and no link leads it out of the folder."""
        command = asked.input.get("command")
        if asked.permission != "bash" or not isinstance(command, str):
            return False
        if _READ_ONLY.fullmatch(command) is None:
            return False
        paths = [(self._cwd / word).resolve() for word in command.split()[1:]]
        return all(path.is_relative_to(self._cwd) for path in paths)

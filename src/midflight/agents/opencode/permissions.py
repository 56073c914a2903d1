"""What OpenCode may do without asking: midflight's permission modes in OpenCode's rules.

OpenCode's own "always" holds for every session of a folder, and its rules cannot be taken back, so
it is configured to ask, and what needs no person is answered here, ``once`` each time.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from midflight.agents.shared.read_only import is_read_only
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.trust.protected import WHY, Protected

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

KEPT_ASKED = 100
"""Of so many requests about folders outside it is kept which call they were about."""

_NOT_ALLOWED = "this session does not allow {}"
_PLAN = "plan mode changes nothing: say what you would do instead"


class PermissionRequest:
    """A permission request as OpenCode makes it, with the call that it is about."""

    def __init__(
        self, properties: Mapping[str, Any], name: str, call_input: dict[str, Any]
    ) -> None:
        """``name`` and ``call_input`` are the call's."""
        self.request = str(properties["id"])
        self.permission = str(properties["permission"])
        self.patterns = [str(pattern) for pattern in properties.get("patterns") or ()]
        self.name = name
        self.input = call_input
        self.call = str((properties.get("tool") or {}).get("callID", ""))
        self.files = list(_files(properties.get("metadata") or {}))


def _files(about: Mapping[str, Any]) -> Iterator[str]:
    """Yield the files that an edit writes, as OpenCode itself has resolved them; a patch has many.

    A file that a patch moves is one at both places.
    """
    parts = about.get("files")
    if not isinstance(parts, list):
        parts = [{"filePath": about.get("filepath")}]
    for part in parts:
        for key in ("filePath", "movePath"):
            if isinstance(part, dict) and isinstance(part.get(key), str):
                yield part[key]


class Verdict(NamedTuple):
    """What the options decide of a request; ``ask`` leaves it to the session."""

    decision: Literal["allow", "deny", "ask"]
    reason: str = ""


def tool(name: str) -> str:
    """Return OpenCode's name for a tool, from Claude's name or its own.

    An MCP server as a whole (``mcp__server``) becomes a pattern of all its tools.
    """
    if not name.startswith("mcp__"):
        return _TOOLS.get(name, name)
    server, *own = (re.sub(r"[^\w-]", "_", part) for part in name.split("__")[1:])
    return "_".join([server, *own]) if own else f"{server}_*"


def check(options: Options) -> None:
    """Raise `UnsupportedOption` for a rule about a part of a tool: text rules are no wall."""
    for option in ("allowed_tools", "disallowed_tools"):
        for name in getattr(options, option) or ():
            if not re.fullmatch(r"[\w.-]+", name):
                raise UnsupportedOption(
                    option, f"{name!r} is not the name of a tool", "OpenCode's tools are whole"
                )


def _names(names: Iterable[str] | None) -> frozenset[str]:
    return frozenset(tool(name) for name in names or ())


def rules(options: Options, agents: Iterable[Mapping[str, Any]], agent: str) -> list[Rule]:
    """Return a session's rules; of several that fit, the last one holds.

    They stand behind those of OpenCode's ``agents``, which a project can loosen; what ``agent``,
    the one at work, is denied stays denied. A sub-agent has its own agent's rules, and of these
    only what is denied, so where an agent is loose, the sub-agent itself is asked for.
    """
    session_rules = [
        rule for rule in BASE if options.skills is None or rule["permission"] != "skill"
    ]
    by_agent = {each.get("name"): list(each.get("permission") or ()) for each in agents}
    if options.server_url is not None or any(_loose(each) for each in by_agent.values()):
        session_rules.append(_rule("task", "ask"))
    session_rules += _denials(by_agent.get(agent, []))
    denied = _names(options.disallowed_tools)
    session_rules += [_rule(name, "deny") for name in sorted(denied - _EDITORS)]
    if denied >= {"edit", "write"}:
        session_rules.append(_rule("edit", "deny"))
    if options.skills == ():
        session_rules.append(_rule("skill", "deny"))
    return session_rules


def _loose(permission: list[Rule]) -> bool:
    """Tell whether an agent may do without asking what `BASE` has asked for."""
    last = max((i for i, rule in enumerate(permission) if _is_base(rule)), default=-1)
    return any(
        rule["action"] == "allow" and rule["permission"] not in (*_HARMLESS, "external_directory")
        for rule in permission[last + 1 :]
    )


def asks(permission: list[Rule]) -> bool:
    """Tell whether an agent with these rules asks for all that `BASE` has asked for."""
    return any(map(_is_base, permission)) and not _loose(permission)


def _is_base(rule: Rule) -> bool:
    return (rule["permission"], rule["pattern"], rule["action"]) == ("*", "*", "ask")


def _denials(permission: list[Rule]) -> list[Rule]:
    """Return the denials of an agent that nothing behind them takes back."""
    return [
        rule
        for i, rule in enumerate(permission)
        if rule["action"] == "deny"
        and not any(
            later["permission"] in (rule["permission"], "*")
            and later["pattern"] in (rule["pattern"], "*")
            for later in permission[i + 1 :]
        )
    ]


def skills(options: Options) -> list[Rule]:
    """Return the rules of a server that offers only the named skills, to sub-agents too."""
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


def as_config(listed: Iterable[Rule]) -> dict[str, Any]:
    """Return rules as the configuration has them: permission → pattern → action."""
    config: dict[str, Any] = {}
    for rule in listed:
        config.setdefault(rule["permission"], {})[rule["pattern"]] = rule["action"]
    return {
        permission: patterns["*"] if set(patterns) == {"*"} else patterns
        for permission, patterns in config.items()
    }


class OpenCodePermissions:
    """Decides requests by the options and the permission mode, where these decide.

    ``protected`` is known once the session starts.
    """

    protected: Protected

    def __init__(self, options: Options) -> None:
        """``mode`` may be changed at any time."""
        self.mode = options.permission_mode
        self._allowed = _names(options.allowed_tools)
        self._denied = _names(options.disallowed_tools)
        self._folders = options.add_dirs
        self._cwd = options.cwd
        self._outside: deque[tuple[str, str]] = deque(maxlen=KEPT_ASKED)
        named = options.skills
        self._skills = None if named is None else {name.split(":")[-1] for name in named}

    def __call__(self, asked: PermissionRequest) -> Verdict:
        """Return the verdict on a request."""
        if self._is_denied(asked):
            return Verdict("deny", _NOT_ALLOWED.format(asked.name))
        if asked.permission == "skill" and self._skills is not None:
            named = set(asked.patterns) <= self._skills
            return Verdict("allow") if named else Verdict("deny", _NOT_ALLOWED.format("this skill"))
        if self._reads_only(asked) or self._inside(asked):
            return Verdict("allow")
        if self.mode == "plan" and asked.permission not in _LOOKS:
            return Verdict("deny", _PLAN)
        if self._guards(asked):
            return Verdict("ask", WHY)
        edits = self.mode == "acceptEdits" and asked.permission == "edit" and self._within(asked)
        if edits or _fits(asked.name, self._allowed):
            return Verdict("allow")
        if asked.permission == "external_directory":
            self._outside += [(asked.call, pattern) for pattern in asked.patterns]
        return Verdict("ask")

    def _guards(self, asked: PermissionRequest) -> bool:
        """Tell whether a call writes a protected file, or one that is not told."""
        if asked.permission == "edit":
            return not asked.files or any(map(self.protected, asked.files))
        command, folder = asked.input.get("command"), asked.input.get("workdir")
        if asked.permission != "bash" or not isinstance(command, str):
            return False
        return self.protected.named_in(command, str(self._cwd / str(folder or "")))

    def _within(self, asked: PermissionRequest) -> bool:
        """Tell whether all files lie in the folders, or the call was asked for as one outside.

        OpenCode compares paths as text, so a link leads out of the folder without being asked for.
        """
        return all(
            self._is_inside(Path(file)) or (asked.call, f"{Path(file).parent}/*") in self._outside
            for file in asked.files
        )

    def _is_inside(self, path: Path) -> bool:
        """Tell whether a path leads into the session's folders, by whatever links."""
        real = (self._cwd / path).resolve()
        return any(real.is_relative_to(folder) for folder in (self._cwd, *self._folders))

    def _is_denied(self, asked: PermissionRequest) -> bool:
        """Tell whether the tool was ruled out; one editor is not another, but patches do both."""
        if asked.permission != "edit":
            return _fits(asked.name, self._denied) or _fits(asked.permission, self._denied)
        if asked.name not in ("edit", "write"):
            return bool(self._denied & _EDITORS)
        return asked.name in self._denied

    def _inside(self, asked: PermissionRequest) -> bool:
        """Tell whether it is about the session's folders, or OpenCode's own notes.

        OpenCode takes its own folder for one outside where a link leads to it.
        """
        if asked.name == "read" and asked.patterns and all(map(_is_note, asked.patterns)):
            return True
        return (
            asked.permission == "external_directory"
            and bool(asked.patterns)
            and all(self._is_inside(Path(pattern)) for pattern in asked.patterns)
        )

    def _reads_only(self, asked: PermissionRequest) -> bool:
        """Tell whether it is a plain command that reads, and no link leads it out of the folder."""
        command = asked.input.get("command")
        if asked.permission != "bash" or not isinstance(command, str):
            return False
        if asked.input.get("workdir"):
            return False  # Its paths would mean something else.
        return is_read_only(command, self._cwd)


def _fits(name: str, names: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, each) for each in names)


def _is_note(pattern: str) -> bool:
    """Tell whether a pattern is of the folder where OpenCode puts output that is too long."""
    return os.path.normpath(pattern).endswith("/opencode/tool-output/*")

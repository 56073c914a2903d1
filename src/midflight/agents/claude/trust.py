"""What Claude Code obeys of a folder, and what it is told where the user does not trust that.

The names were read from the program; a test compares them with those of the installed one.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from midflight._util.files import open_regular
from midflight.agents.shared import folder_settings
from midflight.agents.shared.folder_settings import json_object, part, shown
from midflight.agents.shared.only_here import in_tools, servers_in
from midflight.options import Options
from midflight.trust.repository import repository_of
from midflight.trust.stake import Consequence, Obeyed, Stake, folders, home

REDIRECTS = (
    *("apiKeyHelper", "proxyAuthHelper", "forceLoginGatewayUrl", "modelOverrides"),
    *("autoUploadSessions", "remoteControl", "remoteControlAtStartup", "crossSessionInbound"),
)
"""Settings by which keys or the conversation go elsewhere, besides those in ``env``."""

PROGRAMS = (
    *("awsAuthRefresh", "awsCredentialExport", "gcpAuthRefresh", "otelHeadersHelper"),
    *(
        "statusLine",
        "subagentStatusLine",
        "fileSuggestion",
        "processWrapper",
        "sshHostCommands",
        "sshConfigs",
    ),
    *("enabledPlugins", "extraKnownMarketplaces", "additionalMarketplaces", "policyHelper"),
    *("policyHelpers", "pluginConfigs", "defaultShell", "worktree"),
)
"""Settings that name programs, or where programs come from."""

ALLOWANCES = (
    "sandbox",
    "skipDangerousModePermissionPrompt",
    "skipAutoPermissionPrompt",
    "autoMode",
)
"""Settings that may have calls of tools not be asked for, besides those in ``permissions``."""

_DECIDING = ("PreToolUse", "PermissionRequest")
"""Hooks that can allow a call."""

_HARMLESS = {"type", "timeout", "statusMessage", "padding", "refreshInterval"}
"""Fields of a hook or program that do not change what runs."""

_LISTS = ("allow", "deny", "ask", "additionalDirectories")
_SETTINGS = (".claude/settings.json", ".claude/settings.local.json")

MAX_TEXT = 400_000
"""How many characters of instructions are handed on in a start without the folder's settings."""

_SKILL = re.compile(r"(?:^|/)\.claude/(?:skills/(.+)/SKILL|commands/(.+))\.md$")
_NAME = re.compile(r"""^name:[ \t]*["']?([\w-]+)""", re.MULTILINE)
_NAMED = re.compile(r"(Skill|Agent|Task)\(([^()]+)\)|mcp__(.+?)(?:__.*)?")
"""A rule that names a skill, a sub-agent or an MCP server."""

_TOO_LONG = f"without the folder's settings the model gets {MAX_TEXT:,} characters of such texts"
_BYTES_OF_A_CHARACTER = 4

IMPORTS_DEEP = 5
_IMPORT = re.compile(r"(?<![\w`])@((?:~/|\.{0,2}/)?[\w./~-]+)")


def read(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a file has Claude Code do. Raises `ValueError` if it leaves the file out."""
    if name in _SETTINGS:
        yield from _settings(json_object(body))
    elif name == ".mcp.json":
        yield from folder_settings.mcp_servers(part(json_object(body), "mcpServers"))
    elif name.lower().endswith(".md"):
        yield from folder_settings.commands_in(name, body)
    else:
        yield Consequence("use", name)


def own(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own settings."""
    yield from (home / ".claude", home / ".claude.json")
    if named := env.get("CLAUDE_CONFIG_DIR"):
        yield Path(named)


OBEYED = Obeyed(
    agent="Claude Code",
    names=(".claude", ".mcp.json"),
    nested=(".claude/skills",),
    texts=(".claude/CLAUDE.md", ".claude/AGENTS.md", ".claude/rules/*", ".claude/agent-memory*/*"),
    skipped=(
        *(".claude/worktrees", ".claude/plans", ".claude/todos", ".claude/projects"),
        *(".claude/*.lock", ".claude/checkpoints", ".claude/debug", ".claude/jobs"),
    ),
    read=read,
    variable="CLAUDE_PROJECT_DIR",
    own=own,
    notes=("plans", "projects/*/memory"),
)


def _settings(settings: dict[str, Any]) -> Iterator[Consequence]:
    check(settings)
    for event, hooks in part(settings, "hooks").items():
        for hook in _hooks(hooks):
            rules = ("*",) if event in _DECIDING else ()
            text = f"hook {event}: {_only(hook, ('command', 'prompt', 'url'))}"
            if "url" in hook:
                yield Consequence("redirect", text, rules)
            if "url" not in hook or hook.keys() & {"command", "prompt"}:
                yield Consequence("run", text, rules)
    for name in PROGRAMS:
        for text in _commands(settings.get(name)):
            yield Consequence("run", f"{name}: {text}")
    for name in REDIRECTS:
        if settings.get(name):
            yield Consequence("redirect", f"{name}: {shown(settings[name])}")
    yield from folder_settings.variables(part(settings, "env"))
    yield from _allowances(settings, part(settings, "permissions"))
    known = ("$schema", "hooks", "env", "permissions", *PROGRAMS, *REDIRECTS, *ALLOWANCES)
    yield from folder_settings.others(settings, known)


def _allowances(settings: dict[str, Any], permissions: dict[str, Any]) -> Iterator[Consequence]:
    for rule in permissions.get("allow") or ():
        yield Consequence("allow", rule, (rule,))
    for folder in permissions.get("additionalDirectories") or ():
        yield Consequence("allow", f"the folder {folder}", ("Read", "Edit"))
    if mode := permissions.get("defaultMode"):
        yield Consequence("allow", f"permission mode {shown(mode)}")
    for name in ALLOWANCES:
        if settings.get(name):
            rules = ("Bash",) if name == "sandbox" else ()
            yield Consequence("allow", f"{name}: {shown(settings[name])}", rules)


def _hooks(listed: Any) -> Iterator[dict[str, Any]]:
    for matcher in listed if isinstance(listed, list) else ():
        for hook in matcher.get("hooks") or () if isinstance(matcher, dict) else ():
            if isinstance(hook, dict):
                yield hook


def _commands(value: Any) -> Iterator[str]:
    """Yield the text of a setting that names programs: its command, or all of it."""
    if isinstance(value, dict) and value:
        yield _only(value, ("command",))
    elif value:
        yield shown(value)


def _only(value: dict[str, Any], names: tuple[str, ...]) -> str:
    """Return the one of these fields that says it all, or everything where others do too."""
    deciding = value.keys() - _HARMLESS
    return shown(value[min(deciding)] if len(deciding) == 1 and deciding < {*names, ""} else value)


def check(settings: Mapping[str, Any]) -> None:
    """Raise `ValueError` for settings that Claude Code leaves out without a word."""
    for name in ("permissions", "hooks", "env"):
        if not isinstance(settings.get(name, {}), dict):
            raise ValueError(f"{name} is not an object")  # noqa: TRY004 - the file is wrong
    permissions = part(settings, "permissions")
    for name in _LISTS:
        rules = permissions.get(name, [])
        if not isinstance(rules, list) or not all(isinstance(rule, str) for rule in rules):
            raise ValueError(f"permissions.{name} is not a list of rules")


def own_folder(env: Mapping[str, str]) -> Path:
    """Return the folder of the user's own settings."""
    return Path(env.get("CLAUDE_CONFIG_DIR") or home(env) / ".claude")


def user_settings(env: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return what the user's own settings allow, and which of their files are left out."""
    path = own_folder(env) / "settings.json"
    try:
        settings = json_object(path.read_bytes())
        check(settings)
    except OSError:
        return [], []
    except ValueError as error:
        return [], [f"{path} is left out: {error}"]
    return list(part(settings, "permissions").get("allow") or ()), []


# A start without the folder's settings -----------------------------------------------------


def only_here(options: Options, stake: Stake) -> Iterator[tuple[str, str]]:
    """Yield what the options name and only the folder has: the option, and the name in it."""
    own = own_folder(options.env)
    skills = {found[1] or found[2] for file in stake.files if (found := _SKILL.search(file.path))}
    for skill in options.skills or ():
        if skill in skills and not _has_skill(own, skill):
            yield "skills", skill
    for rule in options.allowed_tools or ():
        named = _NAMED.fullmatch(rule)
        if named is None:
            continue
        kind, name, server = named.groups()
        if kind == "Skill":
            missing = name in skills and not _has_skill(own, name)
        elif kind:
            here = (file.place for file in stake.files if "/.claude/agents/" in f"/{file.path}")
            missing = name in _agents(here) - _agents((own / "agents").rglob("*.md"))
        else:
            state = Path(options.env.get("CLAUDE_CONFIG_DIR") or home(options.env)) / ".claude.json"
            others = {in_tools(each) for each in options.mcp_servers}
            others |= servers_in(state, "mcpServers")
            others |= servers_in(state, "projects", str(options.cwd), "mcpServers")
            missing = any(
                server in servers_in(file.place, "mcpServers") - others
                for file in stake.files
                if file.place.name == ".mcp.json"
            )
        if missing:
            yield "allowed_tools", rule


def _has_skill(own: Path, skill: str) -> bool:
    return any(
        (own / place).exists() for place in (f"skills/{skill}/SKILL.md", f"commands/{skill}.md")
    )


def _agents(files: Iterable[Path]) -> set[str]:
    """Return the names of sub-agents that stand in these files."""
    found = set()
    for file in files:
        if file.suffix != ".md":
            continue
        with contextlib.suppress(OSError), open_regular(file) as stream:
            head = _NAME.search(stream.read(MAX_TEXT).decode(errors="replace"))
            found.add(head[1] if head else file.stem)
    return found


def instructions(options: Options) -> tuple[str, tuple[str, ...]]:
    """Return the texts for the model that stand in the folder and those above, and what is cut.

    Claude Code reads them only together with the folder's settings.
    """
    found: dict[Path, str] = {}
    for folder in reversed(folders(options)):
        root = repository_of(folder).root
        names = ["CLAUDE.md", ".claude/CLAUDE.md", "CLAUDE.local.md"]
        rules = folder / ".claude" / "rules"
        for path in (*(folder / name for name in names), *sorted(rules.rglob("*.md"))):
            _import(path, root, found, IMPORTS_DEEP)
    texts, cut, left = [], [], MAX_TEXT
    for path, body in found.items():
        text = f"Contents of {path}:\n\n{body}\n\n"
        texts.append(text[:left])
        if len(text) > left:
            cut.append(f"{path} is {'cut' if left else 'left out'}: {_TOO_LONG}")
        left -= len(texts[-1])
    return "".join(texts).rstrip("\n"), tuple(cut)


def _import(path: Path, root: Path, found: dict[Path, str], deep: int) -> None:
    """Take in a text and what it imports, as far as that stands in the folder."""
    place = path.resolve()
    if place in found or not place.is_relative_to(root) or not place.is_file():
        return
    try:
        with open_regular(place) as file:
            body = file.read(MAX_TEXT * _BYTES_OF_A_CHARACTER).decode(errors="replace")
    except OSError:
        return
    found[place] = body[:MAX_TEXT].replace("\0", "")
    if deep:
        for name in _IMPORT.findall(body):
            _import(place.parent / name, root, found, deep - 1)

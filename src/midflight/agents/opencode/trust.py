"""What OpenCode obeys of a folder, and what it is told where the user does not trust that.

The names were read from the program and its own description of its configuration; a test compares
them with those of the installed one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

import msgspec

from midflight.agents.opencode.permissions import tool
from midflight.agents.shared import folder_settings
from midflight.agents.shared.folder_settings import jsonc_object, part, shown, strings
from midflight.agents.shared.only_here import in_tools, servers_in
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.trust.repository import repository_of
from midflight.trust.stake import (
    Consequence,
    Obeyed,
    Stake,
    StakeFile,
    digest_of,
    folders,
    home,
    look,
)

PROGRAMS = ("plugin", "formatter", "lsp", "shell", "command", "skills", "experimental", "watcher")
"""Settings that name programs, or where programs and texts come from."""

REDIRECTS = ("provider", "share", "autoshare", "enterprise", "server", "instructions")
"""Settings by which keys or the conversation may go elsewhere, or come from elsewhere."""

ALLOWANCES = ("permission", "tools")
"""Settings about what is asked; midflight's own rules stand behind them."""

_CONFIGS = ("opencode.json", "opencode.jsonc")
_PLUGINS = re.compile(r"\.opencode/(plugins?|tools?)/")
_PACKAGES = re.compile(r"\.opencode/node_modules/")
_SUBSTITUTED = re.compile(r"\{(?:env|file):")
_TEXTS = ("AGENTS.md", "CLAUDE.md", "CONTEXT.md")

_OWN = re.compile(
    r"(?:.*/)?\.opencode/(?:\.gitignore|package\.json|package-lock\.json|bun\.lockb?|node_modules/.*)"
)
"""What OpenCode writes by itself into a folder whose settings it loads."""

_NAMED_SCHEMA = b'{\n  "$schema": "https://opencode.ai/config.json",'
"""What it puts at the beginning of a configuration that names none."""

SettingsReader = Callable[[dict[str, Any]], Iterable[Consequence]]

INSTALL_S = 5.0
"""How long it may take to install what plugins need; that goes on after it has come up."""

PAUSE_S = 0.3


def read(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a file has OpenCode do. Raises `ValueError` if it cannot be read."""
    yield from read_by(name, body, _settings)


def read_by(name: str, body: bytes, settings: SettingsReader) -> Iterator[Consequence]:
    """Yield what a file has a version of OpenCode do whose ``settings`` mean what they mean to it.

    Raises `ValueError` if it cannot be read.
    """
    base = name.removeprefix(".opencode/")
    if base in _CONFIGS:
        yield from settings(jsonc_object(body))
    elif _PACKAGES.match(name):
        return
    elif _PLUGINS.match(name):
        yield Consequence("run", f"{name} (a plugin or tool)")
    elif base == "package.json":
        wanted = part(jsonc_object(body), "dependencies")
        yield Consequence("run", f"{name}: installs {shown(wanted)}")
    elif name.lower().endswith(".md"):
        yield from folder_settings.commands_in(name, body)
    else:
        yield Consequence("use", name)


_XDG = {
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
    "XDG_CACHE_HOME": ".cache",
}


def own(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own settings and logins, and the packages that plugins are run from."""
    for variable, usual in _XDG.items():
        yield from {home / usual / "opencode", Path(env.get(variable) or home / usual, "opencode")}
    for variable in ("OPENCODE_CONFIG", "OPENCODE_CONFIG_DIR"):
        if named := env.get(variable):
            yield Path(named)


def _settings(settings: dict[str, Any]) -> Iterator[Consequence]:
    yield from folder_settings.mcp_servers(part(settings, "mcp"))
    yield from by_name(settings, PROGRAMS, REDIRECTS, ALLOWANCES)


def by_name(
    settings: dict[str, Any],
    programs: Iterable[str],
    redirects: Iterable[str],
    allowances: Iterable[str],
) -> Iterator[Consequence]:
    """Yield what settings do, MCP servers left out, by which of them do what."""
    kinds: tuple[tuple[Literal["run", "redirect", "allow"], Iterable[str]], ...] = (
        ("run", programs),
        ("redirect", redirects),
        ("allow", allowances),
    )
    for kind, names in kinds:
        for name in names:
            if settings.get(name):
                yield Consequence(kind, f"{name}: {shown(settings[name])}")
    known = {"$schema", "mcp", *programs, *redirects, *allowances}
    for name in sorted(settings.keys() - known):
        text = f"{name}: {shown(settings[name])}"
        hidden = any(_SUBSTITUTED.search(each) for each in strings(settings[name]))
        yield Consequence("redirect", text) if hidden else Consequence("use", text)


def check_name(options: Options) -> None:
    """Raise `UnsupportedOption` for a folder that version 1 looks for under another name.

    It decodes the name once more than it has encoded it, over HTTP and behind ACP.
    """
    if unquote(str(options.cwd)) != str(options.cwd):
        raise UnsupportedOption(
            "cwd",
            f"OpenCode takes {options.cwd} for an encoded name, and looks for another folder",
            "rename it without the %, or use another agent",
        )


# A start without the folder's settings -----------------------------------------------------


def without(options: Options, config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration as it is in a start without what the folder has OpenCode run.

    Formatters and language servers may be programs of the folder. Texts are named by their paths,
    since OpenCode looks for none itself.
    """
    texts = [*(config.get("instructions") or ()), *map(str, _texts(options))]
    return {**config, "formatter": False, "lsp": False, "instructions": list(dict.fromkeys(texts))}


def _texts(options: Options) -> list[Path]:
    """Return the texts for the model: the first kind that is there, as OpenCode has it."""
    for name in _TEXTS:
        found = []
        for folder in folders(options):
            path = (folder / name).resolve()
            if path.is_file() and path.is_relative_to(repository_of(folder).root):
                found.append(path)
        if found:
            return found
    return []


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which OpenCode loads no settings of the folder."""
    return {**env, "OPENCODE_DISABLE_PROJECT_CONFIG": "1"}


def variable(env: Mapping[str, str], name: str) -> dict[str, Any]:
    """Return what a variable says in JSON. Raises `UnsupportedOption` if it is none."""
    try:
        value = msgspec.json.decode(env.get(name) or "{}")
    except msgspec.DecodeError as error:
        raise UnsupportedOption("env", f"{name} is not plain JSON: {error}") from error
    return value if isinstance(value, dict) else {}


def only_here(options: Options, stake: Stake) -> Iterator[tuple[str, str]]:
    """Yield what the options name and only the folder has: the option, and the name in it."""
    names = {skill.split(":")[-1]: skill for skill in options.skills or ()}
    for file in stake.files:
        found = re.search(r"\.opencode/skills?/([^/]+)/SKILL\.md$", file.path)
        if found and found[1] in names:
            yield "skills", names[found[1]]
    files = [file.place for file in stake.files if file.place.name in _CONFIGS]
    users = [folder / name for folder in own(home(options.env), options.env) for name in _CONFIGS]
    servers = set[str]().union(*map(_servers, files))
    servers -= set[str]().union(*map(_servers, users))
    servers -= {in_tools(name) for name in options.mcp_servers}
    for name in options.allowed_tools or ():
        if any(tool(name).startswith(f"{server}_") for server in servers):
            yield "allowed_tools", name


def _servers(file: Path) -> set[str]:
    """Return the MCP servers of a file, in the shape of version 1 or 2."""
    return servers_in(file, "mcp") | servers_in(file, "mcp", "servers")


# What it writes itself ----------------------------------------------------------------------


def written(
    options: Options, was: Stake, *, installs: bool = True
) -> tuple[list[StakeFile], list[StakeFile]]:
    """Look again once it is up: return what it has written itself, and what else has changed.

    Waits until it has installed what plugins need, if it is one that ``installs``.
    """
    before = {file.entry for file in was.files}
    until = time.monotonic() + INSTALL_S
    while True:
        stake = look(options, OBEYED)
        if not installs or _installed(stake) or time.monotonic() > until:
            break
        time.sleep(PAUSE_S)
    new = [file for file in stake.files if file.entry not in before]
    own = [file for file in new if _OWN.fullmatch(file.path) or _named_schema(file, before)]
    return own, [file for file in new if file not in own]


def _named_schema(file: StakeFile, before: Collection[tuple[str, str, str]]) -> bool:
    """Tell whether a configuration has only got the address of its schema."""
    body = file.place.read_bytes() if file.place.name in _CONFIGS else b""
    old = digest_of("file", body.replace(_NAMED_SCHEMA, b"{", 1))
    return (file.repository, file.path, old) in before


def _installed(stake: Stake) -> bool:
    """Tell whether nothing is to be installed any more, in each of its folders."""
    paths = {file.place for file in stake.files}
    folders_of = {
        Path(*file.place.parts[: file.place.parts.index(".opencode") + 1])
        for file in stake.files
        if ".opencode" in file.place.parts
    }
    return all(
        any(folder / lock in paths for lock in ("package-lock.json", "bun.lock", "bun.lockb"))
        for folder in folders_of
    )


OBEYED = Obeyed(
    agent="OpenCode",
    names=(*_CONFIGS, ".opencode"),
    skipped=(".opencode/plans", ".opencode/.cache"),
    read=read,
    own=own,
    notes=("plans",),
    written=written,
)

"""What the agents obey that speak ACP, and how they start where the user does not trust that."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from midflight.agents.acp.launch_settings import LaunchSettings, MakeLaunchSettings
from midflight.agents.acp.presets import PRESETS, Preset
from midflight.agents.shared import folder_settings, only_here
from midflight.agents.shared.folder_settings import jsonc_object, part, shown
from midflight.agents.shared.obeyed import obeyed, trust_of
from midflight.errors import UnsupportedOption
from midflight.options import Options
from midflight.trust.decision import Standing
from midflight.trust.stake import Consequence, Obeyed

_VARIABLES = (
    *("CODEX_HOME", "COPILOT_HOME", "VIBE_HOME", "GOOSE_PATH_ROOT", "QWEN_HOME"),
    *("CURSOR_CONFIG_DIR", "KIMI_SHARE_DIR"),
)
"""What names another folder for the user's own settings."""

_RUNS = re.compile(
    r"hook|command|plugin|extension|formatter|lsp|shell|script|exec|notify|tool|sandbox",
    re.IGNORECASE,
)
"""Names of settings that run something, or say where programs come from."""

_REDIRECTS = re.compile(
    r"url|host|endpoint|proxy|gateway|api_?base|auth|api_?key|credential|header|cert|otlp|provider",
    re.IGNORECASE,
)
"""Names of settings by which keys or the conversation may go elsewhere."""

_VARIABLE = re.compile(r"\s*(?:export\s+)?([\w.-]+)(?:\s*=|:\s)\s*(.*?)\s*")
"""A line of a file of variables, as ``dotenv`` reads it, with which these agents do."""

_SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL|AUTH", re.IGNORECASE)


def own(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own settings, where they are not named as a folder's are."""
    config = Path(env.get("XDG_CONFIG_HOME") or home / ".config")
    yield from (config / name for name in ("goose", "agents", "cursor"))
    yield from (Path(env[variable]) for variable in _VARIABLES if env.get(variable))


def read(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a file has such an agent do, as far as that can be told for all of them.

    A setting counts by its name: which names an agent of tomorrow has nobody knows.
    """
    if name.endswith((".md", ".mdc")):
        yield from folder_settings.commands_in(name, body)
        return
    if Path(name).suffix in _CODE and "/skills/" not in name:  # what a skill has, the model runs
        yield Consequence("run", f"{name} (a program)")
        return
    yield Consequence("use", name)
    if name.rpartition("/")[2] == ".env":
        yield from _variables(body.decode(errors="replace"))
        return
    try:
        settings = tomllib.loads(body.decode()) if name.endswith(".toml") else jsonc_object(body)
    except ValueError:
        yield from _unread(name, body.decode(errors="replace"))
        return
    yield from _settings(settings, bare=name == ".mcp.json")


def _settings(settings: dict[str, Any], *, bare: bool) -> Iterator[Consequence]:
    """Yield what settings do; those that are ``bare`` may be nothing but MCP servers."""
    servers = [name for name in _SERVERS if isinstance(settings.get(name), dict)]
    if bare and not servers:
        yield from folder_settings.mcp_servers(settings)
        return
    for name in servers:
        yield from folder_settings.mcp_servers(part(settings, name))
    for name, value in settings.items():
        if name in servers:
            continue
        text, names = f"{name}: {shown(value)}", list(_names(name, value))
        if any(map(_REDIRECTS.search, names)):
            yield Consequence("redirect", text)
        elif _INLINE in text or any(map(_RUNS.search, names)):
            yield Consequence("run", text)
        else:
            yield Consequence("use", text)


_INLINE = "!{"
"""What begins a command in the text of a command of Gemini or Qwen."""

_CODE = (".js", ".mjs", ".cjs", ".ts", ".mts", ".py", ".sh", ".bash", ".ps1", ".rb")
_KINDS = (".json", ".jsonc", ".toml", ".yaml", ".yml")
_SERVERS = ("mcpServers", "mcp_servers", "servers")


def _names(name: str, value: object) -> Iterator[str]:
    """Yield a setting's name, and those in it."""
    yield name
    if isinstance(value, Mapping):
        for inner, each in value.items():
            yield from _names(str(inner), each)
    elif isinstance(value, list):
        for each in value:
            yield from _names("", each)


def _variables(text: str) -> Iterator[Consequence]:
    """Yield what variables do. Keys do not show: they may be the user's own."""
    for found in filter(None, map(_VARIABLE.fullmatch, text.splitlines())):
        name, value = found.groups()
        hidden = _SECRET.search(name) or "@" in value  # a password may stand in an address
        yield from folder_settings.variables({name: "…" if hidden else value})


def _unread(name: str, text: str) -> Iterator[Consequence]:
    """Yield that settings of any other kind may run anything, and what they may send elsewhere."""
    if Path(name).suffix not in _KINDS:
        return
    yield Consequence("run", f"{name} (not read here, so it may run anything)")
    for line in text.splitlines():
        key, found, _ = line.partition(":") if ":" in line else line.partition("=")
        if found and _REDIRECTS.search(key):
            yield Consequence("redirect", f"{name}: {line.strip()}")


_FILES = tuple(dict.fromkeys(name for preset in PRESETS.values() for name in preset.files))
_SHARED = tuple(dict.fromkeys(name for preset in PRESETS.values() for name in preset.shared))

OBEYED = Obeyed(
    agent="ACP agents",
    names=_FILES,
    skipped=tuple(f"{name}/worktrees" for name in _FILES),
    shared=_SHARED,
    read=read,
    told=False,
    own=own,
)
"""Of all of them: one agent can write what another one obeys."""


def obeyed_by(agent: str) -> Obeyed:
    """Return what one agent obeys, by the option ``agent``; of an unknown one, what any may."""
    name, preset = _preset(agent)
    if preset is None:
        return _any_may(name)
    can = _maker(agent) is not None
    if preset.like and (known := obeyed(preset.like)) is not None:
        return msgspec.structs.replace(known, agent=name, told=can)
    return msgspec.structs.replace(
        OBEYED, agent=name, names=preset.files, shared=preset.shared, told=can
    )


def _any_may(agent: str) -> Obeyed:
    """Return what any agent obeys: a command may start each of them, by whatever name."""
    kinds = [kind for like in _LIKE if (kind := obeyed(like)) is not None]

    def read_as_its_own(name: str, body: bytes) -> Iterable[Consequence]:
        top = name.split("/", maxsplit=1)[0]
        own = (kind for kind in kinds if top in {each.split("/")[0] for each in kind.names})
        return next(own, OBEYED).read(name, body)

    def joined(field: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for kind in kinds for name in getattr(kind, field)))

    return msgspec.structs.replace(
        OBEYED,
        agent=agent,
        names=tuple(dict.fromkeys((*joined("names"), *_FILES))),
        texts=joined("texts"),
        skipped=(*joined("skipped"), *OBEYED.skipped),
        nested=joined("nested"),
        read=read_as_its_own,
        variable=next((kind.variable for kind in kinds if kind.variable), ""),
    )


_LIKE = tuple(dict.fromkeys(preset.like for preset in PRESETS.values() if preset.like))


def _maker(agent: str) -> MakeLaunchSettings | None:
    """Return what makes an agent's launch settings, if it has such.

    Of a command nobody knows whether it is the program that its name says, and so obeys.
    """
    return PRESETS[agent].launch_settings if agent in PRESETS else None


def launch_settings(options: Options, env: Mapping[str, str], standing: Standing) -> LaunchSettings:
    """Return the settings with which an agent obeys what is trusted, and nothing else.

    Raises `UnsupportedOption` where it has no such settings and something is not trusted, and for
    what the options name and only such a folder has.
    """
    make = _maker(options.agent)
    if not standing.trusted and make is None:
        hint = "" if standing.stake.beyond or standing.stake.redirects else "or trust=True, --trust"
        raise UnsupportedOption("trust", standing.notice, hint)
    if not standing.stake or make is None:
        return LaunchSettings()
    if not standing.trusted:
        like = trust_of(PRESETS[options.agent].like)
        only_here.refuse(options, like.only_here(options, standing.stake))
    return make(options, env, standing)


def _preset(agent: str) -> tuple[str, Preset | None]:
    """Return an agent's name for people, and the preset that runs the same program."""
    if agent in PRESETS:
        return agent, PRESETS[agent]
    try:
        program = Path(shlex.split(agent.removeprefix("acp:"))[0]).name
    except (ValueError, IndexError):
        return OBEYED.agent, None  # its driver will say what is wrong
    same = (each for each in PRESETS.values() if each.command.split()[0] == program)
    return f"acp:{program}", next(same, None)

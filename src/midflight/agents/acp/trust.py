"""What the agents obey that speak ACP; none of them can be told to leave it out."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from midflight.agents.acp.presets import PRESETS, Preset
from midflight.agents.shared import folder_settings
from midflight.agents.shared.folder_settings import json_object, part
from midflight.agents.shared.obeyed import obeyed
from midflight.trust.stake import Consequence, Obeyed

_VARIABLES = ("CODEX_HOME", "COPILOT_HOME", "VIBE_HOME", "GOOSE_PATH_ROOT")
"""What names another folder for the user's own settings."""


def own(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own settings, where they are not named as a folder's are."""
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config", "goose")
    yield from (Path(env[variable]) for variable in _VARIABLES if env.get(variable))


def read(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a file has such an agent do, as far as that is the same for all of them."""
    if name.endswith(".md"):
        yield from folder_settings.commands_in(name, body)
        return
    yield Consequence("use", name)
    try:
        settings = json_object(body)
    except ValueError:
        return  # which format it has is the agent's own business
    yield from folder_settings.mcp_servers(part(settings, "mcpServers"))
    yield from folder_settings.others(settings, ("mcpServers",))


_FILES = tuple(name for preset in PRESETS.values() for name in preset.files)

OBEYED = Obeyed(
    agent="ACP agents",
    names=_FILES,
    skipped=tuple(f"{name}/worktrees" for name in _FILES),
    read=read,
    told=False,
    own=own,
)
"""Of all of them: one agent can write what another one obeys."""


def obeyed_by(agent: str) -> Obeyed:
    """Return what one agent obeys, by the option ``agent``; of an unknown one, what any may."""
    name, preset = _preset(agent)
    if preset is None:
        return msgspec.structs.replace(OBEYED, agent=name)
    if preset.like and (known := obeyed(preset.like)) is not None:
        return msgspec.structs.replace(known, agent=name, told=False)
    return msgspec.structs.replace(OBEYED, agent=name, names=preset.files)


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

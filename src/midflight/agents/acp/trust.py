"""What the agents obey that speak ACP and that midflight has a name for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from midflight.agents.acp.presets import PRESETS
from midflight.trust.stake import Obeyed

_VARIABLES = ("CODEX_HOME", "COPILOT_HOME", "VIBE_HOME", "GOOSE_PATH_ROOT")
"""What names another folder for the user's own settings."""


def own(home: Path, env: Mapping[str, str]) -> Iterator[Path]:
    """Yield the user's own settings, where they are not named as a folder's are."""
    yield Path(env.get("XDG_CONFIG_HOME") or home / ".config", "goose")
    yield from (Path(env[variable]) for variable in _VARIABLES if env.get(variable))


_FILES = tuple(name for preset in PRESETS.values() for name in preset.files)

OBEYED = Obeyed(
    agent="ACP agents",
    names=_FILES,
    skipped=tuple(f"{name}/worktrees" for name in _FILES),
    told=False,
    own=own,
)
"""Of all of them: one agent can write what another one obeys."""

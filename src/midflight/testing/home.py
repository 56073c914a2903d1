"""Homes for agents under test."""

from __future__ import annotations

import json
from pathlib import Path

_INSTALLED = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "*"}}}}


def make_home(home: Path) -> None:
    """Make a home in which OpenCode installs nothing.

    Into each new home it would install a package from the registry, for plugins; to do that takes
    two seconds of processor time, and the network. It takes that for done where there is a folder
    of packages with a lock file that names this one.
    """
    config = home / ".config" / "opencode"
    (config / "node_modules").mkdir(parents=True, exist_ok=True)
    (config / "package-lock.json").write_text(json.dumps(_INSTALLED), encoding="utf-8")

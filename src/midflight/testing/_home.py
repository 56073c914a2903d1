"""Homes for agents under test."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_home"]


def make_home(home: Path) -> None:
    """Make a home in which OpenCode installs nothing.

    Into each new home it would install a package from the registry, for plugins; to do that takes
    a second of processor time, and the network. Where this folder is, it takes that for done.
    """
    (home / ".config" / "opencode" / "node_modules").mkdir(parents=True, exist_ok=True)

"""Folders that are ours alone."""

from __future__ import annotations

from pathlib import Path

__all__ = ["make_private"]


def make_private(folder: Path) -> None:
    """Make a folder and those above it, as far as they are missing, so that only we can enter.

    What is there is left as it is. Raises `OSError`.
    """
    for missing in [path for path in (folder, *folder.parents) if not path.exists()][::-1]:
        if not missing.is_symlink():
            # Whoever may write to a folder can put another one in place of those below it.
            missing.mkdir(mode=0o700, exist_ok=True)

"""A current folder that was deleted, for as long as a block takes: reports need a real one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

__all__ = ["in_deleted_folder"]


@contextlib.contextmanager
def in_deleted_folder(tmp_path: Path) -> Iterator[None]:
    """Stand in a folder that was deleted."""
    folder = tmp_path / "deleted"
    folder.mkdir()
    with contextlib.chdir(folder):
        folder.rmdir()
        yield

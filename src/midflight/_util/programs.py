"""Where programs are looked for: never in the folder that is worked in, or above it.

An entry of ``PATH`` that is relative, or empty, would mean that folder: whoever can write there
could have put a program in it that is named like one that midflight starts.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path


def search_path(path: str | None = None) -> str:
    """Return the absolute entries of a ``PATH``, of this process's if none is given."""
    entries = os.environ.get("PATH", os.defpath) if path is None else path
    return os.pathsep.join(filter(os.path.isabs, entries.split(os.pathsep)))


def with_search_path(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which programs are found as here."""
    return {**env, "PATH": search_path(env["PATH"])} if "PATH" in env else dict(env)


def find_program(name: str, path: str | None = None) -> Path | None:
    """Return the program with a name or an absolute path, if there is one that can be run."""
    if "/" in name and not name.startswith("/"):
        return None
    found = shutil.which(name, path=search_path(path))
    return Path(found) if found else None

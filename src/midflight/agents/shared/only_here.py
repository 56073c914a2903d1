"""What the options name and only a folder has that is not trusted: an error, never just missing."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from shlex import quote

from midflight._util.files import open_regular
from midflight.agents.shared.folder_settings import jsonc_object, part
from midflight.errors import UnsupportedOption
from midflight.options import Options


def refuse(options: Options, only_here: Iterable[tuple[str, str]]) -> None:
    """Raise `UnsupportedOption` for the first, if there is one: an option, and a name in it."""
    for option, name in only_here:
        raise UnsupportedOption(
            option,
            f"{name} stands in a folder that is not trusted",
            f"midflight trust {quote(str(options.cwd))}, or trust=True",
        )


def servers_in(path: Path, *keys: str) -> set[str]:
    """Return the MCP servers of a file of settings, as names of tools have them."""
    try:
        with open_regular(path) as file:
            found = jsonc_object(file.read())
    except (OSError, ValueError):
        return set()
    for key in keys:
        found = part(found, key)
    return {in_tools(name) for name in found}


def in_tools(server: str) -> str:
    """Return a server's name as it stands in the names of its tools."""
    return re.sub(r"[^\w-]", "_", server)

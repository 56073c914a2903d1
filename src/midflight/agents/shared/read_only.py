"""Which commands only read, as far as that is certain."""

from __future__ import annotations

import re
from pathlib import Path

_READ_ONLY = re.compile(
    r"(?:ls|pwd|cat|head|tail|wc|grep|stat|du|echo|true|whoami|uname|id|which)"
    r"(?: +(?!/)(?!-\S*/)(?!\S*=/)(?!\S*\.\.)(?!\S*\.env)[\w./=,+-]+)*",
    re.ASCII,
)


def is_read_only(command: str, folder: Path) -> bool:
    """Tell whether this is one plain command that reads, and no link leads it out of the folder.

    No shell text is taken apart to find out whether it is safe: a character that could mean
    anything to a shell, or a path that could lead outside, does not match.
    """
    if _READ_ONLY.fullmatch(command) is None:
        return False
    folder = folder.resolve()
    paths = [(folder / word).resolve() for word in command.split()[1:]]
    return all(path.is_relative_to(folder) for path in paths)

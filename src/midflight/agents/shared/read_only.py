"""Which commands only read, as far as that is certain."""

from __future__ import annotations

import re
from pathlib import Path

_WORD = r"(?![/-])(?!\S*=/)(?!\S*\.\.)[\w./=,+-]+"
_LONG = (
    r"--(?:all|almost-all|bytes|count|human-readable|ignore-case|line-number|lines|words)(?:=\d+)?"
)


def _command(names: str, no_letters: str = "") -> str:
    """Return what fits these commands, with words and options, but none with these letters."""
    short = rf"-(?!\w*[{no_letters}])\w+" if no_letters else r"-\w+"
    return rf"(?:{names})(?: +(?:{short}|{_LONG}|{_WORD}))*"


# Nothing that looks for files by itself, in the folders that it finds (-r, -R, -d recurse) or in a
# list of names (-f, -X, --files0-from): what `cat` has to be asked for would be among them.
_READ_ONLY = re.compile(
    "|".join(
        (
            _command("ls|pwd|cat|head|stat|echo|true|whoami|uname|id|which"),
            _command("grep", "rRdDfz"),
            _command("tail|wc|du", "fFX"),
        )
    ),
    re.ASCII,
)

_SECRET = re.compile(r"\.env(?:\.|$)", re.IGNORECASE)
"""What has to be asked for, by the name of a file: a disk may not tell its cases apart."""


def is_read_only(command: str, folder: Path) -> bool:
    """Tell whether this is one plain command that reads what it names, without secrets.

    No link leads it out of the folder, or to a file with secrets. No shell text is taken apart to
    find out whether it is safe: a character that could mean anything to a shell, or a path that
    could lead outside, does not match.
    """
    if _READ_ONLY.fullmatch(command) is None or ".env" in command.lower():
        return False
    folder = folder.resolve()
    paths = [(folder / word).resolve() for word in command.split()[1:]]
    return all(
        path.is_relative_to(folder) and not _SECRET.search(str(path.relative_to(folder)))
        for path in paths
    )

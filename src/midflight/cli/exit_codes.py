"""The exit codes of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midflight.errors import InvalidConfig, InvalidInput, InvalidOption, MidflightError, NotFound

if TYPE_CHECKING:  # --help needs neither, and msgspec takes as long as all else that it loads
    from collections.abc import Mapping

    from midflight.values import Status

FAILED, USAGE, LIMIT, NOT_FOUND = 1, 2, 3, 4

INTERRUPTED = 130
"""What shells report of a program that Ctrl-C has ended: 128 and the number of SIGINT."""

OF_STATUS: Mapping[Status, int] = {
    "completed": 0,
    "failed": FAILED,
    "limit": LIMIT,
    "interrupted": INTERRUPTED,
}
"""The code of a session, by how its last message ended."""


def of_error(error: MidflightError) -> int:
    """Return the code of a command that ended with an error."""
    if isinstance(error, (InvalidConfig, InvalidInput, InvalidOption)):
        return USAGE
    return NOT_FOUND if isinstance(error, NotFound) else FAILED

"""A mistake of the host's own, in something that another process has asked of it."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable

from midflight.errors import MidflightError


class Unexpected(MidflightError):
    """A mistake in the program that answers; what it was stands in its log only."""

    code = "internal"

    def __init__(self, error: Exception) -> None:
        """Give no more than the kind of the error: its text may repeat anything."""
        super().__init__(
            f"the host has made a mistake: {type(error).__name__}",
            "its log says more: hosts.log in the journal's folder",
        )


def log(error: Exception, masked: Callable[[str], str]) -> None:
    """Write an error that nobody expected into the log; ``masked`` blanks out what it repeats."""
    lines = "".join(traceback.format_exception(error))
    context = {"message": masked(f"a request to the host has failed\n{lines}")}
    asyncio.get_running_loop().call_exception_handler(context)

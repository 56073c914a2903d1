"""What a host answers when something went wrong in it that nobody had thought of."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from midflight.errors import MidflightError

__all__ = ["Guarded", "Unexpected", "tell"]


class Unexpected(MidflightError):
    """A mistake in the host itself; what it was stands in the host's log only."""

    code = "internal"

    def __init__(self, error: Exception) -> None:
        """Say no more than what kind of error it is: what it says may be anybody's."""
        super().__init__(
            f"the host has made a mistake: {type(error).__name__}",
            "its log says more: hosts.log in the journal's folder",
        )


def tell(error: Exception, masked: Callable[[str], str]) -> None:
    """Write an error to the log; ``masked`` blanks out what must not be read there."""
    lines = "".join(traceback.format_exception(error))
    told = {"message": masked(f"a request to the host has failed\n{lines}")}
    asyncio.get_running_loop().call_exception_handler(told)


class Guarded:
    """An application whose errors are logged here, without the secrets that they may repeat."""

    def __init__(self, app: Callable[..., Awaitable[None]], masked: Callable[[str], str]) -> None:
        """``masked`` is as in `tell`."""
        self._app = app
        self._masked = masked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer; whoever has asked has been told of an error already."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            tell(error, self._masked)

"""One alarm, set anew after everything that happens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Calls back at the time that was set last, or a little too early."""

    def __init__(self, ring: Callable[[], None]) -> None:
        """``ring`` is called in the event loop; it looks at the time itself."""
        self._ring = ring
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due: float | None) -> None:
        """Ring at ``due`` by the event loop's clock; None is never.

        A time before that stays set: things happen far more often than their deadlines change.
        """
        if self._timer is not None:
            if due is not None and self._timer.when() <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_at(due, self._rang)

    def _rang(self) -> None:
        self._timer = None
        self._ring()

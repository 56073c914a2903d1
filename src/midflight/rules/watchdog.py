"""The time limit of a turn, and silence. Times are monotonic seconds."""

from __future__ import annotations

from typing import NamedTuple

SILENCE_S = 60.0
"""A silence of this length is reported; of half of `stall_timeout` if that is shorter."""


class Verdict(NamedTuple):
    """What is due: ``limit`` is timeout, stalled or empty; ``silent_s`` is to report if not 0."""

    limit: str = ""
    silent_s: float = 0.0


class Watchdog:
    """Watches one stretch of work. It reads no clock: each call gets the time."""

    def __init__(self, timeout: float | None, stall_timeout: float | None) -> None:
        """Set the limits; None means no limit. Silence is always reported."""
        self._timeout = timeout
        self._stall_timeout = stall_timeout
        self._silence = min(SILENCE_S, stall_timeout / 2 if stall_timeout else SILENCE_S)
        self._began: float | None = None
        self._heard = 0.0
        self._reported = False

    def limit(self, timeout: float | None) -> None:
        """Set another time limit, also for what is being watched."""
        self._timeout = timeout

    def begin(self, now: float) -> None:
        """Start watching, unless it watches already."""
        if self._began is None:
            self._began = self._heard = now
            self._reported = False

    def end(self) -> None:
        """Stop watching."""
        self._began = None

    def heard(self, now: float) -> None:
        """Note a sign of life; with a time in the future, silence is expected until then."""
        self._heard = max(self._heard, now)
        self._reported = False

    @property
    def last_heard(self) -> float:
        """When the newest sign of life came, also outside of a stretch of work."""
        return self._heard

    def due(self, *, paused: bool) -> float | None:
        """Return when to call `look` next, or None. ``paused``: silence is expected."""
        if self._began is None:
            return None
        times = []
        if self._timeout:
            times.append(self._began + self._timeout)
        if not paused and not self._reported:
            times.append(self._heard + self._silence)
        if not paused and self._stall_timeout:
            times.append(self._heard + self._stall_timeout)
        return min(times, default=None)

    def look(self, now: float, *, paused: bool) -> Verdict:
        """Return what is due by this time; a silence is reported once."""
        if self._began is None:
            return Verdict()
        if self._timeout and now >= self._began + self._timeout:
            return Verdict("timeout")
        if paused:
            self._heard = max(self._heard, now)
            return Verdict()
        silent = now - self._heard
        if self._stall_timeout and silent >= self._stall_timeout:
            return Verdict("stalled", silent)
        if silent >= self._silence and not self._reported:
            self._reported = True
            return Verdict("", silent)
        return Verdict()

"""Time limits of a turn, and silence. Times are of a monotonic clock, in seconds."""

from __future__ import annotations

from typing import NamedTuple

SILENCE_S = 60.0
"""A silence of this length is reported, unless `stall_timeout` asks for a shorter one."""


class Verdict(NamedTuple):
    """What the time says: ``limit`` is timeout, stalled or empty; ``silent_s`` is news if not 0."""

    limit: str = ""
    silent_s: float = 0.0


class Watchdog:
    """Watches one stretch of work. It knows no clock: each call is told the time."""

    def __init__(self, timeout: float | None, stall_timeout: float | None) -> None:
        """Set the limits; None means no limit. Silence is always reported."""
        self._timeout = timeout
        self._stall_timeout = stall_timeout
        self._silence = min(SILENCE_S, stall_timeout / 2 if stall_timeout else SILENCE_S)
        self._began: float | None = None
        self._heard = 0.0
        self._reported = False

    def begin(self, now: float) -> None:
        """Start to watch, unless a stretch of work is being watched already."""
        if self._began is None:
            self._began = self._heard = now
            self._reported = False

    def end(self) -> None:
        """Stop to watch."""
        self._began = None

    def heard(self, now: float) -> None:
        """Note a sign of life; a time in the future excuses a silence until then."""
        self._heard = max(self._heard, now)
        self._reported = False

    def due(self, *, paused: bool) -> float | None:
        """Return when to look next, or None. ``paused``: silence is expected (a tool runs)."""
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
        """Judge the time; a silence is told once."""
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

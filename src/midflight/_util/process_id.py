"""Which process it is: an id alone is reused, and means something only in its own namespace."""

from __future__ import annotations

import sys
import time
from pathlib import Path

SAME_BIRTH_S = 0.05
"""Births are counted in ticks of a hundredth of a second."""

_TICKS = 100
"""How many of them Linux counts in a second."""

_STATE, _BORN = 0, 19
"""Where these stand in /proc/PID/stat behind the command's name, see proc(5): fields 3 and 22."""


def born(pid: int) -> float | None:
    """Return when a process was born, in seconds after the boot; None if it does not live."""
    if sys.platform == "linux":
        try:
            # The command's name may contain spaces and brackets; the fields follow the last one.
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            fields = stat.rpartition(")")[2].split()
            return None if fields[_STATE] in "ZX" else int(fields[_BORN]) / _TICKS
        except (OSError, ValueError, IndexError):
            return None
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        # Both figures move together when the clock is set; their difference stays.
        return process.create_time() - psutil.boot_time()
    except psutil.Error:
        return None


def age(pid: int) -> float:
    """Return how long ago a process was born, in seconds; 0 if it does not live."""
    birth = born(pid)
    if birth is None:
        return 0.0
    if sys.platform == "linux":  # born(): on the clock that goes on while the machine is suspended
        return time.clock_gettime(time.CLOCK_BOOTTIME) - birth
    import psutil

    return time.time() - psutil.boot_time() - birth


def lives(pid: int, birth: float) -> bool:
    """Tell whether the process with this id and this birth lives, in the caller's namespace."""
    now = born(pid)
    return now is not None and abs(now - birth) < SAME_BIRTH_S


def space() -> int:
    """Return the number of the namespace of this process's id: a container has its own."""
    if sys.platform != "linux":
        return 0
    return Path("/proc/self/ns/pid").stat().st_ino

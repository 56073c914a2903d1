"""What a midflight process that was killed has left behind: found by its marker, and ended.

An agent and all it starts carry a marker that names the process which runs it: its id and its
birth. Where no such process lives any more, whoever carries the marker is a stray.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path

__all__ = ["end_strays", "new_marker"]

AFTER_COMMAND = 19
"""Where the birth stands in /proc/PID/stat behind the command's name, see proc(5): field 22."""


def new_marker() -> str:
    """Return a marker for an agent of this process."""
    return f"{os.getpid()}-{_born(os.getpid())}-{uuid.uuid4().hex}"


def _born(pid: int) -> int:
    """Return when a process was born, in a hundredth of a second of the same clock; 0 if dead."""
    if sys.platform == "linux":
        try:
            # The command's name may contain spaces and brackets; the fields follow the last one.
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            return int(stat.rpartition(")")[2].split()[AFTER_COMMAND])
        except (OSError, ValueError, IndexError):
            return 0
    import psutil

    try:
        return int(psutil.Process(pid).create_time() * 100)
    except psutil.Error:
        return 0


def end_strays() -> list[int]:
    """End every process whose midflight process is dead; return those that were found.

    Nothing without a marker is touched, nor what belongs to a process that lives.
    """
    import psutil

    from midflight.agents import tree

    found = []
    for process in psutil.process_iter():
        owner = _owner(tree.marker_of(process))
        if owner is not None and _born(owner[0]) != owner[1]:
            found.append(process)
    tree.end(found, at_once=True)
    return [process.pid for process in found]


def _owner(marker: str | None) -> tuple[int, int] | None:
    """Return the id and the birth of the process that a marker names."""
    pid, _, rest = (marker or "").partition("-")
    born, _, name = rest.partition("-")
    if not (pid.isdecimal() and born.isdecimal() and name):
        return None
    return int(pid), int(born)

"""What other processes were started with, and which have started them, as the system tells."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
"""Where Linux tells it; other systems are asked with psutil, which takes time to load."""

_STATE, _PARENT = 0, 1
"""Where these stand in /proc/PID/stat behind the command's name, see proc(5): fields 3 and 4."""


class StartedProcess(NamedTuple):
    """A process that lives: the variables that it was started with, None where nobody may look."""

    environment: dict[str, str] | None
    parent: int


def has_proc() -> bool:
    """Tell whether this system shows its processes as files."""
    return (PROC / "self").exists()


def look(pid: int) -> StartedProcess:
    """Return what is known of a process. Raises `ProcessLookupError` if it does not live."""
    return _in_proc(pid) if has_proc() else _by_psutil(pid)


def above(pid: int) -> Iterator[StartedProcess]:
    """Yield a process and those that have started it, itself first, as far as they live."""
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        seen.add(pid)
        try:
            process = look(pid)
        except ProcessLookupError:
            return
        yield process
        pid = process.parent


def every() -> Iterator[StartedProcess]:
    """Yield all processes of this user, as far as they live."""
    if has_proc():
        pids = [int(entry.name) for entry in os.scandir(PROC) if entry.name.isdigit()]
    else:
        import psutil

        pids = psutil.pids()
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            yield look(pid)


def _in_proc(pid: int) -> StartedProcess:
    folder = PROC / str(pid)
    try:
        # The command's name may contain spaces and brackets; the fields follow the last one.
        stat = (folder / "stat").read_text(encoding="utf-8", errors="replace")
        fields = stat.rpartition(")")[2].split()
        data = _readable(folder / "environ")
    except (FileNotFoundError, ProcessLookupError):
        raise ProcessLookupError(f"there is no process {pid}") from None
    if fields[_STATE] in "ZX":  # it has ended: what it was started with reads as nothing
        raise ProcessLookupError(f"process {pid} has ended")
    return StartedProcess(None if data is None else _variables(data), int(fields[_PARENT]))


def _readable(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except PermissionError:
        return None


def _variables(data: bytes) -> dict[str, str]:
    """Return the variables; of one that is there twice the first, as programs see it."""
    lines = (line.partition(b"=") for line in reversed(data.split(b"\0")))
    return {
        name.decode(errors="replace"): value.decode(errors="replace") for name, _, value in lines
    }


def _by_psutil(pid: int) -> StartedProcess:
    import psutil

    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            raise ProcessLookupError(f"process {pid} has ended")
        parent = process.ppid()
        try:
            return StartedProcess(process.environ(), parent)
        except (psutil.AccessDenied, OSError):
            return StartedProcess(None, parent)
    except psutil.NoSuchProcess:
        raise ProcessLookupError(f"there is no process {pid}") from None
    except psutil.Error:
        return StartedProcess(None, 0)

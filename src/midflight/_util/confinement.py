"""What a process passes on to all that it starts, beside its environment: its bounds and rights."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path

_PROC = Path("/proc/self")

_STATUS = ("Umask", "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapEff", "CapBnd")
"""Lines of /proc/self/status, see proc(5)."""


def confinement() -> list[str]:
    """Return, as lines of text, what bounds this process and whatever it starts.

    Its umask, groups and hard limits; on Linux also its namespaces and rights, by which a container
    or a sandbox holds a program. Not its control group: each window of a terminal may have its own.
    A sandbox that the system does not show, such as Landlock, is not among them.
    """
    top = os.stat("/")  # noqa: PTH116 - what it is for this process, which may have another root
    bounds = [
        f"root {top.st_dev} {top.st_ino}",
        f"groups {os.getegid()} {sorted(os.getgroups())}",
    ]
    for name in filter(lambda name: name.startswith("RLIMIT_"), sorted(dir(resource))):
        with contextlib.suppress(OSError, ValueError):  # one that this kernel does not know
            bounds.append(f"{name} {resource.getrlimit(getattr(resource, name))[1]}")
    try:
        lines = (_PROC / "status").read_text(encoding="utf-8", errors="replace").splitlines()
        bounds += [line for line in lines if line.partition(":")[0] in _STATUS]
    except OSError:
        mask = os.umask(0o077)  # only setting it tells: what a thread makes meanwhile is private
        os.umask(mask)
        bounds.append(f"umask {mask:o}")
    with contextlib.suppress(OSError):
        bounds += sorted(f"{space.name} {space.readlink()}" for space in (_PROC / "ns").iterdir())
    with contextlib.suppress(OSError):
        bounds.append((_PROC / "attr/current").read_text(encoding="utf-8", errors="replace"))
    return bounds

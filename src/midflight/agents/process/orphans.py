"""Orphans: what a midflight process that was killed has left running, found by marker and ended.

An agent and all it starts carry a marker that names the process which runs it: its id, its birth,
and the space in which it has that id. Where that process is dead, a process with the marker is an
orphan.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import NamedTuple

from midflight._util.process_id import born, lives, space

HUNDREDTHS = 100
"""A marker has the birth in hundredths of a second."""

_MARKER = re.compile("([0-9]+)-([0-9]+)-([0-9]+)-.+")


class _Owner(NamedTuple):
    space: int
    pid: int
    born: float


def new_marker() -> str:
    """Return a marker for an agent of this process."""
    pid = os.getpid()
    return f"{space()}-{pid}-{round((born(pid) or 0) * HUNDREDTHS)}-{uuid.uuid4().hex}"


def end_orphans() -> list[int]:
    """End every process whose midflight process is dead; return those that were found.

    Nothing without a marker is touched, nor what belongs to a process that lives.
    """
    import psutil

    from midflight.agents.process import tree

    here = space()
    found = []
    for process in psutil.process_iter():
        owner = _owner(tree.marker_of(process))
        # Whether a process of another space lives is invisible from here.
        if owner and owner.space == here and not lives(owner.pid, owner.born):
            found.append(process)
    tree.end(found, at_once=True)
    return [process.pid for process in found]


def _owner(marker: str | None) -> _Owner | None:
    """Return the process that a marker names."""
    found = _MARKER.fullmatch(marker or "")
    if found is None:
        return None
    number, pid, birth = map(int, found.groups())
    return _Owner(number, pid, birth / HUNDREDTHS)

"""Who gives a command, as the events tell it: looked up here, never believed."""

from __future__ import annotations

import contextlib
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from midflight import lineage
from midflight.values import Door, Role, Who

DOOR = "midflight-door"
"""The header in which a client tells a host by which door its user came."""

DEVICE_CHARS = 100
"""How long the name of a device may be."""

DEVICE = "midflight-device"
"""The header with the name of the device from which a person uses a page."""

_TERMINALS = ("/dev/pts/", "/dev/tty")
_TYPED: tuple[Door, ...] = ("terminal", "command")
_DOORS: tuple[Door, ...] = (*_TYPED, "page", "json", "mcp", "library", "schedule")


def here(door: Door = "library") -> Who:
    """Return who this process is."""
    return _who(door, lineage.inside(), _own_terminal())


def caller(door: str, inside: Sequence[str], pid: int, *, seen: bool, device: str = "") -> Who:
    """Return who another process is, with the sessions inside of whose agents it runs.

    The ``door`` is what it says itself, and so is the ``device`` of who uses a page. They are no
    more than hints: what makes it an agent is looked up, and one of which nothing is ``seen``
    passes for no person.
    """
    known: Door = next((each for each in _DOORS if each == door), "json")
    if known == "page" and seen and not inside:
        return Who(role="user", door=known, device=device[:DEVICE_CHARS])
    return _who(known, inside, "" if inside or not seen else _terminal(pid), typed=seen)


def _who(door: Door, inside: Sequence[str], terminal: str, *, typed: bool = True) -> Who:
    device = platform.node()
    if inside:
        session = "" if inside[-1] == lineage.UNKNOWN else lineage.plain(inside[-1])
        return Who(role="agent", door=door, device=device, session=session)
    role: Role = "user" if typed and door in _TYPED else "program"
    return Who(role=role, door=door, terminal=terminal, device=device)


def _own_terminal() -> str:
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.ttyname(sys.stdin.fileno())
    return ""


def _terminal(pid: int) -> str:
    """Return the terminal of another process, or nothing where that is not known."""
    import psutil

    with contextlib.suppress(OSError):
        reads = str(Path(f"/proc/{pid}/fd/0").readlink())
        if reads.startswith(_TERMINALS):
            return reads
    with contextlib.suppress(psutil.Error, OSError, ValueError):
        return psutil.Process(pid).terminal() or "" if pid else ""
    return ""


def in_words(who: Who | None) -> str:
    """Return who it was for a person, or nothing where nobody is known."""
    if who is None:
        return ""
    where = f"on {who.device}" if who.device and who.device != platform.node() else ""
    if who.role == "agent":
        words = f"the agent of session {who.session}" if who.session else "an agent"
    elif who.role == "user":
        person = who.person or "a person"
        words = f"{person} at {who.terminal}" if who.terminal else f"{person}'s command"
    else:
        words = "a schedule" if who.door == "schedule" else "a program"
    if who.person and who.role != "user":
        words += f" of {who.person}"
    how = {"mcp": "over MCP", "json": "over JSON"}.get(who.door, "")
    return " ".join(filter(None, (words, how, where)))

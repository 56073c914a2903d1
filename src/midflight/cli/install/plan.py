"""A file written for another program: shown first, whole or not at all, with a copy kept."""

from __future__ import annotations

import difflib
import os
import time
from pathlib import Path

import msgspec

from midflight.cli.output import write
from midflight.errors import MidflightError


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would be written: a whole file; ``entry`` is the part that is ours.

    ``then`` is what a person has to know afterwards.
    """

    path: Path
    old: str
    new: str
    entry: str
    then: str

    def write(self, stamp: str) -> Path | None:
        """Write it, whole or not at all, and return the copy of what stood there, if any did."""
        target = self.path.resolve()  # people keep such files behind links
        target.parent.mkdir(parents=True, exist_ok=True)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o600
        backup = target.with_name(f"{target.name}.{stamp}.bak") if target.exists() else None
        if backup is not None:
            _write(backup, self.old, mode)
        fresh = target.with_name(f"{target.name}.{os.getpid()}.new")
        _write(fresh, self.new, mode)
        fresh.replace(target)
        return backup


def _write(path: Path, text: str, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)


def config_home() -> Path:
    """Return the folder in which programs keep a user's settings."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")


def standing(path: Path) -> str:
    """Return what stands in a file; nothing if there is none. Raises `MidflightError`."""
    try:
        return path.read_text(encoding="utf-8") if path.exists() else ""
    except (OSError, UnicodeError) as error:
        raise MidflightError(f"{path} cannot be read: {error}") from error


def carry_out(plan: Plan, *, only_print: bool) -> int:
    """Show what changes and write it, or only show what belongs there; return the exit code."""
    if only_print:
        write(f"{plan.path}\n\n{plan.entry}\n")
        return 0
    if plan.new == plan.old:
        write(f"{plan.path} says so already\n")
        return 0
    difference = difflib.unified_diff(
        plan.old.splitlines(keepends=True),
        plan.new.splitlines(keepends=True),
        f"{plan.path} before",
        f"{plan.path} now",
    )
    write("".join(difference))
    backup = plan.write(time.strftime("%Y%m%d-%H%M%S"))
    write(f"\nwrote {plan.path}\n" + (f"kept {backup}\n" if backup else ""))
    write(f"{plan.then}\n")
    return 0

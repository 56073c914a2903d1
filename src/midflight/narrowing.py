"""Which of two permissions is the narrower one: modes, and rules for tools."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator

from midflight import commands as c
from midflight.errors import NotAllowed
from midflight.values import PermissionMode

STRICTEST_FIRST: tuple[PermissionMode, ...] = (
    *("plan", "dontAsk", "default"),
    *("acceptEdits", "bypassPermissions"),
)

_RULE_WITH_DETAILS = re.compile(r"([\w-]+)\([^()]*\)")


def strictest(modes: Iterable[PermissionMode]) -> PermissionMode:
    """Return the permission mode that allows the least."""
    return min(modes, key=STRICTEST_FIRST.index)


def within(rules: Iterable[str], others: Collection[str]) -> Iterator[str]:
    """Yield each rule that is in ``others``, itself or as a part: ``Bash(ls)`` is in ``Bash``."""
    for rule in rules:
        part = _RULE_WITH_DETAILS.fullmatch(rule)
        if rule in others or (part and part[1] in others):
            yield rule


def check_mode(mode: str, widest: PermissionMode) -> None:
    """Raise `NotAllowed` for a permission mode that is wider than the widest that may be had."""
    if mode in STRICTEST_FIRST and strictest((mode, widest)) != mode:
        raise NotAllowed(
            f"an agent cannot allow another one more than it has: {mode} is wider than {widest}",
            f"permission mode {widest}, or a narrower one",
        )


def check_limits(command: c.Command) -> None:
    """Raise `NotAllowed` for a command of an agent's program that changes limits."""
    if isinstance(command, c.SetLimits):
        raise NotAllowed("an agent cannot change the limits of a session", "ask the user")


def check_own(command: c.Command, widest: PermissionMode) -> None:
    """Raise `NotAllowed` for what a program inside of an agent does not decide in its own process.

    It could allow there what the agent may not: the user answers from elsewhere.
    """
    if isinstance(command, c.Answer) and command.decision == "allow":
        raise NotAllowed("an agent cannot answer what another one asks", "ask the user")
    if isinstance(command, c.SetPermissionMode):
        check_mode(command.mode, widest)
    check_limits(command)

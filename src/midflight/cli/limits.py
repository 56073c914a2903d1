"""The limits of a session as a person gives and reads them, at the terminal or by a command."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from typing import Any

from midflight import commands as c
from midflight.cli.command_table import NO_LIMIT
from midflight.cli.parser import limits_parser
from midflight.errors import InvalidInput
from midflight.values import CHANGEABLE


def change(args: argparse.Namespace) -> c.SetLimits | None:
    """Return the command for the limits that stand on a command line; None where none does.

    Raises `InvalidOption` for one that cannot be.
    """
    values = {name: value for name in CHANGEABLE if (value := getattr(args, name)) is not None}
    given: dict[str, Any] = {
        name: None if value == NO_LIMIT else value for name, value in values.items()
    }
    return c.SetLimits(**given) if given else None


def typed(text: str) -> c.SetLimits | None:
    """Return the same for what was typed behind ``/limits``. Raises `InvalidInput` too."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InvalidInput(f"/limits: {error}", "/limits --max-budget-usd 5") from None
    return change(limits_parser().parse_args(words))


_WORDS = {"max_turns": "{:g} model calls in a turn", "max_budget_usd": "${:g} in all"}


def in_words(limits: Mapping[str, Any]) -> str:
    """Return a line for each limit that is set."""
    lines = [
        f"  {name:15} {_WORDS.get(name, '{:g} seconds').format(value)}\n"
        for name, value in limits.items()
    ]
    return "".join(lines) or "  no limits\n"

"""What comes of a key or a text: a verb of a session, or what the screen is to do."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from midflight import commands as c


class CarryOut(NamedTuple):
    """Give a session a command. ``done`` says in a word or two that it was."""

    session: str
    command: c.Command
    done: str


class Dispatch(NamedTuple):
    """Begin a session in the background."""

    task: str
    folder: Path


class Enter(NamedTuple):
    """Open a session in the terminal of `midflight attach`, and come back."""

    session: str


class Look(NamedTuple):
    """Show something on the whole screen: ``request``, ``diff`` or ``keys``."""

    what: str


class Leave(NamedTuple):
    """Leave the board; nothing stops."""


Act = CarryOut | Dispatch | Enter | Look | Leave

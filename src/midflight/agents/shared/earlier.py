"""Conversations that were begun with an agent's own program, as the agent has kept them."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

LISTED = 100
"""How many conversations are looked at, the newest first."""

SAID = 40
"""How many of the last words of a conversation are shown."""

FIRST_CHARS = 500
SAID_CHARS = 20_000
"""How long the first words are, and each of the last ones, at most."""


class Earlier(msgspec.Struct, frozen=True, kw_only=True):
    """One conversation: the agent's own ``id``, its ``first`` words, when it was last written.

    ``updated`` is in seconds since the epoch. ``open`` says why something else may be going on with
    it just now; it is empty where nothing does.
    """

    agent: str
    id: str
    first: str
    updated: float
    open: str = ""


class Said(NamedTuple):
    """What was said, by the user or by the agent."""

    by_user: bool
    text: str

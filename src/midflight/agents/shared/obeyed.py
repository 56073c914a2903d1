"""What each agent obeys of a folder, by the agent's name; its module is loaded when it is used."""

from __future__ import annotations

import importlib
from typing import cast

from midflight.options import Options
from midflight.trust.protected import Protected
from midflight.trust.stake import Obeyed, Stake

_OBEYED = {
    "claude": "midflight.agents.claude.trust:OBEYED",
    "opencode": "midflight.agents.opencode.trust:OBEYED",
    "acp": "midflight.agents.acp.trust:OBEYED",
}
"""``acp`` is all that any of its presets obeys."""


def obeyed(agent: str) -> Obeyed | None:
    """Return which files of a folder an agent obeys, or None where none are known."""
    if agent not in _OBEYED:
        return None
    module, name = _OBEYED[agent].split(":")
    return cast("Obeyed", getattr(importlib.import_module(module), name))


def protected(options: Options, stake: Stake | None = None) -> Protected:
    """Return what a session may not write unasked: the files of every agent, and what is at stake.

    It looks at the disk and is called in a thread.
    """
    every = [each for each in map(obeyed, _OBEYED) if each is not None]
    return Protected(options, every, stake or Stake())

"""What each agent obeys of a folder, by the agent's name; its module is loaded when it is used."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import cast

from midflight.options import Options
from midflight.trust.protected import Protected
from midflight.trust.stake import Obeyed, Stake

_TRUST = {
    "claude": "midflight.agents.claude.trust",
    "opencode": "midflight.agents.opencode.trust",
    "opencode2": "midflight.agents.opencode.v2.trust",
    "acp": "midflight.agents.acp.trust",
}
"""``acp`` is all that any of its presets obeys."""


def trust_of(agent: str) -> ModuleType:
    """Return the module about what an agent obeys: the same program may have another driver too."""
    return importlib.import_module(_TRUST[agent])


def obeyed(agent: str) -> Obeyed | None:
    """Return which files of a folder an agent obeys, or None where none are known."""
    return cast("Obeyed", trust_of(agent).OBEYED) if agent in _TRUST else None


def protected(options: Options, stake: Stake | None = None) -> Protected:
    """Return what a session may not write unasked: the files of every agent, and what is at stake.

    It looks at the disk and is called in a thread.
    """
    every = [each for each in map(obeyed, _TRUST) if each is not None]
    return Protected(options, every, stake or Stake())

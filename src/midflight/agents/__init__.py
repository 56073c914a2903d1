"""The agents that midflight can drive, by name; each driver is imported when it is used."""

from __future__ import annotations

import difflib
import importlib
from typing import cast

from midflight.agents.base import Agent
from midflight.errors import InvalidOption
from midflight.options import Options

__all__ = ["AGENTS", "create"]

AGENTS = {
    "claude": "midflight.agents.claude:ClaudeAgent",
    "opencode": "midflight.agents.opencode:OpenCodeAgent",
    "fake": "midflight.testing.fake:FakeAgent",
}


def create(options: Options) -> Agent:
    """Return the driver for ``options.agent``, not yet started.

    Raises `InvalidOption` for an unknown name and `UnsupportedOption` for what it cannot do.
    """
    if options.agent not in AGENTS:
        near = difflib.get_close_matches(options.agent, AGENTS, 1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(AGENTS)}"
        raise InvalidOption("agent", f"{options.agent!r} is not known", hint)
    module, name = AGENTS[options.agent].split(":")
    return cast("Agent", getattr(importlib.import_module(module), name)(options))

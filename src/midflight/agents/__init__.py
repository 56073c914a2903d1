"""The agents that midflight can drive, by name; each driver is imported when it is used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from midflight._util.text import did_you_mean
from midflight.agents.acp.presets import PRESETS
from midflight.agents.base import Agent, Support
from midflight.errors import InvalidOption
from midflight.options import FOR_TESTS, Options

if TYPE_CHECKING:
    from midflight.trust.stake import Obeyed

__all__ = ["AGENTS", "NAMES", "OFFERED", "PRESETS", "cost_of", "create", "obeyed"]

AGENTS = {
    "claude": "midflight.agents.claude.driver:ClaudeAgent",
    "opencode": "midflight.agents.opencode.v1.driver:OpenCodeAgent",
    # Until it has been tried on stable 2.x it has a name of its own.
    "opencode2": "midflight.agents.opencode.v2.driver:OpenCode2Agent",
    # For tests, an agent like the others; it plays the scripts of midflight.testing, above.
    "fake": "midflight.testing.fake.agent:FakeAgent",
    "acp": "midflight.agents.acp.driver:AcpAgent",
}
"""Drivers. ``acp`` stands for any ``acp:<command>``, and for the names in `PRESETS`."""

NAMES = (*(name for name in AGENTS if name != "acp"), *PRESETS)
"""What the option `agent` can be, beside ``acp:<command>``."""

OFFERED = tuple(name for name in NAMES if name != FOR_TESTS)
"""Those that people are told of."""


def obeyed(agent: str) -> Obeyed | None:
    """Return which files of a folder an agent obeys, or None where none are known."""
    if agent in PRESETS or agent.startswith("acp:"):
        from midflight.agents.acp.trust import obeyed_by

        return obeyed_by(agent)
    from midflight.agents.shared import obeyed as lists

    return lists.obeyed(agent)


def cost_of(agent: str) -> Support:
    """Return how it is known what an agent costs, before it is started: its capability ``cost``."""
    if agent.startswith("acp:"):
        return "not"
    return PRESETS[agent].cost if agent in PRESETS else "supported"


def create(options: Options) -> Agent:
    """Return the driver for ``options.agent``, not yet started.

    Raises `InvalidOption` for an unknown name and `UnsupportedOption` for what it cannot do.
    """
    kind, colon, _ = options.agent.partition(":")
    if options.agent in PRESETS:
        kind = "acp"
    elif kind not in AGENTS or bool(colon) != (kind == "acp"):
        known = [*OFFERED, "acp:<command>"]
        hint = did_you_mean(options.agent, known, f"known: {', '.join(known)}")
        raise InvalidOption("agent", f"{options.agent!r} is not known", hint)
    module, name = AGENTS[kind].split(":")
    return cast("Agent", getattr(importlib.import_module(module), name)(options))

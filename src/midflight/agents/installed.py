"""Which agents are on this machine, as far as that is known without starting one."""

from __future__ import annotations

from midflight._util.programs import find_program
from midflight.agents.acp.presets import PRESETS
from midflight.agents.claude import program as claude
from midflight.agents.opencode import program as opencode
from midflight.agents.opencode.v2 import program as opencode2
from midflight.errors import AgentUnavailable

_FIND = {"claude": claude.find, "opencode": opencode.find, "opencode2": opencode2.find}


def how_to_install(agent: str) -> str:
    """Return how to install an agent that midflight knows by name; empty for one that is here.

    Its program is looked for and not run: it may be too old, or without a login.
    """
    if agent in PRESETS:
        preset = PRESETS[agent]
        return "" if find_program(preset.command.split()[0]) else preset.install
    try:
        _FIND[agent](None)
    except AgentUnavailable as error:
        return error.hint
    return ""

"""Which tests start a real agent's program, and what keeps all others from it.

A test has the mark ``agent`` by what it asks for, or where that does not tell, by hand. So that the
mark is true, a test without it finds stand-ins where the programs are: they do nothing but leave a
trace.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from midflight.agents.claude import program as claude
from midflight.testing.conformance.rig import Rig

FIXTURES = {
    *("agent_env", "opencode2_server", "opencode_server", "scripted_model"),
    "browser_address",
}
"""What a test asks for that starts an agent, or a browser, which costs as much."""

FAKES = {"fake_midflight", "fake_terminal"}
"""What it asks for to have a fake agent instead."""

ON_PATH = ("claude", "claude-agent-acp", "lildax", "opencode")

_STAND_IN = """#!/bin/sh
echo "$0 $*" >> '{trace}'
echo 'a test without the mark "agent" starts an agent' >&2
exit 1
"""


def starts_one(item: pytest.Item) -> bool:
    """Say whether a test starts an agent's program."""
    if item.get_closest_marker("agent"):
        return True
    if not isinstance(item, pytest.Function):
        return False
    asked = set(item.fixturenames)
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    rigs = [value for value in parameters.values() if isinstance(value, Rig)]
    return bool(asked & FIXTURES and not asked & FAKES) or any(rig.agent != "fake" for rig in rigs)


class StandIns:
    """Programs and a package that are found in place of the agents, in this process and below."""

    def __init__(self, folder: Path) -> None:
        self._programs = folder / "bin"
        self._packages = folder / "packages"
        self._trace = folder / "trace"
        bundled = self._packages / "claude_agent_sdk" / "_bundled"
        for place in (self._programs, bundled):
            place.mkdir(parents=True)
        for program in (*(self._programs / name for name in ON_PATH), bundled / "claude"):
            program.write_text(_STAND_IN.format(trace=self._trace))
            program.chmod(0o755)
        shutil.copy(claude.find(None).with_name("claude.version"), bundled)
        (bundled.parent / "__init__.py").touch()

    def environment(self) -> Mapping[str, str]:
        """Return the variables with which other programs find them."""
        packages = os.environ.get("PYTHONPATH", "")
        return {
            "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(filter(None, (str(self._packages), packages))),
        }

    @property
    def packages(self) -> str:
        """The folder in which Python finds them."""
        return str(self._packages)

    def started(self) -> str:
        """Return which of them have been started since this was asked last."""
        try:
            trace = self._trace.read_text()
        except FileNotFoundError:
            return ""
        self._trace.unlink()
        return trace

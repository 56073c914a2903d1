"""Which agents the server's machine has is told to who begins a session from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.server.conftest import Server

from midflight.agents import OFFERED, PRESETS


async def test_agents_are_told_those_that_are_installed_first(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / PRESETS["goose"].command.split()[0]
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")  # which is looked for, and not run
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    status, told = await server.call("/agents")
    assert status == 200
    here = [agent["installed"] for agent in told]
    assert here == sorted(here, reverse=True)
    agents = {agent["name"]: agent for agent in told}
    assert agents.keys() == set(OFFERED)
    assert (agents["goose"]["installed"], agents["goose"]["install"]) == (True, "")
    assert (agents["kimi"]["installed"], agents["kimi"]["install"]) == (
        False,
        PRESETS["kimi"].install,
    )
    assert agents["goose"]["capabilities"]["cost"] == "not"
    assert "costs" in agents["goose"]["limits"]["cost"]

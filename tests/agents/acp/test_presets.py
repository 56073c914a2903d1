"""What somebody is told who begins with an agent: that it is not there, or wants a login."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import midflight
from midflight.agents.acp.presets import PRESETS
from midflight.errors import AgentUnavailable

pytestmark = pytest.mark.anyio

WANTS_A_LOGIN = """
import json, sys
for line in sys.stdin:
    request = json.loads(line)
    if request["method"] == "initialize":
        answer = {"result": {"protocolVersion": 1, "authMethods": []}}
    else:
        answer = {"error": {"code": -32000, "message": "Authentication required\\nat once"}}
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **answer}), flush=True)
"""


def command_in(error: AgentUnavailable) -> str:
    """Return what the error tells to run; it must be one line, with a name and a command."""
    assert len(str(error).splitlines()) == 1
    assert error.hint
    assert not error.hint.startswith("see ")
    return error.hint


@pytest.mark.parametrize("name", PRESETS)
async def test_preset_without_its_program_names_what_installs_it(name: str, tmp_path: Path) -> None:
    with pytest.raises(AgentUnavailable, match="is not installed") as raised:
        async with midflight.open(
            agent=name, cwd=tmp_path, env={"PATH": str(tmp_path), "HOME": str(tmp_path)}
        ):
            pass
    assert name in str(raised.value)
    assert command_in(raised.value) == PRESETS[name].install


@pytest.mark.parametrize("name", PRESETS)
async def test_preset_without_a_login_names_what_logs_in(name: str, tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text(f"#!{sys.executable} -S\n{WANTS_A_LOGIN}")
    program.chmod(0o755)
    with pytest.raises(AgentUnavailable, match="wants a login") as raised:
        async with midflight.open(
            agent=name, agent_path=program, cwd=tmp_path, env={"HOME": str(tmp_path)}
        ):
            pass
    assert name in str(raised.value)
    assert command_in(raised.value) == PRESETS[name].login


async def test_agent_that_names_no_login_is_quoted(tmp_path: Path) -> None:
    program = tmp_path / "agent"
    program.write_text(f"#!{sys.executable} -S\n{WANTS_A_LOGIN}")
    program.chmod(0o755)
    with pytest.raises(AgentUnavailable, match="wants a login") as raised:
        async with midflight.open(
            agent=f"acp:{program}", cwd=tmp_path, env={"HOME": str(tmp_path)}
        ):
            pass
    assert "Authentication required at once" in command_in(raised.value)

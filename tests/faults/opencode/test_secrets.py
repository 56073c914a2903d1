"""Who can use an OpenCode server: nobody without its password, and who does not get to know it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import sys
from pathlib import Path

import httpx2 as httpx
import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.description import PATIENCE_S, description
from tests.support.events import ended, read
from tests.support.faults import agents, pid_in, pipe

import midflight
from midflight.agents.opencode.http import USER
from midflight.testing import ToolCall
from midflight.testing.conformance.rig import OPENCODE, Stage
from midflight.testing.conformance.rows.options import MCP_SERVER
from midflight.testing.opencode import OpenCodeServer

PASSWORD = "OPENCODE_SERVER_PASSWORD"
METHODS = ("get", "post", "put", "patch", "delete")
ENOUGH_ROUTES = 90


@fault("S12")
async def test_no_route_answers_without_the_right_password(
    opencode_server: OpenCodeServer,
) -> None:
    routes = [
        (method, re.sub(r"\{\w+\}", "x", path))
        for path, methods in (await description(opencode_server))["paths"].items()
        for method in methods
        if method in METHODS
    ]
    assert len(routes) > ENOUGH_ROUTES
    routes += [(method, path) for path in ("/", "/doc", "/no/such/route") for method in METHODS]
    keys = (None, (USER, "wrong"))
    answered = []
    base = opencode_server.url
    async with httpx.AsyncClient(base_url=base, timeout=PATIENCE_S, trust_env=False) as http:

        async def knock(method: str, path: str) -> None:
            for key in keys:
                answer = await http.request(method, path, auth=key or httpx.USE_CLIENT_DEFAULT)
                if answer.status_code != httpx.codes.UNAUTHORIZED:
                    answered.append((method, path, key, answer.status_code))

        for start in range(0, len(routes), 20):
            await asyncio.gather(*(knock(*route) for route in routes[start : start + 20]))
    assert not answered


def _surroundings(process: psutil.Process) -> str:
    """Return a process's command line and environment as text."""
    with contextlib.suppress(psutil.Error):
        return f"{process.cmdline()} {process.environ()}"
    return ""


def _files(folder: Path) -> dict[str, str]:
    """Return what stands in logs and in files with settings."""
    kinds = (".log", ".json", ".jsonc", ".toml", ".txt")
    return {
        str(path): path.read_text("utf-8", "replace")
        for path in folder.rglob("*")
        if path.is_file() and path.suffix in kinds
    }


@fault("S12", "S4")
@pytest.mark.agent
async def test_program_of_an_agent_cannot_use_its_server(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "secret-of-the-journal")
    stage = Stage(OPENCODE, tmp_path)
    fifo = pipe(stage.cwd / "pid")
    look = "env; tr '\\0' '\\n' < /proc/self/environ; cat /proc/$$/environ /proc/$$/cmdline"
    stay = f"echo $$ > {fifo}; exec tail -f /dev/null"
    steps = [ToolCall("Bash", {"command": look}), ToolCall("Bash", {"command": stay})]
    keys = {name: f"secret-of-{name}-0123456789" for name in ("one", "two")}
    servers = {
        name: {
            "command": sys.executable,
            "args": [str(MCP_SERVER)],
            "env": {"OWN_KEY": key},
        }
        for name, key in keys.items()
    }
    async with stage.play(
        steps, mcp_servers=servers, allowed_tools=["Bash"], env={"HANDED_ON": "to the tools"}
    ) as on:
        first = await on.session.send("go")
        tool = await pid_in(fifo)
        (server,) = (each for each in agents() if each.environ()["HOME"] == str(stage.home))
        password = server.environ()[PASSWORD]
        assert len(password) >= 32
        forms = (password, base64.b64encode(f"{USER}:{password}".encode()).decode().rstrip("="))
        below = server.children(recursive=True)
        assert tool in below
        near = {
            "the server's command line": str(server.cmdline()),
            **{f"the process {p.pid}": _surroundings(p) for p in below},
            **{
                f"the process {p.pid} beside it": _surroundings(p)
                for p in psutil.Process().children(recursive=True)
                if p != server
            },
        }
        helpers = [p for p in below if str(MCP_SERVER) in p.cmdline()]
        assert len(helpers) == len(servers)
        for helper in helpers:
            own = helper.environ()["OWN_KEY"]
            shown = _surroundings(helper)
            assert [key for key in keys.values() if key in shown] == [own]
        assert "secret-of" not in _surroundings(tool)
        await on.session.interrupt()
        result = await ended(first)
        events = await read(on.session)
        seen = on.requests[1].tool_results
    assert "HANDED_ON=to the tools" in str(seen)
    assert "secret-of-the-journal" not in str(seen)
    near |= {
        "what the tool sees": str(seen),
        "the result": repr(result),
        "the session": f"{on.session!r} {on.session.options!r}",
        **{event.type: midflight.events.encode(event).decode() for event in events},
        **await asyncio.to_thread(_files, tmp_path),
    }
    told = [place for place, text in near.items() for form in forms if form in text]
    assert not told

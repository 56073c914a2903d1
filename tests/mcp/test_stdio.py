"""The program that users start: over standard input and output, for agents of both kinds."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from tests.faults.manifest import fault
from tests.support.events import so_far
from tests.support.fake_host import OpenHost
from tests.support.host import journal_of, share_environment
from tests.support.mcp_tools import WRITE, Tools
from tests.support.model_scripts import claude_tool, opencode_tool

import midflight
from midflight import events as e
from midflight.agents.claude.program import find
from midflight.host import Host
from midflight.lineage import SESSION_VARIABLE
from midflight.testing import ScriptedModel, Text, ToolCall, Wait
from midflight.testing.conformance import OPENCODE
from midflight.testing.plugin import need

SAID = (e.MessageAccepted, e.PermissionResolved)
PROGRAM = Path(sys.executable).with_name("midflight")

Installed = Callable[..., dict[str, str]]


@pytest.fixture
def installed(agent_env: Installed, state: Path) -> Installed:
    """Return a function to the environment of a user who has told an agent of the server."""

    def env(model: ScriptedModel, agent: str = "claude") -> dict[str, str]:
        own = {**agent_env(model), "XDG_STATE_HOME": str(state.parent)}
        # Claude Code begins without a server that takes long to start, as on a busy machine.
        own |= {"MCP_CONNECTION_NONBLOCKING": "false", "MCP_TIMEOUT": "60000"}
        command = [str(PROGRAM), "mcp", "install", agent, "--user"]
        subprocess.run(command, env=own, check=True, capture_output=True)
        return own

    return env


async def test_every_tool_works_over_stdio_and_sessions_outlive_it(
    open_host: OpenHost, tmp_path: Path
) -> None:
    model, host = await open_host(
        [WRITE], [Wait("on"), Text("written")], [Wait("off"), Text("x")], Text("done")
    )
    server = StdioServerParameters(
        command=str(PROGRAM), args=["mcp", "--dir", str(tmp_path)], env=dict(os.environ)
    )
    async with Client(stdio_client(server)) as client:
        tools = Tools(client, tmp_path / "work")
        assert client.instructions is not None
        await tools.dispatch("write it", name="writer")
        assert (await tools.wait())["asks"]
        await tools.ask("answer", decision="allow")
        await model.reached("on")
        await tools.ask("send", text="also this", delivery="queue")
        model.signal("on")
        await model.reached("off")
        await tools.ask("redirect", text="no, that")
        report = await tools.wait()
        assert (report["status"], report["turns"]) == ("idle", 3)
    (session,) = host.live()
    assert session.status == "idle"
    said = [event.who async for event in so_far(session) if isinstance(event, SAID)]
    assert {who and (who.role, who.door) for who in said} == {("program", "mcp")}
    assert len(said) == 4  # three messages, one answer
    async with Client(stdio_client(server)) as client:
        tools = Tools(client, tmp_path / "work")
        (line,) = (await tools.ask("sessions"))["sessions"]
        assert line["session"] == "writer"
        assert "written" in (await tools.ask("read", session="wri", turn=1))["untrusted_text"]
        await tools.ask("interrupt")
        assert "no git" in await tools.refused("diff")
        assert (await tools.ask("stop"))["status"] == "closed"


_BY_SOCKET = """
import http.client, socket, sys
connection = http.client.HTTPConnection("midflight")
connection.sock = socket.socket(socket.AF_UNIX)
connection.sock.connect(sys.argv[1])
headers = {"content-type": "application/json", "midflight-may-answer": "everything"}
connection.request("POST", "/sessions", sys.argv[2], headers)
print(connection.getresponse().read().decode())
"""


def widening(host: Host, folder: Path) -> dict[str, str]:
    """Return what an agent's shell runs to have a child that may do more, and what it is told."""

    def asked(**more: str) -> str:
        body = json.dumps({"task": "x", "cwd": str(folder), **more})
        return shlex.join([sys.executable, "-c", _BY_SOCKET, host.address(), body])

    run = shlex.join([str(PROGRAM), "run", "-d", "x"])
    wide = "bypassPermissions"
    told = f"{wide} is wider than default"
    return {
        f"env -u {SESSION_VARIABLE} {run} --permission-mode {wide}": told,
        asked(permission_mode=wide): told,
        asked(agent="acp:/bin/sh"): "not among those that may be dispatched",
        f"{run} --cwd /": "outside of the folders",
        f"XDG_STATE_HOME={shlex.quote(str(folder.parent))} {run}": "not in this journal",
    }


@fault("S11", "S16", "S17", "S19")
async def test_real_agent_cannot_approve_for_itself(
    open_host: OpenHost,
    tmp_path: Path,
    installed: Installed,
    scripted_model: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, host = await open_host(WRITE)
    # The agent's own variables are not known before: this host takes what it begins all the same.
    monkeypatch.setattr("midflight.environment.HostKind.is_meant", lambda *_: True)
    share_environment(host)
    wider = widening(host, tmp_path / "work")
    model: ScriptedModel = await scripted_model(
        [
            claude_tool(
                "dispatch", task="write it", agent="fake", cwd=str(tmp_path / "work"), name="child"
            ),
            claude_tool("wait", timeout_s=50),
            claude_tool("dispatch", task="x", permission_mode="acceptEdits"),
            claude_tool("answer", session="child", decision="allow"),
            claude_tool("stop", session="boss"),
            claude_tool("send", session="boss", text="allow everything"),
            claude_tool("read", session="other"),
            claude_tool("dispatch", task="x", agent="acp:/bin/sh -c 'touch new'"),
            *(ToolCall("Bash", {"command": each}) for each in wider),
            Text("I cannot."),
        ]
    )
    options = midflight.Options.build(
        cwd=tmp_path / "work",
        name="boss",
        env=installed(model),
        allowed_tools=["mcp__midflight", "Bash"],
    )
    other = midflight.Options.build(agent="fake", cwd=tmp_path, name="other")
    await journal_of(host).create("other", other)
    boss = await host.begin("try it", options)
    ended = [event async for event in boss.stream() if isinstance(event, midflight.ToolEnded)]
    assert [event.status for event in ended[:2]] == ["completed", "completed"]
    assert "the user has to answer it" in ended[1].output
    assert "cannot allow" in ended[2].output
    assert "No such tool" in ended[3].output
    assert all("not_allowed" in event.output for event in ended[4:8])
    for event, told in zip(ended[8:], wider.values(), strict=True):
        assert told in event.output
    assert boss.status == "idle"
    (child,) = await journal_of(host).infos(await journal_of(host).sessions(parent=boss.id))
    assert (child.name, child.status, len(child.pending)) == ("child", "waiting", 1)
    assert not (tmp_path / "work" / "new").exists()


@pytest.mark.timeout(180)  # three agents start, one after another
@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize(
    "agent", ["claude", pytest.param("opencode", marks=pytest.mark.long)]
)  # in tests/orchestrate OpenCode dispatches each time
async def test_real_agent_dispatches_another_one(
    agent: str,
    tmp_path: Path,
    installed: Installed,
    scripted_model: Any,
    state: Path,
) -> None:
    new, call = tmp_path / "work" / "new", claude_tool if agent == "claude" else opencode_tool
    boss = iter(
        [
            call("dispatch", task="for the child", name="child", agent="claude"),
            call("wait", timeout_s=100),
            call("answer"),
            call("wait", timeout_s=100),
            call("stop"),
            Text("reported"),
        ]
    )
    child = iter([ToolCall("Write", {"file_path": str(new), "content": "x"}), Text("written")])
    model = await scripted_model(
        lambda request: next(child if "for the child" in str(request.messages[0]) else boss)
    )
    env = installed(model, agent)
    claude = [str(find(None)), "-p", "delegate it", "--allowedTools", "mcp__midflight"]
    process = await asyncio.create_subprocess_exec(
        *(claude if agent == "claude" else [need_opencode(), "run", "delegate it"]),
        cwd=new.parent,
        env=env,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    assert said.decode().split()[-1:] == ["reported"]
    assert new.read_text() == "x"
    async with midflight.connect(state) as client:
        (info,) = await client.sessions()
        assert (info.name, info.status, info.turns) == ("child", "closed", 1)
        for host in await client.hosts():
            os.kill(host.pid, signal.SIGTERM)


def need_opencode() -> str:
    """Return the program, where it is installed."""
    need(OPENCODE.missing())
    found = shutil.which("opencode")
    assert found is not None
    return found


@fault("I3")
async def test_what_is_no_message_gets_an_error_at_once(state: Path) -> None:
    wrong: list[tuple[bytes, object, int]] = [
        (b'{"jsonrpc": "2.0", "id": 7, "method": "x", "params": {"a": "\\ud800"}}', 7, -32700),
        (b'{"jsonrpc": "2.0", "id": "x", "method": 7}', "x", -32600),
        (b'{"jsonrpc": "2.0", "id": 7, "method": "x", "params": ' + b"[" * 9_999, None, -32700),
        (b"nonsense", None, -32700),
    ]
    process = await asyncio.create_subprocess_exec(
        PROGRAM, "mcp", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"jsonrpc": "2.0", "method": 7}\n')  # a notification has no answer
    async with asyncio.timeout(60):
        for line, id_, code in wrong:
            process.stdin.write(line + b"\n")
            response = json.loads(await process.stdout.readline())
            assert (response["id"], response["error"]["code"]) == (id_, code)
        process.stdin.close()
        await process.wait()

"""Hosts in the background with a real agent, and a short run of kills at random moments."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shlex
import signal
import stat
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults import chaos
from tests.faults.manifest import fault
from tests.support.faults import Models, gone, pid_in, pipe, written_by_claude

import midflight
from midflight import events as e
from midflight.agents.process.reaper import MARKER
from midflight.client.client import Client, connect
from midflight.testing import ModelRequest, ScriptedModel, Step, Text, ToolCall
from midflight.testing.conformance import OPENCODE
from midflight.testing.plugin import need


@pytest.fixture
async def client(
    agent_env: Callable[[ScriptedModel], dict[str, str]], no_agent_left: None, tmp_path: Path
) -> AsyncIterator[Client]:
    """Return a client whose hosts are processes of their own; they are told to end at the end."""
    async with connect(tmp_path / "state") as client:
        yield client
        for host in await client.hosts():
            if host.alive:
                os.kill(host.pid, signal.SIGTERM)


def family(host: psutil.Process) -> list[psutil.Process]:
    """Return a host's agents with all that they have started, wherever it is now."""
    markers = {env[MARKER] for child in host.children() if MARKER in (env := child.environ())}
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARKER) in markers:
                found.append(process)
    return found


def standard_streams(process: psutil.Process) -> list[str]:
    """Return what a process reads and writes: the name of a file, or of a pipe."""
    return [str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in (0, 1)]


@fault("A6", "S12", "I7")
async def test_session_of_a_killed_host_is_reported_and_resumed(
    client: Client,
    scripted_model: Models,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Promises P5 and P6: its agent ends with the host."""
    told = pipe(tmp_path / "told")
    command = f"setsid sleep 300 & echo $$ > {told}; sleep 300"
    model = await scripted_model([ToolCall("Bash", {"command": command}), Text("gone on")])
    env = agent_env(model)
    for name, value in {**env, "PGPASSWORD": "of the journal"}.items():
        monkeypatch.setenv(name, value)
    session = await client.dispatch("sleep", cwd=tmp_path, allowed_tools=["Bash"], id="s1")
    async with session:
        tool = await pid_in(told)
        (row,) = await client.hosts()
        host = psutil.Process(row.pid)
        agents = family(host)
        assert tool in agents
        agent = next(each for each in agents if each.ppid() == host.pid)
        # It is spoken to over pipes, and knows nothing of its host.
        assert all(end.startswith("pipe:") for end in standard_streams(agent))
        assert row.address not in str(agent.environ())
        assert not {"MIDFLIGHT_JOURNAL", "PGPASSWORD"} & agent.environ().keys()
        assert {"MIDFLIGHT_JOURNAL", "PGPASSWORD"} <= host.environ().keys()
        assert row.address not in str(agent.net_connections("unix"))
        later = await session.send("in line", "queue")
        await written_by_claude(env, "sleep")
        host.kill()
        assert session.first is not None
        async with asyncio.timeout(60):
            cut = await session.first.result()
        assert (cut.status, cut.reason) == ("failed", "host_died")
        assert await gone(agents, 30)
        assert len(model.requests) == 1
        assert later.state == "accepted"
        assert await later.cancel()
        message = await session.send("go on")
        async with asyncio.timeout(60):
            result = await message.result()
        assert result.text == "gone on"
    assert len(model.requests) == 2
    asked = model.requests[1]
    assert asked.last_user_text.count("was cut off in the middle") == 1
    assert "sleep" in str(asked.messages[0])
    events = await client.history("s1")
    assert chaos.check_events(events) == []
    assert [x.reason for x in events if isinstance(x, e.SessionResumed)] == ["host_died"]


@fault("A6", "S12")
async def test_sessions_of_one_host_have_own_terminals_and_outlive_it(
    client: Client,
    scripted_model: Models,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Two panes share a host; what its death costs is settled for each session by itself."""
    told = pipe(tmp_path / "told")
    tool = ToolCall("Bash", {"command": f"echo $TMUX_PANE > pane; echo $$ > {told}; sleep 300"})
    model = await scripted_model([[tool], [tool], *[[Text("gone on")]] * 2])
    for name, value in agent_env(model).items():
        monkeypatch.setenv(name, value)
    async with contextlib.AsyncExitStack() as stack:
        sessions, tools = [], []
        for pane in ("one", "two"):
            folder = tmp_path / pane
            folder.mkdir()
            monkeypatch.setenv("TMUX_PANE", pane)
            begun = await client.dispatch("sleep", cwd=folder, allowed_tools=["Bash"])
            sessions.append(await stack.enter_async_context(begun))
            tools.append(await pid_in(told))
            assert (folder / "pane").read_text() == f"{pane}\n"
        (row,) = await client.hosts()
        psutil.Process(row.pid).kill()
        async with asyncio.timeout(60):
            for session in sessions:
                assert session.first is not None
                cut = await session.first.result()
                assert (cut.status, cut.reason) == ("failed", "host_died")
        assert await gone(tools, 30)
        for session in sessions:
            async with asyncio.timeout(60):
                assert (await (await session.send("go on")).result()).text == "gone on"
        (after,) = [host for host in await client.hosts() if host.alive]
        assert after.pid != row.pid


@fault("S17", "S19")
async def test_shell_on_a_server_of_two_sessions_reaches_neither(
    client: Client,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Sessions on OpenCode share a host and a server; whose a program of it is, is not known."""
    need(OPENCODE.missing())
    state = tmp_path / "state"
    program = shlex.join([sys.executable, "-P", str(tmp_path / "tell.py"), str(state)])
    (tmp_path / "tell.py").write_text(_TELL, encoding="utf-8")

    def script(request: ModelRequest) -> Step:
        if request.tool_results or request.last_user_text != "try":
            return Text("done")
        return ToolCall("Bash", {"command": program})

    async with ScriptedModel(script) as model:
        for name, value in agent_env(model).items():
            monkeypatch.setenv(name, value)
        options: dict[str, Any] = {"agent": "opencode", "cwd": tmp_path, "allowed_tools": ["Bash"]}
        async with await client.dispatch("wait", id="beside", **options) as beside:
            assert beside.first is not None
            assert (await beside.first.result()).text == "done"
            async with await client.dispatch("try", id="trying", **options) as trying:
                assert trying.first is not None
                assert (await trying.first.result()).text == "done"
            (row,) = await client.hosts()
            servers = [
                each for each in family(psutil.Process(row.pid)) if "serve" in each.cmdline()
            ]
            assert len(servers) == 1
            (tool,) = [x for x in await client.history("trying") if isinstance(x, e.ToolEnded)]
            assert tool.output.split() == ["NotAllowed"] * 4
            said = [x for x in await client.history("beside") if isinstance(x, e.MessageAccepted)]
            assert [message.text for message in said] == ["wait"]


_TELL = """
import asyncio, sys
from midflight import connect
from midflight.commands import Send

async def main():
    async with connect(sys.argv[1]) as client:
        async def send(session):
            await client.carry_out(session, Send(text="more"))

        for session in ("beside", "trying"):
            for what in (client.history, send):
                try:
                    print(await what(session))
                except Exception as error:
                    print(type(error).__name__)

asyncio.run(main())
"""


async def test_host_in_the_background_ends_with_its_agents_on_sigterm(
    client: Client,
    scripted_model: Models,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    model = await scripted_model([Text("done")])
    for name, value in agent_env(model).items():
        monkeypatch.setenv(name, value)
    async with await client.dispatch("do it", cwd=tmp_path) as session:
        assert session.first is not None
        assert (await session.first.result()).text == "done"
        (row,) = await client.hosts()
        processes = [psutil.Process(row.pid), *family(psutil.Process(row.pid))]
        assert len(processes) > 1
        again = await client.dispatch("do it", cwd=tmp_path, id=session.id)
        assert again.id == session.id
        assert len(await client.hosts()) == 1
        os.kill(row.pid, signal.SIGTERM)
        async for _ in session.events():
            pass
    assert await gone(processes, 30)
    (info,) = await client.sessions()
    assert (info.status, info.host) == ("idle", None)
    assert await client.hosts() == []


async def test_task_that_cannot_begin_fails_its_dispatch(
    client: Client, agent_env: object, tmp_path: Path
) -> None:
    with pytest.raises(midflight.AgentUnavailable):
        await client.dispatch("do it", agent="fake", cwd=tmp_path)
    (log,) = tmp_path.glob("state/hosts.log")  # noqa: ASYNC240 - a name, no more
    assert stat.S_IMODE(os.lstat(log).st_mode) == 0o600


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("agent", "kills"),
    [
        pytest.param("claude", 1, marks=pytest.mark.agent),
        pytest.param("claude", 5, marks=[pytest.mark.agent, pytest.mark.long]),
        pytest.param("opencode", 5, marks=[pytest.mark.agent, pytest.mark.long]),
        ("fake", 1),
        pytest.param("fake", 5, marks=pytest.mark.long),
    ],
)
async def test_session_survives_kills_at_random_moments(
    agent: str, kills: int, tmp_path: Path, no_agent_left: None
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    play = chaos.Play(tmp_path / "play", agent, random.Random(seed))  # noqa: S311 - no secret
    wrong = await play.run(kills)
    assert not wrong, f"python -m tests.faults.chaos --seed {seed}: {play.kills}"

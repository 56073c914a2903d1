"""Faults of OpenCode's server and of what it runs for its sessions."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read
from tests.support.faults import agents, bash, gone, open_pipe, pid_in, pipe

import midflight
from midflight.agents.process import tree
from midflight.testing import ModelRequest, Step, Text, Words
from midflight.testing.conformance.rig import OPENCODE, Stage

pytestmark = pytest.mark.agent


def _deaf(fifo: Path) -> str:
    """Return a command that obeys no signal."""
    return f"trap '' TERM INT HUP; echo $$ > {fifo}; while true; do sleep 0.2; done"


def _stray(fifo: Path) -> str:
    """Return a command that starts another in a session of its own."""
    return f"setsid --fork /bin/sh -c 'echo $$ > {fifo}; exec tail -f /dev/null'"


def _server_of(stage: Stage) -> psutil.Process:
    (server,) = (each for each in agents() if each.environ()["HOME"] == str(stage.home))
    return server


@fault("A2", "A4", "A12", "I7")
async def test_killed_server_fails_the_turn_and_a_new_one_resumes(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that it ran ends too; what cannot be ended is reported by its id."""
    stage = Stage(OPENCODE, tmp_path)
    fifos = [pipe(stage.cwd / name) for name in ("tool", "stray", "undying")]
    call = bash(f"{_stray(fifos[1])}; {_stray(fifos[2])}; {_deaf(fifos[0])}")
    steps: list[Step] = [[Words("on it"), call], Text("welcome back")]
    async with stage.play(steps, allowed_tools=["Bash"]) as on:
        first = await on.session.send("remember the heron")
        *below, undying = [await pid_in(fifo) for fifo in fifos]
        waiting = await on.session.send("and this", "queue")
        server = _server_of(stage)
        address = server.cmdline()[-1]
        with monkeypatch.context() as patch:
            patch.setattr(tree, "KILL_GRACE_S", 1.5)
            kill = psutil.Process.kill
            patch.setattr(psutil.Process, "kill", lambda it: it.pid == undying.pid or kill(it))
            server.kill()
            result = await ended(first)
        undying.kill()
        assert (result.status, result.reason) == ("failed", "agent_died")
        assert "SIGKILL" in result.text
        assert (await ended(waiting)).reason == "agent_died"
        assert await gone([server, *below], 30)
        assert (await ended(await on.session.send("are you there?"))).text == "welcome back"
        assert _server_of(stage).cmdline()[-1] != address
        events = await read(on.session)
        assert "remember the heron" in str(on.requests[1].messages)
    assert [end.status for end in of(midflight.TurnEnded, events)] == ["failed", "completed"]
    assert [n.text for n in of(midflight.Notice, events) if n.level == "error"] == [
        f"these processes could not be ended: {undying.pid}"
    ]
    assert [tool.status for tool in of(midflight.ToolEnded, events)] == ["cancelled"]


PROGRAM = """
import json, sys, midflight
midflight.run("go", agent="opencode", allowed_tools=["Bash"], **json.loads(sys.argv[1]))
"""


@fault("A4", "A6", "S4")
async def test_server_tool_and_folder_end_with_the_program_above_them(
    tmp_path: Path, no_agent_left: None
) -> None:
    stage = Stage(OPENCODE, tmp_path)
    fifos = [pipe(stage.cwd / name) for name in ("tool", "stray")]
    async with stage.model([bash(f"{_stray(fifos[1])}; {_deaf(fifos[0])}")]) as model:
        given = {"cwd": str(stage.cwd), "env": stage.options(model)["env"]}
        host = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, json.dumps(given)
        )
        try:
            below = [await pid_in(fifo) for fifo in fifos]
            family = psutil.Process(host.pid).children(recursive=True)
            assert below[0] in family
            config = next(p for p in family if "serve" in p.cmdline()).environ()
            shell = Path(json.loads(config["OPENCODE_CONFIG_CONTENT"])["shell"])
            assert os.access(shell, os.X_OK)
        finally:
            host.kill()
            await host.wait()
        assert await gone([*family, *below], 30)
    assert not os.access(shell.parent, os.F_OK)


ENDS = ("interrupt", "redirect", "close")


@fault("A3", "A4", "A5")
async def test_tool_ends_with_its_turn_and_not_with_another_session(
    tmp_path: Path, no_agent_left: None
) -> None:
    """Every way to end a turn, on one server of our own and in one folder, beside a neighbour."""
    stage = Stage(OPENCODE, tmp_path)
    neighbour = pipe(stage.cwd / "neighbour")
    go = pipe(stage.cwd / "go")
    fifos = {end: (pipe(stage.cwd / end), pipe(stage.cwd / f"{end}-below")) for end in ENDS}

    def script(request: ModelRequest) -> Step:
        text = request.last_user_text
        if request.tool_results or text not in (*ENDS, "neighbour"):
            return Text(f"{text} is done")
        if text == "neighbour":
            return bash(f"echo $$ > {neighbour}; head -n1 {go}")
        tool, below = fifos[text]
        return bash(
            f"setsid /bin/sh -c 'echo $$ > {below}; exec tail -f /dev/null' & {_deaf(tool)}"
        )

    signal_go = open_pipe(go)
    async with (
        stage.model(script) as model,
        stage.session(model, allowed_tools=["Bash"]) as beside,
    ):
        waiting = await beside.session.send("neighbour")
        survivor = await pid_in(neighbour)
        for end in ENDS:
            async with stage.session(model, allowed_tools=["Bash"]) as on:
                first = await on.session.send(end)
                victims = [await pid_in(fifo) for fifo in fifos[end]]
                if end == "interrupt":
                    await on.session.interrupt()
                elif end == "redirect":
                    other = await on.session.redirect("rather this")
                    assert (await ended(other)).text == "rather this is done"
                else:
                    await on.session.close()
                assert (await ended(first)).status == "interrupted"
                assert await gone(victims, 30), end
            assert await gone(victims, 0), end
            assert survivor.is_running()
        os.write(signal_go, b"on\n")
        assert (await ended(waiting)).text == "neighbour is done"
    os.close(signal_go)

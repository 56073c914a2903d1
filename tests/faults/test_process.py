"""Faults of the agent's program and of the processes around it."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.events import ended, of, read, until
from tests.support.faults import (
    PROGRAMS,
    Models,
    Use,
    agents,
    bash,
    gone,
    pid_in,
    pipe,
    written_by_claude,
)
from tests.support.money import known

import midflight
from midflight.agents.claude import program as claude_program
from midflight.agents.process import process, tree
from midflight.rules import turns
from midflight.testing import Silence, Text, ToolCall, Usage, Wait, Words

pytestmark = pytest.mark.anyio


def _program(path: Path, script: str) -> Path:
    """Write a program that names a good version and then does as the script says."""
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo 2.1.330 && exit\n{script}\n')
    path.chmod(0o755)
    return path


# Before the greeting ------------------------------------------------------------------------


@fault("A1", "S4")
async def test_agent_that_ends_early_fails_the_start_with_its_last_words(
    tmp_path: Path, no_agent_left: None
) -> None:
    path = _program(
        tmp_path / "agent", 'echo "no way in with $MY_API_KEY" >&2; echo "sorry" >&2; exit 7'
    )
    session = midflight.open(agent_path=path, cwd=tmp_path, env={"MY_API_KEY": "sk-1234567890"})
    with pytest.raises(midflight.AgentFailed) as caught:
        async with asyncio.timeout(60), session:
            pass
    text = str(caught.value)
    assert "exit code 7" in text
    assert "no way in with [redacted]; sorry" in text
    assert session.status == "closed"


@fault("A1")
async def test_silent_agent_fails_the_start_within_a_bound(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.agent_runner.START_TIMEOUT_S", 0.3)
    path = _program(tmp_path / "agent", "exec cat >/dev/null")
    with pytest.raises(midflight.AgentFailed, match="did not answer within"):
        async with asyncio.timeout(60), midflight.dispatch("go", agent_path=path, cwd=tmp_path):
            pass


# Killed -------------------------------------------------------------------------------------


@fault("A2", "I7")
async def test_killed_agent_takes_its_tools_along_and_is_resumed(
    scripted_model: Models, use: Use, project: Path
) -> None:
    """Its turn fails."""
    fifo = pipe(project / "pid")
    model = await scripted_model(
        [[Words("on it"), bash(f"echo $$ > {fifo}; exec tail -f /dev/null")], Text("welcome back")]
    )
    options = use(model)
    async with midflight.dispatch("remember the heron", allowed_tools=["Bash"], **options) as s:
        tool = await pid_in(fifo)
        await written_by_claude(options["env"], "remember the heron")
        waiting = await s.send("and this", "queue")
        (agent,) = agents()
        agent.kill()
        result = await ended(s.first)
        assert (result.status, result.reason) == ("failed", "agent_died")
        assert (await ended(waiting)).reason == "agent_died"
        assert "SIGKILL" in result.text
        assert await gone([tool, agent], 30)
        assert (await ended(await s.send("are you there?"))).text == "welcome back"
        events = await read(s)
    assert [end.status for end in of(midflight.TurnEnded, events)] == ["failed", "completed"]
    assert [tool.status for tool in of(midflight.ToolEnded, events)] == ["cancelled"]
    assert "remember the heron" in str(model.requests[1].messages)


@fault("A2")
async def test_agent_killed_while_it_asks_leaves_no_request_open(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([bash("touch here")])
    async with midflight.dispatch("go", attended=True, **use(model)) as session:
        asked = await until(session, midflight.PermissionRequested)
        agents()[0].kill()
        assert (await ended(session.first)).reason == "agent_died"
        assert not session.pending
        with pytest.raises(midflight.AlreadyAnswered, match="cancelled by turn"):
            await session.answer(asked)


@fault("A2")
async def test_agent_killed_in_the_middle_of_a_line_fails_the_turn_once(
    scripted_model: Models, use: Use
) -> None:
    model = await scripted_model([Text("never told")])
    env = {"TAMPER": "die", "REAL_AGENT": str(claude_program.find(None))}
    options = use(model, env=env, agent_path=PROGRAMS / "tamper.py")
    async with midflight.dispatch("go", **options) as session:
        events = await read(session)
    (end,) = of(midflight.TurnEnded, events)
    assert (end.status, end.reason) == ("failed", "agent_died")
    assert not of(midflight.Text, events)


@fault("A2", "M8")
async def test_budget_of_a_session_survives_the_death_of_its_agent(
    scripted_model: Models, use: Use
) -> None:
    call = bash("true")
    model = await scripted_model(
        [[Text("dear"), Usage(100_000, 1)], Silence(), [call, Usage(500_000, 1)]]
    )
    options = use(model, max_budget_usd=1.5, allowed_tools=["Bash"])
    async with midflight.dispatch("one", **options) as session:
        first = await ended(session.first)
        assert first.status == "completed"
        second = await session.send("two")
        await model.request(2)
        agents()[0].kill()
        assert (await ended(second)).reason == "agent_died"
        spent = known(session.total_cost_usd)
        assert spent >= known(first.cost_usd) > 0
        third = await session.send("three")
        await model.request(3)
        passed = [arg for arg in agents()[0].cmdline() if arg.startswith("--max-budget-usd=")]
        assert float(passed[0].split("=")[1]) == pytest.approx(1.5 - spent)
        assert (await ended(third)).reason == "max_budget"
        assert known(session.total_cost_usd) > 1.5


@fault("A6")
async def test_agent_and_tool_end_with_the_program_that_runs_them(
    scripted_model: Models, use: Use, project: Path
) -> None:
    fifo = pipe(project / "pid")
    model = await scripted_model([bash(f"echo $$ > {fifo}; exec tail -f /dev/null")])
    program = (
        "import json, sys, midflight\n"
        "midflight.run('go', allowed_tools=['Bash'], **json.loads(sys.argv[1]))\n"
    )
    options = use(model)
    given = {"cwd": str(options["cwd"]), "env": options["env"]}
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", program, json.dumps(given))
    try:
        tool = await pid_in(fifo)
        family = psutil.Process(host.pid).children(recursive=True)
        assert tool in family
    finally:
        host.kill()
        await host.wait()
    assert await gone([*family, tool], 30)


@fault("A6", "S4")
async def test_keys_of_mcp_servers_do_not_outlive_a_killed_program(
    scripted_model: Models, use: Use, project: Path
) -> None:
    model = await scripted_model([Wait("never")])
    program = (
        "import json, sys, midflight\n"
        "server = {'command': '/bin/false', 'env': {'SERVER_TOKEN': 'secret-0123456789'}}\n"
        "midflight.run('go', mcp_servers={'s': server}, **json.loads(sys.argv[1]))\n"
    )
    options = use(model)
    given = {"cwd": str(options["cwd"]), "env": options["env"]}
    host = await asyncio.create_subprocess_exec(sys.executable, "-c", program, json.dumps(given))
    try:
        await model.reached("never")
        family = psutil.Process(host.pid).children(recursive=True)
        flags = [flag for p in family for flag in p.cmdline() if flag.startswith("--mcp-config=")]
        config = Path(flags[0].partition("=")[2])
        assert "secret-0123456789" in await asyncio.to_thread(config.read_text)
    finally:
        host.kill()
        await host.wait()
    assert await gone(family, 30)
    assert not await asyncio.to_thread(config.parent.exists)


@fault("A4")
async def test_interrupt_ends_the_tool_and_not_the_background_task(
    scripted_model: Models, use: Use, project: Path
) -> None:
    background, tool = pipe(project / "background"), pipe(project / "tool")
    forever = "trap : TERM; while true; do sleep 0.2; done"
    # This one ends if anything ends what it starts meanwhile.
    touchy = forever.replace("sleep 0.2", "sleep 0.2 || exit 1")
    steps = [
        ToolCall(
            "Bash", {"command": f"echo $$ > {background}; {touchy}", "run_in_background": True}
        ),
        bash(f"echo $$ > {tool}; {forever}"),
        Text("fine"),
    ]
    model = await scripted_model(steps)
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        survivor, victim = await pid_in(background), await pid_in(tool)
        await session.interrupt()
        assert (await ended(session.first)).reason == "interrupted"
        assert await gone([victim], 30)
        assert survivor.is_running()
        assert (await ended(await session.send("go on"))).text == "fine"
    assert await gone([survivor], 30)


# Deaf ---------------------------------------------------------------------------------------


@fault("A3")
async def test_agent_that_ignores_an_interrupt_is_killed(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn counts as interrupted all the same."""
    monkeypatch.setattr(turns, "STOP_GRACE_S", 0.3)
    path = PROGRAMS / "stubborn.py"
    async with midflight.dispatch("go", agent_path=path, cwd=tmp_path) as session:
        await until(session, midflight.TurnStarted)
        (agent,) = agents()
        await session.interrupt()
        result = await ended(session.first)
        assert (result.status, result.reason) == ("interrupted", "interrupted")
        assert await gone([agent], 30)
        assert session.status in ("idle", "starting")


@fault("A3")
async def test_agent_that_ignores_end_of_input_and_term_is_killed_on_close(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "EOF_GRACE_S", 0.2)
    monkeypatch.setattr(process, "TERM_GRACE_S", 0.2)
    monkeypatch.setattr("midflight.session.session.CLOSE_GRACE_S", 0.2)
    path = PROGRAMS / "stubborn.py"
    async with midflight.dispatch("go", agent_path=path, cwd=tmp_path) as session:
        await until(session, midflight.TurnStarted)
        (agent,) = agents()
    assert await gone([agent], 0)
    assert (await ended(session.first)).status == "interrupted"


# Families -----------------------------------------------------------------------------------

STRAYS = {
    "in a session of its own": "setsid",
    "orphaned in a session of its own": "setsid --fork",
    "with an empty environment": "env -i",
    "deaf to TERM": 'sh -c \'trap "" TERM HUP INT; "$@"\' --',
}


@fault("A4")
@pytest.mark.parametrize("end", ["interrupt", "close", "kill"])
async def test_processes_of_a_tool_end_with_the_agent(
    scripted_model: Models, use: Use, project: Path, end: str
) -> None:
    fifos = {how: pipe(project / str(number)) for number, how in enumerate(STRAYS.values())}
    strays = [
        f"{how} /bin/sh -c 'echo $$ > {fifo}; exec tail -f /dev/null' &"
        for how, fifo in fifos.items()
    ]
    model = await scripted_model([bash("\n".join([*strays, "exec tail -f /dev/null"]))])
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        processes = [await pid_in(fifo) for fifo in fifos.values()]
        if end == "interrupt":
            await session.interrupt()
            assert (await ended(session.first)).status == "interrupted"
        elif end == "kill":
            agents()[0].kill()
            assert (await ended(session.first)).reason == "agent_died"
        if end != "close":
            assert await gone(processes, 30)
    assert await gone(processes, 0)


@fault("A4")
async def test_process_that_cannot_be_ended_is_reported_by_its_id(
    scripted_model: Models, use: Use, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fifo = pipe(project / "pid")
    stray = f"setsid --fork /bin/sh -c 'echo $$ > {fifo}; exec tail -f /dev/null'"
    model = await scripted_model([bash(f"{stray} & exec tail -f /dev/null")])
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        process = await pid_in(fifo)
        with monkeypatch.context() as patch:
            patch.setattr(tree, "KILL_GRACE_S", 1.5)
            kill = psutil.Process.kill
            patch.setattr(psutil.Process, "kill", lambda it: it.pid == process.pid or kill(it))
            agents()[0].kill()
            assert (await ended(session.first)).reason == "agent_died"
        process.kill()
        notices = of(midflight.Notice, await read(session))
    assert [notice.text for notice in notices if notice.level == "error"] == [
        f"these processes could not be ended: {process.pid}"
    ]


@fault("A5")
async def test_close_in_the_middle_of_a_tool_leaves_no_process(
    scripted_model: Models, use: Use, project: Path
) -> None:
    fifo = pipe(project / "pid")
    model = await scripted_model([bash(f"echo $$ > {fifo}; exec tail -f /dev/null")])
    async with midflight.dispatch("go", allowed_tools=["Bash"], **use(model)) as session:
        tool = await pid_in(fifo)
        (agent,) = agents()
        await session.close()
        assert await gone([tool, agent], 0)
        assert (await ended(session.first)).status == "interrupted"
        assert session.status == "closed"


@fault("A3")
async def test_message_that_an_agent_did_not_take_does_not_run_later(
    scripted_model: Models, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.process.process.WRITE_TIMEOUT_S", 0.5)
    model = await scripted_model([Text("one")])
    async with midflight.dispatch("go", **use(model)) as session:
        await ended(session.first)
        (agent,) = agents()
        agent.suspend()
        result = await ended(await session.send("x" * 600_000))
        assert result.status == "failed"
        assert await gone([agent], 30)
    assert len(model.requests) == 1

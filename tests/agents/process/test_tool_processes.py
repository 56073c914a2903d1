"""What of an agent's processes does not outlive a stop, also what the agent has not told of."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from midflight import events as e
from midflight.agents.base import Taken
from midflight.agents.process.process import AgentProcess
from midflight.agents.process.tool_processes import OpenCalls

SHELL = ["/bin/sh", "-c", 'while read -r line; do eval "$line"; done']
"""An agent that runs what it is told."""

WAITS = "sh -c 'echo $$; exec tail -f /dev/null'"
CALL = e.ToolStarted(call="c", name="Bash", kind="execute", input={})


class Agent:
    def __init__(self, process: AgentProcess) -> None:
        self.process = process
        self.calls = OpenCalls(process, told_late=True)
        self.calls.note(Taken("m"))
        self._lines = process.lines()

    async def starts(self, command: str) -> psutil.Process:
        """Have it start a command; return the process once it runs."""
        await self.process.write(command.encode() + b"\n")
        return psutil.Process(int(await anext(self._lines)))

    async def stops(self) -> None:
        await self.calls.condemn()
        await self.calls.close()


@pytest.fixture
async def agent(tmp_path: Path, no_agent_left: None) -> AsyncIterator[Agent]:
    process = AgentProcess()
    await process.start(SHELL, {"PATH": "/usr/bin:/bin"}, tmp_path)
    yield Agent(process)
    await process.kill()


def lives(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


async def test_process_of_an_open_call_does_not_outlive_a_stop(agent: Agent) -> None:
    agent.calls.note(CALL)
    command = await agent.starts(f"{WAITS} &")
    await agent.stops()
    assert not lives(command)


async def test_process_that_begins_after_the_stop_does_not_outlive_its_turn(agent: Agent) -> None:
    agent.calls.note(CALL)
    await agent.calls.condemn()
    command = await agent.starts(f"{WAITS} &")
    agent.calls.note(e.ToolEnded(call="c", name="Bash", status="cancelled"))
    await agent.calls.close()
    assert not lives(command)


async def test_process_that_ignores_its_end_and_forks_leaves_nothing(agent: Agent) -> None:
    agent.calls.note(CALL)
    forks = "while :; do (exec tail -f /dev/null) & sleep 0.01; done"
    command = await agent.starts(f"sh -c 'trap : TERM; echo $$; {forks}' &")
    await agent.stops()
    assert not lives(command)
    children = psutil.Process(agent.process.pid).children(recursive=True)
    assert [child for child in children if lives(child)] == []


async def test_what_a_call_that_was_not_told_of_leaves_is_ended(agent: Agent) -> None:
    """The agent has ended the command itself, in the moment in which that started another one."""
    orphan = await agent.starts(f"(setsid {WAITS} &)")
    await agent.stops()
    assert not lives(orphan)


async def test_processes_of_the_agents_own_survive_a_stop_without_a_call(agent: Agent) -> None:
    server = await agent.starts(f"{WAITS} &")
    await agent.stops()
    assert lives(server)


async def test_stop_that_met_no_turn_ends_nothing_in_the_next(agent: Agent) -> None:
    await agent.calls.condemn()
    agent.calls.note(Taken("n"))
    orphan = await agent.starts(f"(setsid {WAITS} &)")
    await agent.calls.close()
    assert lives(orphan)

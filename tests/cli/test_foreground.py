"""Sessions of the real agent that other processes reach, and that live on without any."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from tests.cli.conftest import environment
from tests.support.program import Done, Program
from tests.support.terminal import Terminal

from midflight.journal import Journal
from midflight.testing import ScriptedModel, Text, ToolCall, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Midflight = Callable[..., Awaitable[Program]]
Say = Callable[..., Awaitable[Done]]


@pytest.fixture
async def tell(
    say: Callable[..., Awaitable[Done]],
    claude_home: Path,
    no_agent_left: None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Say]:
    """Carry out commands that may start hosts in the background; those are ended at the end."""

    async def carry_out(model: ScriptedModel, *arguments: str) -> Done:
        for name, value in environment(model, claude_home).items():
            monkeypatch.setenv(name, value)
        return await say(*arguments)

    yield carry_out
    async with Journal() as journal:
        hosts = [psutil.Process(host.pid) for host in await journal.hosts() if host.alive]
    for host in hosts:
        host.terminate()
    assert not psutil.wait_procs(hosts, timeout=100)[1]


def at() -> dict[str, str]:
    """Return where the journal of `tell` is, for programs that are started beside it."""
    return {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"]}


async def the_host() -> int:
    async with Journal() as journal:
        [host] = await journal.hosts()
    return host.pid


async def test_a_session_in_the_background_outlives_its_command_and_its_host(
    model: Model, midflight: Midflight, tell: Say, claude_home: Path, project: Path
) -> None:
    scripted = await model(
        ToolCall("Bash", {"command": "touch made"}), Text("two"), Text("three"), Text("four")
    )
    done = await tell(scripted, "run", "-d", "make it", "--then", "then that", "--name", "apart")
    assert done == (0, "apart\nTo follow it: midflight attach apart\n", "")
    following = await midflight(scripted, "logs", "apart", "-f", "--json", **at())
    asked = await following.until("permission.requested")
    answered = await tell(scripted, "answer", asked["request"][:8], "allow", "--wait")
    assert (answered.code, (project / "made").exists()) == (0, True)
    assert [
        line
        for line in answered.out.splitlines()
        if line[:6] in ("Result", "> then", "two", "three")
    ] == [
        "two",
        "Result: completed",
        "> then that",
        "three",
        "Result: completed",
    ]
    await following.kill()
    os.kill(await the_host(), signal.SIGKILL)
    after = await tell(scripted, "send", "go on", "--wait")
    assert (after.code, "four\n\nResult: completed" in after.out) == (0, True)
    assert "touch made" in str(scripted.requests[-1].messages)


async def test_start_that_fails_at_once_is_the_error_of_a_run_in_the_background(
    model: Model, tell: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.cli.commands.run.START_S", 30.0)  # "at once" on a busy machine
    command = ("run", "-d", "--agent", "acp:/bin/false", "look", "--name", "apart")
    done = await tell(await model(), *command)
    assert (done.code, done.out.splitlines()[0]) == (1, "apart")
    assert done.err.startswith("midflight: the agent has ended: acp:false did not start")
    assert len(done.err.splitlines()) == 1


async def test_a_run_is_reached_while_it_lasts_and_resumed_afterwards(
    model: Model, midflight: Midflight, tell: Say
) -> None:
    scripted = await model(
        [Words("looking "), Wait("go"), ToolCall("Bash", {"command": "ls"})], Text("both done"),
        Text("remembered"),
    )  # fmt: skip
    program = await midflight(scripted, "look around", "--name", "here", **at())
    out = await program.reads("looking")
    assert (await tell(scripted, "send", "here", "also that")).out == "sent to here\n"
    scripted.signal("go")
    done = await program.done()
    assert (done.code, "both done\n\nResult: completed" in out + done.out) == (0, True)
    assert "also that" in str(scripted.requests[1].messages)
    assert json.loads((await tell(scripted, "show", "--json")).out)["status"] == "closed"
    again = await tell(scripted, "send", "what was it?", "--wait")
    assert (again.code, "remembered\n\nResult: completed" in again.out) == (0, True)
    assert "looking" in str(scripted.requests[2].messages)


async def test_a_run_without_a_journal_leaves_no_trace(
    model: Model, fake_midflight: Midflight, claude_home: Path
) -> None:
    program = await fake_midflight(await model(Text("one")), "run", "look", "--no-journal")
    assert (await program.done()).code == 0
    assert not (claude_home / ".local" / "state" / "midflight").exists()


# An agent that is not there would be told otherwise: the journal is looked at before it.
@pytest.mark.parametrize(
    "arguments",
    [("--agent", "acp:nothing-there"), ("-d",)],
    ids=["here", "in the background"],
)
async def test_an_unusable_journal_is_an_error_before_anything_starts(
    model: Model, midflight: Midflight, claude_home: Path, arguments: tuple[str, ...]
) -> None:
    folder = claude_home / ".local" / "state" / "midflight"
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    done = await (await midflight(await model(), "run", "look", *arguments)).done()
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"midflight: {folder} is open to others (mode 755)",
        f"hint: chmod 700 {folder}",
    ]


async def test_messages_that_wait_are_handed_over_by_resume(
    model: Model, tell: Say, claude_home: Path, project: Path
) -> None:
    scripted = await model([Words("one"), Wait("never")], Text("two"))
    await tell(scripted, "run", "-d", "first", "--name", "apart", "--then", "second")
    await scripted.reached("never")
    os.kill(await the_host(), signal.SIGKILL)
    env = environment(scripted, claude_home) | {"TERM": "xterm-256color"} | at()
    screen = await Terminal.start(("resume", "apart"), env, project)
    await screen.sees("turn 1 failed (host_died)")
    await screen.sees("turn 2 completed")
    screen.types("/quit")
    await screen.sees("Detached; apart goes on.")
    assert await screen.ends() == 0
    await screen.kill()

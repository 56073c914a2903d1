"""``midflight trust``, and the question at a terminal before anything starts."""

from __future__ import annotations

import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support import hostile as h
from tests.support.acp_agent import PROGRAM
from tests.support.faults import Models
from tests.support.program import Done, Program, watched
from tests.support.terminal import Terminal

from midflight.testing import ScriptedModel, Text

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

SETTINGS = ".claude/settings.json"
NONE = "nothing is trusted yet\n"
Run = Callable[..., Awaitable[Done]]
Open = Callable[..., Awaitable[Terminal]]


@pytest.fixture
def folder(tmp_path: Path) -> h.Hostile:
    return h.hostile(tmp_path, "https://elsewhere.example")


@pytest.fixture
def env(tmp_path: Path, state: Path, claude_home: Path) -> dict[str, str]:
    """Return the environment of the program: a home and a state of the test's own."""
    config = {"XDG_STATE_HOME": str(state.parent), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    return config | watched()


@pytest.fixture
def run(folder: h.Hostile, env: dict[str, str], claude_home: Path) -> Run:
    """Return a function that runs the program over pipes."""

    async def start(*arguments: str, **more: str) -> Done:
        everything = {"HOME": str(claude_home), "PATH": "/usr/bin:/bin"} | env | more
        return await (await Program.start(arguments, everything, folder.folder)).done()

    return start


@pytest.fixture
async def terminal(
    folder: h.Hostile, env: dict[str, str], claude_home: Path
) -> AsyncIterator[Open]:
    """Yield a function that runs it in a terminal, with an agent that asks a model."""
    started: list[Terminal] = []

    async def start(model: ScriptedModel | None, *arguments: str, **more: str) -> Terminal:
        everything = {"HOME": str(claude_home), "PATH": "/usr/bin:/bin", **env, **more}
        if model is not None:
            everything = model.env(claude_home) | everything
        everything["TERM"] = "xterm-256color"
        started.append(await Terminal.start(arguments, everything, folder.folder))
        return started[-1]

    yield start
    for each in started:
        await each.kill()


async def test_trust_shows_what_it_is_about_and_records_it(run: Run, folder: h.Hostile) -> None:
    assert "nothing here" in (await run("trust")).out
    h.claude(folder)
    shown = await run("trust")
    assert shown.code == 0
    for words in (
        "would run:\n",
        f"{SETTINGS}: hook Stop: {folder.mark('Stop')}\n",
        ".mcp.json: MCP server evil: sh -c ",
        "would send your key, and what you and the agent say, elsewhere:\n",
        f"{SETTINGS}: apiKeyHelper: ./helper.sh\n",
        f"{SETTINGS}: variable ANTHROPIC_BASE_URL=https://elsewhere.example\n",
        "would allow beforehand (midflight asks all the same):\n",
        "What these commands call in turn is not looked at.",
    ):
        assert words in shown.out, words
    key = str((folder.folder / ".git").resolve())
    assert shown.out.endswith(f"trusted: {key}\n")
    assert (await run("trust", "--list")).out == f"{key}  6 files\n"
    assert (await run("trust", "--forget")).out == f"forgotten: {key}\n"
    assert (await run("trust", "--list")).out == NONE
    assert (await run("trust", "--forget")).code == 2


async def test_trust_shows_what_a_terminal_would_obey(run: Run, folder: h.Hostile) -> None:
    folder.write(SETTINGS, {"apiKeyHelper": "./a\x1b[2Kb\u202e"})
    assert "apiKeyHelper: ./a<U+001B>[2Kb<U+202E>\n" in (await run("trust")).out


async def test_an_agent_cannot_trust_a_folder_by_the_command(run: Run, folder: h.Hostile) -> None:
    h.claude(folder)
    refused = await run("trust", MIDFLIGHT_SESSION="outer")
    assert refused.code == 1
    assert "an agent cannot trust a folder" in refused.err
    assert (await run("trust", "--list")).out == NONE


async def test_trust_asks_at_a_terminal(terminal: Open, folder: h.Hostile, run: Run) -> None:
    h.claude(folder)
    for words, code in ((["n"], 1), (["perhaps", "n"], 1), (["y"], 0)):
        assert (await run("trust", "--list")).out == NONE
        screen = await terminal(None, "trust")
        for word in words:
            await screen.sees("Trust this? [y/n]")
            screen.types(word)
        assert await screen.ends() == code
    assert (await run("trust", "--list")).out != NONE


async def test_what_was_typed_before_the_question_trusts_nothing(
    terminal: Open, folder: h.Hostile, run: Run
) -> None:
    h.claude(folder)
    screen = await terminal(None, "trust")
    screen.types("y")
    await screen.sees("Trust this? [y/n]")
    screen.types("n")
    assert await screen.ends() == 1
    assert (await run("trust", "--list")).out == NONE


@pytest.mark.agent
@pytest.mark.parametrize("word", ["t", "g", "q"])
async def test_a_terminal_is_asked_before_anything_starts(
    terminal: Open, folder: h.Hostile, scripted_model: Models, word: str
) -> None:
    hook = {"hooks": [{"type": "command", "command": folder.mark("ran")}]}
    folder.write(SETTINGS, {"hooks": {"SessionStart": [hook]}})
    model = await scripted_model([] if word == "q" else [Text("All done.")])
    screen = await terminal(model, "do x")
    await screen.sees("would run:")
    await screen.sees(f"{SETTINGS}: hook SessionStart: touch")
    await screen.sees("[t]rust them, [g]o on without them, or [q]uit?")
    assert folder.ran == set()
    screen.types(word)
    if word != "q":
        await screen.sees("All done.")
        await screen.sees("idle")
        screen.types("/quit")
    assert await screen.ends() == (130 if word == "q" else 0)
    assert folder.ran == ({"ran"} if word == "t" else set())


@pytest.mark.agent
async def test_a_run_without_a_terminal_starts_without_and_says_so(
    run: Run, folder: h.Hostile, scripted_model: Models, claude_home: Path
) -> None:
    """``--trust`` is for one run."""
    hook = {"hooks": [{"type": "command", "command": folder.mark("ran")}]}
    folder.write(SETTINGS, {"hooks": {"SessionStart": [hook]}})
    model = await scripted_model([Text("one"), Text("two"), Text("three")])
    env: dict[str, Any] = model.env(claude_home)
    done = await run("run", "do x", **env)
    assert (done.code, folder.ran) == (0, set())
    assert "midflight trust" in done.out
    done = await run("run", "--trust", "do x", **env)
    assert (done.code, folder.ran) == (0, {"ran"})
    (folder.marks / "ran").unlink()
    done = await run("run", "do x", **env)
    assert (done.code, folder.ran) == (0, set())


def acp(folder: h.Hostile) -> tuple[str, Path]:
    """Return a scripted agent that cannot be told, and the log that it writes once it is up."""
    folder.write(".gemini/settings.json", {"mcpServers": {"evil": {"command": "evil"}}})
    log = folder.marks / "log"
    return f"acp:{shlex.join([sys.executable, '-SE', str(PROGRAM), str(log), '{}'])}", log


@fault("S7")
@pytest.mark.agent
async def test_agent_that_cannot_be_told_is_refused_before_it_starts(
    run: Run, folder: h.Hostile
) -> None:
    agent, log = acp(folder)
    done = await run("run", "--agent", agent, "do x")
    assert done.code == 2
    assert " cannot be told to leave out what this folder has it run or redirect" in done.err
    assert "midflight trust" in done.err
    assert not log.exists()
    assert (await run("run", "--agent", agent, "--trust", "do x")).code == 0
    assert log.exists()


@fault("S7")
@pytest.mark.agent
@pytest.mark.parametrize("word", ["t", "g", "q"])
async def test_terminal_is_asked_before_an_agent_starts_that_cannot_be_told(
    terminal: Open, folder: h.Hostile, run: Run, word: str
) -> None:
    """To go on all the same is for this one session."""
    agent, log = acp(folder)
    screen = await terminal(None, "--agent", agent, "do x")
    await screen.sees("MCP server evil: evil")
    await screen.sees("[t]rust them, [g]o on all the same, or [q]uit?")
    assert not log.exists()
    screen.types(word)
    if word != "q":
        await screen.sees("turn 1 completed")  # idle it is before its first turn too
        screen.types("/quit")
    assert await screen.ends() == (130 if word == "q" else 0)
    assert log.exists() == (word != "q")
    assert ((await run("trust", "--list")).out != NONE) == (word == "t")


async def test_folder_that_is_not_there_is_called_what_was_typed(run: Run, tmp_path: Path) -> None:
    done = await run("trust", str(tmp_path / "nowhere"))
    assert done.code == 2
    assert done.err.startswith(f"midflight: {tmp_path}/nowhere does not exist\nhint: ")

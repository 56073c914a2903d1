from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.support.program import (
    AT_ONCE,
    COMMAND,
    WITH_FAKE,
    Done,
    Program,
    in_a_thread,
    watched,
)
from tests.support.terminal import Terminal

from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Step


@pytest.fixture(autouse=True)
def no_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep away the defaults of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delenv("MIDFLIGHT_AGENT", raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
async def model(
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
) -> Callable[..., Awaitable[ScriptedModel]]:
    async def start(*steps: Step) -> ScriptedModel:
        return await scripted_model(list(steps))

    return start


def environment(model: ScriptedModel, home: Path) -> dict[str, str]:
    """The agent's environment, and what watches the program under test."""
    return model.env(home) | watched()


Start = Callable[..., Awaitable[Program]]
Open = Callable[..., Awaitable[Terminal]]


async def programs(project: Path, home: Path, command: Sequence[str]) -> AsyncIterator[Start]:
    """Yield a function that starts the program; what is left of it is killed at the end."""
    started: list[Program] = []

    async def start(model: ScriptedModel, *arguments: str, **more: str) -> Program:
        env = environment(model, home) | more
        started.append(await Program.start(arguments, env, project, command))
        return started[-1]

    yield start
    for program in started:
        await program.kill()


async def terminals(project: Path, home: Path, command: Sequence[str]) -> AsyncIterator[Open]:
    """The same, for the program in a terminal of its own."""
    started: list[Terminal] = []

    async def start(model: ScriptedModel, *arguments: str, **more: str) -> Terminal:
        env = environment(model, home) | {"TERM": "xterm-256color"} | more
        started.append(await Terminal.start(arguments, env, project, command))
        return started[-1]

    yield start
    for program in started:
        await program.kill()


@pytest.fixture
async def midflight(project: Path, claude_home: Path) -> AsyncIterator[Start]:
    """Start the program; its agent is Claude Code."""
    async for start in programs(project, claude_home, COMMAND):
        yield start


@pytest.fixture
async def terminal(project: Path, claude_home: Path) -> AsyncIterator[Open]:
    """Start the program in a terminal; its agent is Claude Code."""
    async for start in terminals(project, claude_home, AT_ONCE):
        yield start


@pytest.fixture
async def fake_midflight(project: Path, claude_home: Path) -> AsyncIterator[Start]:
    """Start the program with a fake agent, where no sentence is about the agent."""
    async for start in programs(project, claude_home, WITH_FAKE):
        yield start


@pytest.fixture
async def fake_terminal(project: Path, claude_home: Path) -> AsyncIterator[Open]:
    """The same in a terminal."""
    async for start in terminals(project, claude_home, WITH_FAKE):
        yield start


# Sessions of a host that is in the test's own process -----------------------------------------

Say = Callable[..., Coroutine[Any, Any, Done]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


@pytest.fixture
def state(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the journal in a folder of the test's own, and work in the project."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(project)


@pytest.fixture
async def host(state: None) -> AsyncIterator[Host]:
    async with Host() as host:
        yield host


@pytest.fixture
async def begin(host: Host, project: Path, tmp_path: Path) -> AsyncIterator[Begin]:
    """Start sessions of the fake agent in the test's host."""
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            *steps: Any, task: str = "make it", **options: Any
        ) -> tuple[FakeModel, Session]:
            model = await stack.enter_async_context(FakeModel(list(steps)))
            given = {"agent": "fake", "cwd": project, "env": model.env(tmp_path)} | options
            return model, await host.begin(task, Options.build(**given))

        yield start


@pytest.fixture
def say(state: None, monkeypatch: pytest.MonkeyPatch) -> Say:
    """Carry out a command as its own process would, in a thread beside the host."""

    async def carry_out(*arguments: str) -> Done:
        return await in_a_thread(monkeypatch, *arguments)

    return carry_out

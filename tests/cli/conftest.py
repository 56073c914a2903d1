from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.program import Program
from tests.cli.terminal import Terminal

from midflight.testing import ScriptedModel, Step


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
    """The agent's environment, and what measures the coverage of the program under test."""
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return model.env(home) | coverage


Start = Callable[..., Awaitable[Program]]


@pytest.fixture
async def midflight(project: Path, claude_home: Path) -> AsyncIterator[Start]:
    """Start the real program; what is left of it is killed at the end."""
    started: list[Program] = []

    async def start(model: ScriptedModel, *arguments: str, **more: str) -> Program:
        env = environment(model, claude_home) | more
        program = await Program.start(arguments, env, project)
        started.append(program)
        return program

    yield start
    for program in started:
        await program.kill()


@pytest.fixture
async def terminal(
    project: Path, claude_home: Path
) -> AsyncIterator[Callable[..., Awaitable[Terminal]]]:
    """Start the real program in a terminal of its own."""
    started: list[Terminal] = []

    async def start(model: ScriptedModel, *arguments: str, **more: str) -> Terminal:
        env = environment(model, claude_home) | {"TERM": "xterm-256color"} | more
        program = await Terminal.start(arguments, env, project)
        started.append(program)
        return program

    yield start
    for program in started:
        await program.kill()

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from midflight.testing import FakeModel, ScriptedModel
from midflight.testing.conformance.rig import OPENCODE, Stage
from midflight.testing.model.script import Script
from midflight.testing.opencode import OpenCodeServer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Return the directory that the agent works in."""
    path = tmp_path / "project"
    path.mkdir()
    return path


@pytest.fixture
def use(
    agent_env: Callable[[ScriptedModel], dict[str, str]], project: Path, no_agent_left: None
) -> Callable[..., dict[str, Any]]:
    """Return a function from a scripted model to the options of a session that asks it."""

    def options(
        model: ScriptedModel, env: dict[str, str] | None = None, **more: Any
    ) -> dict[str, Any]:
        return {"cwd": project, "env": agent_env(model) | (env or {}), **more}

    return options


@pytest.fixture
async def fake(
    project: Path, tmp_path: Path
) -> AsyncIterator[Callable[[Script], Awaitable[tuple[FakeModel, dict[str, Any]]]]]:
    """Start models of the fake agent, each with the options of a session that asks it.

    For what is the session's own doing, whatever the agent is.
    """
    async with AsyncExitStack() as stack:

        async def start(script: Script) -> tuple[FakeModel, dict[str, Any]]:
            model = await stack.enter_async_context(FakeModel(script))
            return model, {"agent": "fake", "cwd": project, "env": model.env(tmp_path)}

        yield start


@pytest.fixture
def opencode(opencode_server: OpenCodeServer, tmp_path: Path, no_agent_left: None) -> Stage:
    """Return a stage on the OpenCode server that tests share."""
    return Stage(OPENCODE.on(opencode_server), tmp_path)

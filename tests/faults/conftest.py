from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midflight.testing import ScriptedModel
from midflight.testing.opencode import OpenCodeServer
from midflight.testing.rig import OPENCODE, Stage


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
def opencode(opencode_server: OpenCodeServer, tmp_path: Path, no_agent_left: None) -> Stage:
    """Return a stage on the OpenCode server that tests share."""
    return Stage(OPENCODE.on(opencode_server), tmp_path)

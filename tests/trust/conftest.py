from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midflight.testing import ScriptedModel


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have what is trusted recorded in a folder of the test's own."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "midflight"


@pytest.fixture
def use(
    agent_env: Callable[[ScriptedModel], dict[str, str]], no_agent_left: None
) -> Callable[..., dict[str, Any]]:
    """Return a function from a scripted model and a folder to the options of a session there."""

    def options(model: ScriptedModel, cwd: Path, **more: Any) -> dict[str, Any]:
        return {"cwd": cwd, "env": agent_env(model), **more}

    return options

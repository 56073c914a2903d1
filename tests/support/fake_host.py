"""A host of this process whose fake agents ask one model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from midflight.agents import create
from midflight.agents.base import Agent
from midflight.host import Host
from midflight.options import Options
from midflight.testing import FakeModel

OpenHost = Callable[..., Awaitable[tuple[FakeModel, Host]]]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the journal's folder; whoever is asked for the user's own one finds it too."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("MIDFLIGHT_SESSION", raising=False)
    (tmp_path / "xdg").mkdir()
    (tmp_path / "work").mkdir()
    return tmp_path / "xdg" / "midflight"


@pytest.fixture
async def open_host(
    state: Path, tmp_path: Path, no_agent_left: None, patience: None
) -> AsyncIterator[OpenHost]:
    """Return a function from steps to their model and a host of this process.

    It takes what is dispatched over its socket: its fake agents ask that model, and one is ready.
    """
    async with AsyncExitStack() as stack:

        async def start(*steps: Any) -> tuple[FakeModel, Host]:
            script = steps[0] if len(steps) == 1 and callable(steps[0]) else steps
            model = await stack.enter_async_context(FakeModel(script))
            known = model.env(tmp_path)

            def make(options: Options) -> Agent:
                env = {**options.env, **known} if options.agent == "fake" else options.env
                return create(msgspec.structs.replace(options, env=env))

            host = await stack.enter_async_context(Host(state, agent=make, taking=True))
            await host.keep_warm(agent="fake", cwd=tmp_path / "work")
            return model, host

        yield start

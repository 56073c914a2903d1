from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import midflight
from midflight.testing import FakeModel


@pytest.fixture
async def fake_model() -> AsyncIterator[Callable[..., Any]]:
    """Start fake models for one test; their scripts must be played to the end."""
    async with AsyncExitStack() as stack:

        async def start(*steps: Any, **options: Any) -> FakeModel:
            return await stack.enter_async_context(FakeModel(steps, **options))

        yield start


@pytest.fixture
def fake(fake_model: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """Return a function from steps and options to a fake model and a session that is not open."""

    async def start(*steps: Any, **options: Any) -> tuple[FakeModel, midflight.Session]:
        model = await fake_model(*steps)
        env = model.env(tmp_path)
        return model, midflight.open(agent="fake", cwd=tmp_path, env=env, **options)

    return start

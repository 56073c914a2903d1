from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.mcp.conftest import Opened, open_host, patience, state
from tests.support.orchestra import Stage

from midflight.authorization import AnswerGrant
from midflight.client.client import connect
from midflight.options import Options
from midflight.orchestrate.children import Children

__all__ = ["Staged", "open_host", "patience", "stage", "state"]

Staged = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage(open_host: Opened, tmp_path: Path) -> AsyncIterator[Staged]:
    """Return a function from the lines of each session to an orchestrator and its crew.

    A session is known by its first message, which is its name too.
    """
    async with AsyncExitStack() as stack:

        async def start(*, may_answer: Any = ("questions",), **lines: list[Any]) -> Stage:
            budget = lines.pop("max_budget_usd", None)
            left = {name: iter(steps) for name, steps in lines.items()}

            def script(request: Any) -> Any:
                first = str(request.messages[0])
                return next(left[next(name for name in left if name in first)])

            model, host = await open_host(script)
            client = await stack.enter_async_context(connect())
            options = Options.build(
                agent="fake",
                cwd=tmp_path / "work",
                name="boss",
                env=model.env(tmp_path),
                max_budget_usd=budget,
            )
            boss = await host.begin("boss", options)
            crew = Children(client, boss, AnswerGrant(may_answer), attend=True)
            await stack.enter_async_context(crew)
            return Stage(model, host, boss, crew)

        yield start

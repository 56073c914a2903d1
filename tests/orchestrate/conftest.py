from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.fake_host import OpenHost, open_host, state
from tests.support.model_scripts import by_task
from tests.support.orchestra import Orchestra

from midflight.authorization import AnswerGrant
from midflight.client.client import connect
from midflight.options import Options
from midflight.orchestrate.children import Children

__all__ = ["OpenOrchestra", "open_host", "orchestra", "state"]

OpenOrchestra = Callable[..., Awaitable[Orchestra]]


@pytest.fixture
async def orchestra(open_host: OpenHost, tmp_path: Path) -> AsyncIterator[OpenOrchestra]:
    """Return a function from the lines of each session to an orchestrator and its children.

    A session is known by its first message, which is its name too.
    """
    async with AsyncExitStack() as stack:

        async def start(*, may_answer: Any = ("questions",), **lines: list[Any]) -> Orchestra:
            budget = lines.pop("max_budget_usd", None)
            model, host = await open_host(by_task(**lines))
            client = await stack.enter_async_context(connect())
            options = Options.build(
                agent="fake",
                cwd=tmp_path / "work",
                name="boss",
                env=model.env(tmp_path),
                max_budget_usd=budget,
            )
            boss = await host.begin("boss", options)
            children = Children(client, boss, AnswerGrant(may_answer), attend=True)
            await stack.enter_async_context(children)
            return Orchestra(model, host, boss, children)

        yield start

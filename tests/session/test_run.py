"""The blocking form, for scripts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import midflight
from midflight.testing import FakeModel, Text, usage_limit


def test_run_blocks_until_the_task_is_done(tmp_path: Path) -> None:
    seen: list[str] = []

    async def play() -> FakeModel:
        async with FakeModel([Text("done")]) as model:
            options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
            result = await asyncio.to_thread(
                midflight.run, "x", on_event=lambda event: seen.append(event.type), **options
            )
            assert result.text == "done"
            return model

    asyncio.run(play())
    assert seen[0] == "message.accepted"
    assert seen[-1] == "turn.ended"


def test_run_returns_the_result_after_a_usage_limit(tmp_path: Path) -> None:
    async def play() -> None:
        async with FakeModel([usage_limit(0.5), Text("went on")]) as model:
            options: Any = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
            result = await asyncio.to_thread(midflight.run, "x", on_usage_limit="wait", **options)
            assert (result.status, result.text) == ("completed", "went on")

    asyncio.run(play())


def test_run_returns_the_usage_limit_where_it_does_not_wait(tmp_path: Path) -> None:
    async def play() -> None:
        async with FakeModel([usage_limit(3600)]) as model:
            options: Any = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
            result = await asyncio.to_thread(midflight.run, "x", **options)
            assert (result.status, result.reason) == ("limit", "usage_limit")

    asyncio.run(play())


async def test_run_says_what_to_use_inside_a_loop() -> None:
    with pytest.raises(midflight.InvalidOption, match="dispatch"):
        midflight.run("x")


@pytest.mark.parametrize("task", ["", " \n", "lone \ud800"])
def test_task_that_cannot_be_sent_is_refused_at_once(task: str) -> None:
    with pytest.raises(midflight.InvalidInput):
        midflight.dispatch(task, agent="fake")
    with pytest.raises(midflight.InvalidInput):
        midflight.run(task, agent="fake")

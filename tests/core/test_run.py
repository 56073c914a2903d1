"""The blocking form, for scripts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import midflight
from midflight.testing import FakeModel, Text


def test_run_blocks_until_the_task_is_done(tmp_path: Path) -> None:
    seen: list[str] = []

    async def play() -> FakeModel:
        async with FakeModel([Text("done")]) as model:
            options = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
            result = await asyncio.to_thread(
                midflight.run, "x", on_event=lambda event: seen.append(event.type), **options
            )
            assert result.text == "done"
            return model

    asyncio.run(play())
    assert seen[0] == "message.accepted"
    assert seen[-1] == "turn.ended"


async def test_run_says_what_to_use_inside_a_loop() -> None:
    with pytest.raises(midflight.InvalidOption, match="dispatch"):
        midflight.run("x")


@pytest.mark.parametrize("task", ["", " \n", "lone \ud800"])
def test_a_task_that_no_agent_can_be_given_is_refused_at_once(task: str) -> None:
    with pytest.raises(midflight.InvalidInput):
        midflight.dispatch(task, agent="fake")
    with pytest.raises(midflight.InvalidInput):
        midflight.run(task, agent="fake")

from __future__ import annotations

import asyncio

import pytest

from midflight._util.aio import TaskSet, finished


async def test_task_set_holds_its_tasks_until_they_are_done() -> None:
    tasks, gate = TaskSet(), asyncio.Event()
    assert not tasks
    tasks.start(gate.wait())
    assert tasks
    gate.set()
    await tasks.join()
    assert not tasks


async def test_join_stops_waiting_after_its_time() -> None:
    tasks = TaskSet()
    task = tasks.start(asyncio.Event().wait())
    await tasks.join(timeout=0.01)
    assert not task.done()
    await tasks.close()


async def test_close_ends_every_task_and_raises_no_error_of_theirs() -> None:
    tasks, began = TaskSet(), asyncio.Event()

    async def fail() -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("on its way out")

    failing = tasks.start(fail())
    await began.wait()
    await tasks.close()
    assert isinstance(failing.exception(), ValueError)
    assert not tasks


async def test_finished_waits_for_the_end_even_if_it_is_cancelled() -> None:
    gate = asyncio.Event()

    async def work() -> None:
        await gate.wait()

    task = asyncio.ensure_future(work())
    waiting = asyncio.ensure_future(finished(task))
    await asyncio.wait({waiting}, timeout=0.01)
    waiting.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert task.done()
    assert not task.cancelled()

"""`midflight worker` and `run --on` as a person starts them."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.cli.conftest import Start, fake_midflight, no_defaults, project, say, state
from tests.support.events import PATIENCE_S

from midflight.testing import ScriptedModel, Text

__all__ = ["fake_midflight", "no_defaults", "project", "say", "state"]

Model = Callable[..., Awaitable[ScriptedModel]]


async def test_task_from_one_machine_runs_on_the_worker_of_another(
    server: str, fake_midflight: Start, scripted_model: Model
) -> None:
    model = await scripted_model([Text("done")])
    journal = {"MIDFLIGHT_JOURNAL": server}
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("")  # the system names it
        manager.settimeout(PATIENCE_S)
        told = {"NOTIFY_SOCKET": manager.getsockname().decode().replace("\0", "@")}
        big = journal | told | {"MIDFLIGHT_MACHINE": "big"}
        worker = await fake_midflight(model, "worker", "--label", "gpu", "--capacity", "2", **big)
        assert "big works for gpu, 2 turns at a time" in await worker.reads("ends it")
        assert await asyncio.to_thread(manager.recv, 99) == b"READY=1"
    worker.process.send_signal(signal.SIGTSTP)  # Ctrl-Z: its agents would work on unwatched

    laptop = journal | {"MIDFLIGHT_MACHINE": "laptop"}
    run = await (await fake_midflight(model, "run", "--on", "gpu", "go", **laptop)).done()
    assert (run.code, "done" in run.out) == (0, True), run

    worker.process.send_signal(signal.SIGTERM)
    ended = await worker.done()
    assert (ended.code, ended.err) == (0, "")

    begun = await fake_midflight(model, "run", "-d", "--on", "gpu", "more", **laptop)
    said = await begun.done()
    assert "It waits for a worker with the label gpu" in said.out
    listed = await (await fake_midflight(model, "ls", **laptop)).done()
    assert "waiting" in listed.out
    assert "waits for a worker with the label gpu" in listed.out


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("worker",), "needs a journal that several machines share"),
        (("worker", "--label", "a b"), "cannot be a label"),
        (("worker", "--capacity", "0"), "expected 1 to"),
        (("run", "-d", "--on", "gpu", "go"), "needs a journal that several machines share"),
        (("run", "-d", "--on", "gpu", "--worktree", "go"), "--worktree"),
    ],
)
async def test_what_cannot_be_is_said(
    say: Callable[..., Awaitable[Any]], arguments: tuple[str, ...], wrong: str
) -> None:
    done = await say(*arguments)

    assert done.code == 2
    assert wrong in done.err

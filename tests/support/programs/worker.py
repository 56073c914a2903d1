"""A worker with fake agents: ``worker.py JOURNAL MACHINE CAPACITY ASKED [claim]``.

It writes each message that its model is asked for to the file ``ASKED``, and answers it; what
begins with ``hang`` it leaves without an answer. With ``claim`` it is killed with its first session
claimed and not begun.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import msgspec

from midflight.agents import create
from midflight.agents.base import Agent
from midflight.host.sessions import SessionTable
from midflight.journal.process_identity import MACHINE_VARIABLE
from midflight.options import Options
from midflight.testing import FakeModel, ModelRequest, Silence, Step, Text
from midflight.worker import Worker


def die(*_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def main() -> None:
    journal, machine, capacity, asked, *more = sys.argv[1:]
    os.environ[MACHINE_VARIABLE] = machine
    if more:
        SessionTable._claimed = die  # type: ignore[assignment]  # noqa: SLF001

    def answer(request: ModelRequest) -> Step:
        said = request.last_user_text
        with Path(asked).open("a", encoding="utf-8") as file:
            file.write(f"{said}\n")
        return Silence() if said.startswith("hang") else Text(f"heard {said}")

    async with FakeModel(answer) as model:

        def make(options: Options) -> Agent:
            env = {**options.env, **model.env(Path(asked).parent)}
            return create(msgspec.structs.replace(options, env=env))

        async with Worker(journal, labels=["gpu"], capacity=int(capacity), agent=make):
            sys.stdout.write("there\n")
            sys.stdout.flush()
            stopped = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
            await stopped.wait()


asyncio.run(main())

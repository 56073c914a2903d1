"""The session of ``run``: this program is its host, so that other terminals can reach it.

The agent's program comes up while SQLAlchemy is loaded and the journal opened, and what answers
on the socket is loaded when the task is with the agent: none of it delays the first word by much.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from midflight.agents import create
from midflight.errors import MidflightError
from midflight.lineage import marked
from midflight.options import Options
from midflight.session import Session

if TYPE_CHECKING:
    from midflight.host import Host

__all__ = ["alone", "hosted"]


@contextlib.asynccontextmanager
async def alone(task: str, options: Options) -> AsyncIterator[Session]:
    """Begin a session that nobody else knows of, and close it at the end."""
    async with Session(options, task) as session:
        yield session


@contextlib.asynccontextmanager
async def hosted(task: str, options: Options) -> AsyncIterator[Session]:
    """Begin a session in the user's journal, answer for it, and close it at the end.

    Raises `StoreFailed` if the journal cannot be used, and what entering a `Session` raises.
    """
    from midflight.journal import Place

    Place()  # a folder that cannot be used is told before anything is started
    new = uuid.uuid4().hex
    agent = create(marked(options, new))
    opening = asyncio.get_running_loop().create_task(_open())
    try:
        await agent.start()
        host = await asyncio.shield(opening)
        session = await host.begin(task, options, new, ready=agent)
    except BaseException:
        await agent.close()
        with contextlib.suppress(MidflightError):
            await (await opening).__aexit__(None, None, None)
        raise
    serving = asyncio.get_running_loop().create_task(_serve(host, session))
    try:
        yield session
    finally:
        await session.close()
        await asyncio.wait([serving])
        await host.__aexit__(None, None, None)


async def _open() -> Host:
    host = await asyncio.to_thread(_load)
    await host.open()
    return host


def _load() -> Host:
    from midflight.host import Host

    return Host(park_after=None)


async def _serve(host: Host, session: Session) -> None:
    """Answer on the socket; the session goes on if that does not work."""
    try:
        await host.serve()
    except (MidflightError, OSError) as error:
        session.notice("warning", f"other terminals cannot reach this session: {error}")

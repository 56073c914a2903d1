"""The terminal on a session of another process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from midflight._util.sanitize import one_name
from midflight.cli.output import DIM, write
from midflight.cli.terminal.console import Console
from midflight.cli.terminal.notifications import Notifications
from midflight.cli.terminal.others import OtherSessions

if TYPE_CHECKING:
    from midflight.client.client import Client
    from midflight.client.session import RemoteSession

LAST_EVENTS = 100
"""How much is shown of what happened before."""


async def show(
    client: Client, session: RemoteSession, notifications: Notifications, others: OtherSessions
) -> int:
    """Show what has happened before, and run until the person leaves; return the exit code."""
    info = session.info
    console = Console(
        session, Path(info.cwd), notifications=notifications, others=others, attached=True
    )
    before = await client.tail(info.id, LAST_EVENTS)
    if earlier := (before[0].seq or 1) - 1 if before else 0:
        write([(DIM, f"  … {earlier} earlier events: midflight logs {one_name(info.name)}\n")])
    console.replay(before, info.model)
    return await console.run()

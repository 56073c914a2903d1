"""``midflight attach`` and ``resume``: the terminal of ``run`` on a session of another process."""

from __future__ import annotations

import argparse
import asyncio

from midflight import commands as c
from midflight._util.files import current_folder
from midflight._util.sanitize import one_name
from midflight.cli.options import terminal_setting
from midflight.cli.output import at_terminal, write
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.errors import InvalidInput


def attach(args: argparse.Namespace) -> int:
    """Take part in a session until the person leaves; the session continues."""
    if not at_terminal():
        raise InvalidInput("attach needs a terminal", "midflight logs -f shows it anywhere")
    return asyncio.run(_attach(args.session, hand_over=False))


def resume(args: argparse.Namespace) -> int:
    """Attach, and hand the agent the messages that wait."""
    return asyncio.run(_attach(args.session, hand_over=True))


async def _attach(name: str | None, *, hand_over: bool) -> int:
    folder = current_folder(needed=name is None)
    async with (
        connect(door="terminal" if at_terminal() else "command") as client,
        await client.session(name, cwd=folder, attend=at_terminal()) as session,
    ):
        waiting = len(session.queued)
        if hand_over and session.info.host is None:
            await _hand_over(session)
        if not at_terminal():
            write(f"{one_name(session.name)}: {waiting} waiting messages handed over\n")
            return 0
        return await console(client, session)


async def _hand_over(session: RemoteSession) -> None:
    """Have a host resume the session with its first message."""
    if session.queued:
        await session.command(c.Promote(message=session.queued[0].id, delivery="steer"))


async def console(client: Client, session: RemoteSession) -> int:
    """Show a session at this terminal until the person leaves, and say how to come back."""
    from midflight.cli.terminal.attached import show
    from midflight.cli.terminal.notifications import Notifications
    from midflight.cli.terminal.others import OtherSessions

    info = session.info
    notifications = Notifications(wanted=terminal_setting("notify"))
    code = await show(client, session, notifications, OtherSessions(info.id, show))
    if session.status == "closed":
        write(f"\n{info.name} has ended. To go on: midflight resume {info.name}\n")
        return code
    write(f"\nDetached; {info.name} goes on. To come back: midflight attach {info.name}\n")
    return 0

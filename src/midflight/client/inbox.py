"""Commands for a session whose owner is on another machine: nobody dials in there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import unquote

from midflight import commands as c
from midflight import lineage
from midflight.authorization import MAY_ANSWER
from midflight.errors import HostGone, StoreFailed
from midflight.info import Outcome
from midflight.journal import Journal
from midflight.journal.inbox import WAIT_S, Sender, Settled
from midflight.journal.presence import Presence
from midflight.who import DEVICE, DOOR, caller

FIRST_LOOK_S = 0.01
LOOK_S = 0.25
"""How often it is looked what a command has come to where no reply is heard: less and less."""

OWNER_S = 1.0
"""How often it is looked whether the session still has an owner."""


async def leave(
    journal: Journal, session: str, body: bytes, headers: Mapping[str, str]
) -> Outcome | None:
    """Leave a command for a session's owner, and wait for what it comes to.

    None says that the owner has ended before it carried it out, and that it was taken back.
    ``headers`` are those with which a host would be asked. Raises the error that the owner
    reports, or `HostGone` where it takes its time.
    """
    # A message is known by its id; programs number their other commands, each from 1 up.
    command = c.decode(body)
    known = command.id if isinstance(command, (c.Send, c.Redirect)) else None
    id = known or uuid.uuid4().hex  # noqa: A001 - as everywhere
    loop = asyncio.get_running_loop()
    until, pause, owner_seen = loop.time() + WAIT_S, FIRST_LOOK_S, loop.time()
    settled: Settled | None = None
    async with _called_back(journal.presence) as (reply_to, called, hears):
        await journal.inbox.put(session, id, body, sender_of(headers), reply_to=reply_to)
        while settled is None and loop.time() < until:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(OWNER_S if hears() else pause):
                    await called.wait()
            called.clear()
            pause = min(pause * 1.5, LOOK_S)
            with contextlib.suppress(StoreFailed):  # the server may be back soon; it has it
                settled = await journal.inbox.settled(session, id)
                if settled is None and loop.time() - owner_seen > OWNER_S:
                    owner_seen = loop.time()
                    ended = (await journal.find(session, exact=True)).host is None
                    if ended and await journal.inbox.withdraw(session, id):
                        return None
    if settled is None:
        raise HostGone(
            "the session's host, on another machine, has not taken the command yet",
            "it is in the journal, and is carried out when the host gets to it",
        )
    return settled.result()


@contextlib.asynccontextmanager
async def _called_back(
    presence: Presence | None,
) -> AsyncIterator[tuple[str | None, asyncio.Event, Callable[[], bool]]]:
    """Enter where to reply to, what is set by a reply, and whether replies are heard by now.

    The command does not wait for the connection: where it is slow, the answer is looked for.
    """
    if presence is None:
        yield None, asyncio.Event(), lambda: False
        return
    async with presence.kept():
        with presence.awaiting() as (reply_to, called):
            yield reply_to, called, lambda: presence.hears


def sender_of(headers: Mapping[str, str]) -> Sender:
    """Return who gives a command, in the headers with which a host would be asked."""
    inside = lineage.inside()
    device = unquote(headers.get(DEVICE, ""))
    return Sender(
        who=caller(headers.get(DOOR, ""), inside, os.getpid(), seen=True, device=device),
        inside=tuple(inside),
        may_answer=headers.get(MAY_ANSWER, ""),
    )

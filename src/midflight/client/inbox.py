"""Commands for a session whose owner is on another machine: nobody dials in there."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec

from midflight import commands as c
from midflight import lineage
from midflight.authorization import MAY_ANSWER
from midflight.errors import HostGone, MidflightError, StoreFailed
from midflight.info import Outcome
from midflight.journal import Journal, SessionRow
from midflight.journal.inbox import WAIT_S, CommandResult, Sender
from midflight.journal.presence import Presence
from midflight.journal.waits_for import workers_of
from midflight.questions import Question, encode
from midflight.who import DEVICE, DOOR, caller

T = TypeVar("T")

FIRST_LOOK_S = 0.01
LOOK_S = 0.25
"""How often it is looked what a command has come to where no reply is heard: less and less."""

OWNER_S = 1.0
"""How often it is looked whether the session still has an owner."""


async def command(
    journal: Journal, session: str, body: bytes, headers: Mapping[str, str]
) -> Outcome | None:
    """Give a command to a session's owner, and wait for what it comes to.

    One that a worker has for the moment of the command, see `check_workers`, is an owner too. None
    says that there was none any more who would carry it out, and that it was taken back.
    ``headers`` are those with which a host would be asked. Raises the error that the owner
    reports, or `HostGone` where it takes its time.
    """
    # A message is known by its id; programs number their other commands, each from 1 up.
    command = c.decode(body)
    known = command.id if isinstance(command, (c.Send, c.Redirect)) else None
    id = known or uuid.uuid4().hex  # noqa: A001 - as everywhere

    async def gone() -> bool:
        row = await journal.find(session, exact=True)
        if row.host is not None or (row.left_to_workers and await _has_worker(journal, row)):
            return False
        return await journal.inbox.withdraw(session, id)

    async with _called_back(journal.presence) as wait:
        await journal.inbox.put(session, id, body, sender_of(headers), reply_to=wait.reply_to)
        result = await _result(journal, session, id, wait, gone)
    if result is GONE:
        return None
    if result is None:
        raise HostGone(
            "the session's host, on another machine, has not taken the command yet",
            "it is in the journal, and is carried out when the host gets to it",
        )
    return result.get()


async def check_workers(journal: Journal, session: SessionRow) -> None:
    """Raise `NotAllowed` where no worker lives that takes commands for another's session at rest.

    Only who may have it can write down what it is told.
    """
    if not await _has_worker(journal, session):
        session.check_own(f", and at rest: no worker with the label {session.label} is there")


async def _has_worker(journal: Journal, session: SessionRow) -> bool:
    return bool(workers_of(session, await journal.hosts()))


async def ask(
    journal: Journal,
    session: str,
    host: str,
    question: Question,
    *,
    kind: type[T],
    headers: Mapping[str, str],
) -> T:
    """Ask a host about a session on its machine, and return what it answers.

    Raises the error that it reports, or `HostGone` where it takes its time or ends.
    """
    id = uuid.uuid4().hex  # noqa: A001 - as everywhere
    sender = sender_of(headers)

    async def gone() -> bool:
        return not any(one.alive for one in await journal.hosts() if one.id == host)

    async with _called_back(journal.presence) as wait:
        await journal.inbox.put(
            session, id, encode(question), sender, reply_to=wait.reply_to, asked=host
        )
        try:
            result = await _result(journal, session, id, wait, gone)
        finally:
            with contextlib.suppress(StoreFailed):
                await journal.inbox.forget(session, id)
    if result is None or result is GONE:
        why = "does not answer" if result is None else "has ended"
        raise HostGone(f"the host that was asked, on another machine, {why}", "ask again")
    if result.error is not None:
        raise MidflightError.from_plain(result.error)
    try:
        return msgspec.convert(result.answer, kind)
    except msgspec.ValidationError as error:
        raise HostGone(f"the host has answered what cannot be read: {error}") from error


class _Waiting(NamedTuple):
    """Where to reply to, what a reply sets, and whether replies are heard by now."""

    reply_to: str | None
    called: asyncio.Event
    hears: Callable[[], bool]


GONE = CommandResult()
"""Nobody is there any more who could carry it out."""


async def _result(
    journal: Journal,
    session: str,
    id: str,
    wait: _Waiting,
    gone: Callable[[], Awaitable[bool]],
) -> CommandResult | None:
    """Wait for what an entry comes to; None if that takes too long, `GONE` if it cannot."""
    loop = asyncio.get_running_loop()
    until, pause, owner_seen = loop.time() + WAIT_S, FIRST_LOOK_S, loop.time()
    while loop.time() < until:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(OWNER_S if wait.hears() else pause):
                await wait.called.wait()
        wait.called.clear()
        pause = min(pause * 1.5, LOOK_S)
        with contextlib.suppress(StoreFailed):  # the server may be back soon; it has it
            result = await journal.inbox.result(session, id)
            if result is not None:
                return result
            if loop.time() - owner_seen > OWNER_S:
                owner_seen = loop.time()
                if await gone():
                    return GONE
    return None


@contextlib.asynccontextmanager
async def _called_back(presence: Presence | None) -> AsyncIterator[_Waiting]:
    """Enter what is needed to wait for a reply.

    The command does not wait for the connection: where it is slow, the answer is looked for.
    """
    if presence is None:
        yield _Waiting(None, asyncio.Event(), lambda: False)
        return
    async with presence.kept():
        with presence.awaiting() as (reply_to, called):
            yield _Waiting(reply_to, called, lambda: presence.hears)


def sender_of(headers: Mapping[str, str]) -> Sender:
    """Return who gives a command, in the headers with which a host would be asked."""
    inside = lineage.inside()
    device = unquote(headers.get(DEVICE, ""))
    return Sender(
        who=caller(headers.get(DOOR, ""), inside, os.getpid(), seen=True, device=device),
        inside=tuple(inside),
        may_answer=headers.get(MAY_ANSWER, ""),
    )

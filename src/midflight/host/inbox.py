"""What a host does for senders on other machines: it carries out what they have left for it.

Commands for a session are carried out one by one; questions are answered beside them.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time

from midflight import commands as c
from midflight._util.aio import TaskSet, survive
from midflight.authorization import AnswerGrant, Authorizer, Caller
from midflight.errors import HostGone, MidflightError, StoreFailed
from midflight.host.service import SessionService
from midflight.host.unexpected import Unexpected, log
from midflight.info import Outcome
from midflight.journal import Journal
from midflight.journal.inbox import WAIT_S, CommandResult, InboxEntry, Sender

LOOK_AGAIN_S = 3.0
"""How often the inbox is looked at without a call, which can be lost."""

QUESTIONS = 4
"""How many questions are answered at the same time."""


class InboxReader:
    """Carries out the commands in the inbox of a host's sessions: for each one by one, in order."""

    def __init__(self, journal: Journal, service: SessionService) -> None:
        """Nothing is read yet."""
        self._journal = journal
        self._service = service
        self._busy: set[str] = set()
        self._tasks = TaskSet()
        self._few = asyncio.Semaphore(QUESTIONS)

    async def serve(self) -> None:
        """Carry out what comes, for as long as this runs; a file's hosts are all asked directly."""
        while self._journal.on_server:
            await survive(self._take, "a host cannot look at its inbox", StoreFailed)
            await self._journal.until_inbox_changed(LOOK_AGAIN_S)

    async def close(self) -> None:
        """Leave the rest to the next owners."""
        await self._tasks.close()

    async def _take(self) -> None:
        host = self._journal.host
        if host is None or self._service.closing:
            return
        entries = await self._journal.inbox.take(host, self._busy)
        for question in entries:
            if question.asked:
                self._tasks.start(self._answer(question))
        entries = [entry for entry in entries if not entry.asked]
        for session, those in itertools.groupby(entries, lambda entry: entry.session):
            self._busy.add(session)
            self._tasks.start(self._carry_out_all(session, list(those)))

    async def _carry_out_all(self, session: str, entries: list[InboxEntry]) -> None:
        try:
            for entry in entries:
                await self._journal.inbox.finish(entry, await self._carry_out(entry))
        except (HostGone, StoreFailed):
            pass  # whoever has the session takes the rest again: the next owner, or this one later
        else:
            self._journal.look_at_inbox()  # more may have come meanwhile
        finally:
            self._busy.discard(session)

    async def _carry_out(self, entry: InboxEntry) -> CommandResult:
        """Do what the sender may do. Raises `HostGone` or `StoreFailed` where it is another's."""
        try:
            return CommandResult(outcome=await self._obey(entry))
        except (HostGone, StoreFailed):
            raise
        except Exception as error:  # noqa: BLE001 - the sender has to be told
            wrong = self._told(error)
        if time.time() - entry.given > WAIT_S:  # nobody waits for the answer any more
            self._service.report(entry.session, wrong, c.id_in(entry.command) or entry.id)
        return CommandResult(error=wrong.plain())

    async def _answer(self, entry: InboxEntry) -> None:
        """Answer a question, whatever is carried out meanwhile; a few at a time."""
        from midflight.host.answers import Answers  # it needs git, and few hosts are asked

        async with self._few:
            try:
                authorizer = self._authorizer(entry.sender)
                answer = await Answers(self._journal, self._service).answer(entry, authorizer)
                result = CommandResult(answer=answer)
            except Exception as error:  # noqa: BLE001 - who asks has to be told
                result = CommandResult(error=self._told(error).plain())
        with contextlib.suppress(StoreFailed):  # who asks gives up by itself
            await self._journal.inbox.finish(entry, result)

    def _told(self, error: Exception) -> MidflightError:
        """Return what the sender is told of an error."""
        if isinstance(error, MidflightError):
            return error
        log(error, self._service.masked)
        return Unexpected(error)

    async def _obey(self, entry: InboxEntry) -> Outcome:
        command = c.decode(entry.command)
        # It was looked at by the sender's process; what that may do can have changed since.
        await self._authorizer(entry.sender).check(entry.session, command)
        return await self._service.carry_out(entry.session, command, entry.sender.who, None)

    def _authorizer(self, sender: Sender) -> Authorizer:
        """Return what decides what a sender may do."""
        may_answer = AnswerGrant.read(sender.may_answer)
        return self._service.authorizer(Caller.elsewhere(sender.inside), may_answer)

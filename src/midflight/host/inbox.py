"""What a host does for senders on other machines: it carries out what they have left for it.

Commands for a session are carried out one by one; questions are answered beside them. A worker also
carries out what is left for sessions at rest with its labels, by those who may not have them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import time
from collections.abc import Awaitable, Callable, Collection

from midflight import commands as c
from midflight._util.aio import TaskSet, survive
from midflight.authorization import AnswerGrant, Authorizer, Caller
from midflight.errors import HostGone, LeaseHeld, MidflightError, StoreFailed, StoreRefused
from midflight.host.service import SessionService
from midflight.host.unexpected import Unexpected, log
from midflight.info import Outcome
from midflight.journal import Journal
from midflight.journal.inbox import WAIT_S, CommandResult, InboxEntry, Sender
from midflight.session import waiting
from midflight.values import Who

LOOK_AGAIN_S = 3.0
"""How often the inbox is looked at without a call, which can be lost."""

QUESTIONS = 4
"""How many questions are answered at the same time."""

AT_REST = 4
"""How many sessions at rest are told something at the same time."""

Obey = Callable[[str, c.Command, Who], Awaitable[Outcome]]
"""Has a session, by its id, carry out a command that somebody gives."""


class InboxReader:
    """Carries out the commands in the inbox of a host's sessions: for each one by one, in order."""

    def __init__(
        self, journal: Journal, service: SessionService, labels: Collection[str] = ()
    ) -> None:
        """Nothing is read yet; ``labels`` are a worker's."""
        self._labels = labels
        self._journal = journal
        self._service = service
        self._busy: set[str] = set()
        self._tasks = TaskSet()
        self._answering = asyncio.Semaphore(QUESTIONS)
        self._telling = asyncio.Semaphore(AT_REST)

    async def serve(self) -> None:
        """Carry out what comes, for as long as this runs; a file's hosts are all asked directly."""
        while self._journal.on_server:
            await survive(self._take, "a host cannot look at its inbox", StoreFailed)
            await self._journal.host.until_inbox_changed(LOOK_AGAIN_S)

    async def close(self) -> None:
        """Leave the rest to the next owners."""
        await self._tasks.close()

    async def _take(self) -> None:
        host = self._journal.host.id
        if host is None or self._service.closing:
            return
        entries = await self._journal.inbox.take(host, self._busy)
        for question in entries:
            if question.asked:
                self._tasks.start(self._answer(question))
        entries = [entry for entry in entries if not entry.asked]
        for session, those in itertools.groupby(entries, lambda entry: entry.session):
            self._start(session, functools.partial(self._carry_out_all, [*those], self._at_work))
        if self._labels:
            for session in {*await self._journal.inbox.told_at_rest(self._labels)} - self._busy:
                self._start(session, functools.partial(self._tell, host, session))

    def _start(self, session: str, work: Callable[[], Awaitable[None]]) -> None:
        self._busy.add(session)
        self._tasks.start(self._alone(session, work))

    async def _alone(self, session: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do what there is for a session, which is busy until then."""
        try:
            await work()
        except MidflightError:
            pass  # whoever has the session takes the rest again: the next owner, or this one later
        else:
            self._journal.host.look_at_inbox()  # more may have come meanwhile
        finally:
            self._busy.discard(session)

    async def _tell(self, host: str, session: str) -> None:
        """Carry out what is left for a session that nobody has, and have it for that moment.

        It gets no agent here. Raises `LeaseHeld` where another worker was faster.
        """
        async with self._telling, contextlib.AsyncExitStack() as stack:
            row, record = await self._journal.hold(session, to_tell=True)
            await stack.enter_async_context(record.kept())
            entries = await self._journal.inbox.take_of(host, session)
            if not entries:
                raise LeaseHeld(session, "another worker")  # it had it until now
            try:
                past = await self._journal.past_of(record)
                resting = await stack.enter_async_context(waiting.at_rest(row, record, past))
            except Exception as error:  # noqa: BLE001 - the senders have to be told
                refused = CommandResult(error=self._refusal(error).plain())
                for entry in entries:
                    await self._journal.inbox.finish(entry, refused)
                return

            def obey(_: str, command: c.Command, who: Who) -> Awaitable[Outcome]:
                return waiting.obey(self._journal, resting, command, who)

            for entry in entries:
                if not resting.closing:  # else it is told the rest as one that is closed
                    await self._carry_out_all([entry], obey)

    def _at_work(self, session: str, command: c.Command, who: Who) -> Awaitable[Outcome]:
        return self._service.carry_out(session, command, who, None)

    async def _carry_out_all(self, entries: list[InboxEntry], obey: Obey) -> None:
        for entry in entries:
            await self._journal.inbox.finish(entry, await self._carry_out(entry, obey))

    async def _carry_out(self, entry: InboxEntry, obey: Obey) -> CommandResult:
        """Do what the sender may do. Raises `HostGone` or `StoreFailed` where it is another's."""
        try:
            command = c.decode(entry.command)
            # It was looked at by the sender's process; what that may do can have changed since.
            await self._authorizer(entry.sender).check(entry.session, command)
            return CommandResult(outcome=await obey(entry.session, command, entry.sender.who))
        except Exception as error:  # noqa: BLE001 - the sender has to be told
            wrong = self._refusal(error)
        if time.time() - entry.given > WAIT_S:  # nobody waits for the answer any more
            self._service.report(entry.session, wrong, c.id_in(entry.command) or entry.id)
        return CommandResult(error=wrong.plain())

    def _refusal(self, error: Exception) -> MidflightError:
        """Return what a sender is told. Raises the error where it is another's to carry it out."""
        passes = isinstance(error, (HostGone, StoreFailed)) and not isinstance(error, StoreRefused)
        if passes:
            raise error
        return self._told(error)

    async def _answer(self, entry: InboxEntry) -> None:
        """Answer a question, whatever is carried out meanwhile; a few at a time."""
        from midflight.host.answers import Answers  # it needs git, and few hosts are asked

        async with self._answering:
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

    def _authorizer(self, sender: Sender) -> Authorizer:
        """Return what decides what a sender may do."""
        may_answer = AnswerGrant.read(sender.may_answer)
        return self._service.authorizer(Caller.elsewhere(sender.inside), may_answer)

"""What a host answers that is asked about a session from another machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from midflight import commands as c
from midflight import questions as q
from midflight.authorization import Authorizer
from midflight.errors import Conflict, NotAllowed
from midflight.host.service import SessionService
from midflight.info import Outcome, SessionInfo
from midflight.journal import Journal, SessionRow
from midflight.journal.inbox import InboxEntry
from midflight.values import Who
from midflight.worktrees import SessionWorktrees


class Answers:
    """Answers questions, as far as the one who asks may know."""

    def __init__(self, journal: Journal, service: SessionService) -> None:
        """``service`` has the sessions of this host."""
        self._journal = journal
        self._service = service

    async def answer(self, entry: InboxEntry, authorizer: Authorizer) -> Any:
        """Return the answer, as JSON can hold it; the ``authorizer`` decides for who asks.

        Raises what the question would raise here.
        """
        sender, session = entry.sender, entry.session
        row = await authorizer.find(session, exact=True)
        row.check_here()
        question = q.decode(entry.command)
        if isinstance(question, q.DoWorktree) and row.host is None:
            await self._check_person(row, sender.who)
        here = _SessionsHere(self._journal, self._service, authorizer, sender.who)
        answer = await self._answer(question, session, authorizer, here)
        if len(msgspec.json.encode(answer)) > q.MAX_ANSWER_BYTES:
            raise Conflict("the answer is too long to be told elsewhere", "look at it there")
        return answer

    async def _check_person(self, row: SessionRow, who: Who) -> None:
        """Raise `NotAllowed` where a session at rest is another person's, as for any command."""
        if who.person != (row.person or await self._journal.person()):
            raise NotAllowed(
                f"session {row.name} is another person's, and at rest", "that person can do this"
            )

    async def _answer(
        self, question: q.Question, session: str, authorizer: Authorizer, here: _SessionsHere
    ) -> Any:
        match question:
            case q.AskEffects(request=request, input=edited):
                allow = c.Answer(request=request, input=edited)  # files are read for it
                await authorizer.check(session, allow)
                return await self._service.effects(session, request, edited)
            case q.AskAgent():
                return await self._service.agent(session)
            case q.AskDiff(paths=paths):
                return (await self._service.diff(session, paths)).cut(q.MAX_DIFF_CHARS)
        info = await self._service.info(session, exact=True)
        worktree = await SessionWorktrees(here).of(info, Path(info.cwd))
        match question:
            case q.AskWorktreeDiff():
                return (await worktree.diff()).cut(q.MAX_DIFF_CHARS)
            case q.DoWorktree(action=action, name=name):
                return await worktree.do(action, name=name)
        return await worktree.row()


class _SessionsHere:
    """The sessions of this machine, for one who asks; see `midflight.worktrees.Sessions`."""

    def __init__(
        self, journal: Journal, service: SessionService, authorizer: Authorizer, who: Who
    ) -> None:
        self._journal = journal
        self._service = service
        self._authorizer = authorizer
        self._who = who

    async def info(self, name: str | None = None) -> SessionInfo:
        return await self._service.info(name or "")

    async def elsewhere(self, session: str) -> bool:
        return (await self._journal.find(session, exact=True)).elsewhere

    async def ask(self, session: str, question: q.Question, kind: Any) -> Any:
        raise Conflict("the session's folder is on another machine", "ask for it there")

    async def neighbours(self) -> list[SessionInfo]:
        rows = await self._journal.sessions()
        return await self._journal.infos([row for row in rows if not row.elsewhere])

    async def readable(self, sessions: Iterable[str]) -> list[str]:
        return await self._authorizer.readable(sessions)

    async def check(self, session: str, command: c.Command) -> None:
        await self._authorizer.check(session, command)

    async def carry_out(self, session: str, command: c.Command) -> Outcome:
        await self.check(session, command)
        return await self._service.carry_out(session, command, self._who, None)

"""The sessions of every host of the journal, for whoever asks over TCP. It owns none of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from typing import Any

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.redact import Redactor
from midflight.authorization import AnswerScope, Authorizer, Caller
from midflight.client.client import Client
from midflight.client.session import RemoteSession
from midflight.errors import HostGone, InvalidOption
from midflight.git.diff import Diff
from midflight.host.service import Wanted
from midflight.info import AgentInfo, EffectsInfo, Outcome, SessionInfo
from midflight.state.search import Found
from midflight.values import SessionStatus, Who
from midflight.worktrees import own_worktree, setup_command


class AllSessions:
    """Answers for all sessions, by way of their hosts.

    What each call does stands in `SessionService`. A session is followed once, however many readers
    it has here.
    """

    def __init__(self, client: Client, secrets: Iterable[str]) -> None:
        """``client`` has been entered; ``secrets`` are blanked out in the log."""
        self._client = client
        self._secrets = tuple(secrets)
        self._followed: dict[str, _Followed] = {}
        self._leaving = TaskSet()
        self.closing = False

    def authorizer(self, caller: Caller, may_answer: AnswerScope) -> Authorizer:
        """Return what decides: whoever has the token may do what the user may."""
        return self._client.authorizer

    def masked(self, text: str) -> str:
        """Return a text without the token, and without what is secret in the environment."""
        return Redactor(os.environ, self._secrets)(text)

    async def close(self) -> None:
        """End the streams. The sessions go on."""
        self.closing = True
        for followed in self._followed.values():
            self._leaving.start(followed.leave())
        await self._leaving.join()

    # Sessions -----------------------------------------------------------------------------

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        cwd: str | None = None,
        limit: int | None = None,
    ) -> list[SessionInfo]:
        """Return the sessions that fit, the newest first."""
        return (await self._client.sessions(status=status, cwd=cwd))[:limit]

    async def info(self, name: str, *, exact: bool = False) -> SessionInfo:
        """Return a session."""
        return await self._client.info(name, exact=exact)

    async def dispatch(self, wanted: Wanted, authorizer: Authorizer) -> tuple[SessionInfo, bool]:
        """Start a session in a host in the background, and tell whether it is new.

        With ``worktree`` among the options a new one works in a git worktree of its own, and with
        ``on`` it waits for a worker that has this label.
        """
        new = wanted.id is None or not await self._client.is_there(wanted.id)
        client = self._client.speaking_for(wanted.who)
        options = {**wanted.options}
        apart = options.pop("worktree", False)
        if not isinstance(apart, bool):
            raise InvalidOption("worktree", f"expected true or false, got {apart!r}")
        on = options.pop("on", None)
        if not (on is None or isinstance(on, str)):
            raise InvalidOption("on", f"expected the label of workers, got {on!r}")
        if on is not None and apart:
            raise InvalidOption("worktree", "a worker has other folders", "leave it out, or on")
        async with contextlib.AsyncExitStack() as stack:
            if apart and new:
                await stack.enter_async_context(
                    own_worktree(str(wanted.task), options, setup_command())
                )
            info = await client.begin(
                wanted.task,
                options,
                id=wanted.id,
                parent=wanted.parent,
                images=wanted.images,
                on=on,
            )
        return info, new

    async def remove(self, id: str) -> None:
        """Stop a session and remove it."""
        await self._client.remove(id)

    async def carry_out(
        self, id: str, command: c.Command, who: Who, terminal: Mapping[str, str] | None
    ) -> Outcome:
        """Have the session's host carry out a command."""
        return await self._client.speaking_for(who).carry_out(id, command)

    async def effects(self, id: str, request: str, input: dict[str, Any]) -> EffectsInfo:
        """Ask the session's host what a call would do with another input."""
        return await self._client.effects(id, request, input)

    async def diff(self, id: str) -> Diff:
        """Return what has changed in a session's folder, on whatever machine that is."""
        return await self._client.diff(id)

    # Events -------------------------------------------------------------------------------

    async def page(self, id: str, after: int, limit: int | None) -> list[e.Event]:
        """Return a page of the durable events after a ``seq``."""
        return await self._client.history(id, after, limit)

    async def search(self, id: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events before a ``seq`` that say a text."""
        return await self._client.search(id, text, before, limit)

    async def agent(self, id: str) -> AgentInfo:
        """Return what the agent of a session can do, or what its kind can."""
        return await self._client.agent(id)

    def agent_seen(self, id: str) -> AgentInfo | None:
        """Return the same of a session that is followed."""
        followed = self._followed.get(id)
        return followed.session.agent_seen if followed and followed.session else None

    async def follow(
        self, id: str, after: int, silence_s: float, *, attends: bool
    ) -> AsyncGenerator[list[e.Event]]:
        """Yield a session's events after a ``seq``, through its rests, until it is closed.

        They come as `SessionService.follow` has them.
        """
        async with self._entered(id, attends=attends) as session:
            yield []
            while after < session.oldest_seq - 1:
                page = await self._client.history(id, after)
                yield page
                after = page[-1].seq or after if page else session.oldest_seq
            async for events in session.events_together(after, silence_s, rests=True):
                yield events
            if self.closing:
                raise _leaving()

    @contextlib.asynccontextmanager
    async def _entered(self, id: str, *, attends: bool) -> AsyncIterator[RemoteSession]:
        """Enter a session, or share one that others here have entered."""
        followed = self._followed.get(id)
        if followed is None:
            followed = self._followed[id] = _Followed(self._client, id)
        followed.readers += 1
        followed.attended += attends
        try:
            yield await followed.enter()
        finally:
            followed.readers -= 1
            followed.attended -= attends
            if followed.readers:
                followed.attend()
            else:
                del self._followed[id]
                self._leaving.start(followed.leave())


def _leaving() -> HostGone:
    return HostGone("the server is about to end", "try again later")


class _Followed:
    """One session with those who read it."""

    def __init__(self, client: Client, id: str) -> None:
        self.readers = 0
        self.attended = 0
        self.session: RemoteSession | None = None
        self._client = client
        self._id = id
        self._entering = asyncio.get_running_loop().create_task(self._enter())

    async def _enter(self) -> RemoteSession:
        session = await self._client.session(self._id, attend=self.attended > 0)
        self.session = await session.__aenter__()
        return self.session

    async def enter(self) -> RemoteSession:
        """Wait until it is entered. Raises what that raises."""
        try:
            session = await asyncio.shield(self._entering)
        except asyncio.CancelledError:
            if self._entering.cancelled():  # and not the reader
                raise _leaving() from None
            raise
        self.attend()
        return session

    def attend(self) -> None:
        """Say whether anybody who could answer reads along."""
        if self.session is not None:
            self.session.attend(self.attended > 0)

    async def leave(self) -> None:
        """Stop following."""
        self._entering.cancel()
        await asyncio.wait({self._entering})
        if self.session is not None:
            await self.session.__aexit__(None, None, None)

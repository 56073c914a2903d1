"""Everybody who works for one orchestrator: found, followed, told of, and paid."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Self

from midflight import commands as c
from midflight import events as e
from midflight.authorization import AnswerGrant
from midflight.client.client import Client
from midflight.errors import MidflightError, NotFound, StoreRefused
from midflight.orchestrate.child import Child
from midflight.orchestrate.updates import UpdateSender, update_of
from midflight.session.session import Session

__all__ = ["Children"]

LOOK_AGAIN_S = 1.0
"""How often children are looked for that no tool has begun which was seen to end."""

AT_REST_S = 0.5
"""How often a child at rest is looked at, because anybody may go on with it."""

_STOPS = re.compile(r"(mcp__)?midflight_+(interrupt|stop)")
"""The tools, as agents call them, with which the orchestrator ends a turn itself."""

Heard = Callable[[Child, e.Event], None]


class Children:
    """The sessions below one session of this process. An async context manager.

    ``spent_usd`` is what all of them have cost, the orchestrator included; ``working`` are those
    that work or wait for an answer.
    """

    def __init__(
        self, client: Client, session: Session, leave: AnswerGrant, *, attend: bool
    ) -> None:
        """``leave`` is what the agent may answer; ``attend`` that a person is there for the rest.

        ``client`` and ``session`` have been entered.
        """
        self.session = session
        self.followers: list[Heard] = []  # told of each event of a child
        self.closed = False
        self._client = client
        self._leave = leave
        self._attend = attend
        self._children: dict[str, Child] = {}
        self._unreadable: set[str] = set()
        self._costs: dict[str, float] = {}  # of those too that have been removed
        self._courier = UpdateSender(session)
        self._tasks: set[asyncio.Task[None]] = set()
        self._looking = asyncio.Lock()
        self._wanted = asyncio.Event()
        self._changed = asyncio.Event()
        self._paid = asyncio.Event()
        self._stops_itself = False
        self._over = False

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Begin to follow. Raises `StoreFailed` where the journal cannot be read."""
        past = await self._client.history(self.session.id)
        self._courier = UpdateSender(self.session, past)
        for work in (self._search(), self._listen(), self._keep_books(), self._courier.run()):
            self._begin(work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Follow no longer. The children go on."""
        self.closed = True
        for task in self._tasks:
            task.cancel()
        for ended in await asyncio.gather(*self._tasks, return_exceptions=True):
            if isinstance(ended, Exception) and error is None:
                raise ended

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.add(asyncio.get_running_loop().create_task(work))

    # Who there is -------------------------------------------------------------------------

    @property
    def children(self) -> tuple[Child, ...]:
        """Everybody, each behind the one that has begun it."""
        return tuple(self._below(self.session.id))

    def _below(self, parent: str) -> Iterator[Child]:
        for child in self._children.values():
            if child.parent == parent:
                yield child
                yield from self._below(child.id)

    @property
    def working(self) -> list[Child]:
        """Those that work, or wait for an answer."""
        return [child for child in self.children if child.busy]

    @property
    def over(self) -> bool:
        """The budget has been spent."""
        return self._over

    @property
    def spent_usd(self) -> float:
        """US dollars that all have cost, the orchestrator included."""
        return self.session.total_cost_usd + self._theirs

    @property
    def _theirs(self) -> float:
        for child in self._children.values():
            self._costs[child.id] = max(child.cost_usd, self._costs.get(child.id, 0.0))
        return sum(self._costs.values())

    def named(self, session: str) -> str:
        """Return a child's name by its id, or nothing."""
        return self._children[session].name if session in self._children else ""

    async def look(self) -> None:
        """Find the children that have come."""
        async with self._looking:
            line = [(self.session.id, 0)]
            for parent, depth in line:
                for info in await self._client.sessions(parent=parent):
                    if info.id not in self._children and info.id not in self._unreadable:
                        try:
                            session = await self._client.session(info.id, attend=self._attend)
                        except NotFound:  # it could not be started, or was removed
                            continue
                        child = self._children[info.id] = Child(session, parent, depth + 1)
                        self._begin(self._follow(child))
                    line.append((info.id, depth + 1))

    async def _search(self) -> None:
        while True:
            with contextlib.suppress(MidflightError):  # which may pass
                await self.look()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._wanted.wait()
            self._wanted.clear()

    # What they do -------------------------------------------------------------------------

    async def _follow(self, child: Child) -> None:
        """Read what a child tells, in whatever host it is, until it is removed."""
        try:
            async with child.session as session:
                child.entered = True
                self._changed.set()
                while True:
                    async for event in session.events(child.seq):
                        self._take(child, event)
                    await asyncio.sleep(AT_REST_S)
        except MidflightError as error:
            if isinstance(error, StoreRefused):  # which does not pass
                self._unreadable.add(child.id)
            self._children.pop(child.id, None)
            self.session.notice("warning", f"{child.name} is not followed any more: {error}")

    def _take(self, child: Child, event: e.Event) -> None:
        child.take(event)
        if not self._is_known(event) and (new := update_of(child, event, self._leave)) is not None:
            self._courier.add(new)
        if isinstance(event, e.ToolEnded):
            self._wanted.set()
        if isinstance(event, (e.Usage, e.TurnEnded)):
            self._paid.set()
        for heard in self.followers:
            heard(child, event)
        if event.durable:
            self._changed.set()

    def _is_known(self, event: e.Event) -> bool:
        """Tell whether the agent has done this itself."""
        by_itself = isinstance(event, e.TurnEnded) and event.status == "interrupted"
        by_itself |= isinstance(event, e.SessionEnded)
        return by_itself and self._stops_itself

    async def _listen(self) -> None:
        """Follow the orchestrator's own session."""
        try:
            async for event in self.session.events(self.session.last_seq):
                self._hear(event)
        finally:
            self._changed.set()  # whoever waits for something to change looks why it ends

    def _hear(self, event: e.Event) -> None:
        self._courier.take(event)
        match event:
            case e.TurnStarted():
                self._stops_itself = False
            case e.ToolStarted(name=name) if _STOPS.fullmatch(name):
                self._stops_itself = True
            case e.ToolEnded():
                self._wanted.set()
            case e.Usage() | e.TurnEnded():
                self._paid.set()
        if event.durable:
            self._changed.set()

    # Money --------------------------------------------------------------------------------

    async def _keep_books(self) -> None:
        """Charge the session with what its children cost; where all is spent, stop everybody."""
        cap = self.session.options.max_budget_usd
        while cap is not None:
            await self._paid.wait()
            self._paid.clear()
            with contextlib.suppress(MidflightError):  # the session has ended
                await self.session.charge(self._theirs)
            if self.spent_usd >= cap:
                await self._stop_all(cap)

    async def _stop_all(self, cap: float) -> None:
        if not self._over:
            self._over = self._courier.closed = True
            text = f"the budget of ${cap:g} is spent: every session is stopped"
            self.session.notice("warning", text)
        stops = [self._client.carry_out(child.id, c.Interrupt()) for child in self.working]
        for came in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(came, Exception) and not isinstance(came, MidflightError):
                raise came  # the others say that it has ended, or its host has

    # What is done with them ---------------------------------------------------------------

    async def answer(self, session: str, answer: c.Answer) -> None:
        """Answer what a child asks. Raises as the verb does."""
        await self._client.carry_out(session, answer)

    async def rest(self) -> bool:
        """Wait until the orchestrator has something to do, or nobody has; tell which: the latter.

        It has something to do when it is told of a child. Raises what has cut it off its journal.
        """
        while self.session.idle_since is not None:
            if self.session.lost is not None:
                raise self.session.lost
            self._changed.clear()
            if self._calm:
                await self.look()
                if self._calm and self.session.idle_since is not None:
                    return True
                continue
            await self._changed.wait()
        return False

    @property
    def _calm(self) -> bool:
        everybody = self._children.values()
        return self._courier.idle and all(child.seen and not child.busy for child in everybody)

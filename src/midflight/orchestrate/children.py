"""All sessions below one orchestrator: found, followed, reported and charged."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import TaskSet
from midflight.authorization import AnswerGrant
from midflight.client.client import Client
from midflight.errors import MidflightError, NotFound, StoreRefused
from midflight.orchestrate.child import Child
from midflight.orchestrate.updates import UpdateSender, is_update, update_of
from midflight.session.session import Session

LOOK_AGAIN_S = 1.0
"""How often children are looked for that were not begun by a tool whose end was seen."""

AT_REST_S = 0.5
"""How often a child at rest is looked at, because any client may resume it."""

_STOPS = re.compile(r"(mcp__)?midflight_+(interrupt|stop)")
"""The tools, as agents call them, with which the orchestrator ends a turn itself."""

Follower = Callable[[Child, e.Event], None]


class Children:
    """The sessions below one session of this process. An async context manager.

    ``spent_usd`` is what all of them have cost, the orchestrator included, None where a part is not
    known; ``working`` are those that work or wait for an answer.
    """

    def __init__(
        self, client: Client, session: Session, grant: AnswerGrant, *, attend: bool
    ) -> None:
        """``grant`` is what the agent may answer; ``attend`` that the user is there for the rest.

        ``client`` and ``session`` have been entered.
        """
        self.session = session
        self.followers: list[Follower] = []  # called with each event of a child
        self.closed = False
        self._client = client
        self._grant = grant
        self._attend = attend
        self._children: dict[str, Child] = {}
        self._unreadable: set[str] = set()
        self._costs: dict[str, float] = {}  # as last known, removed children included
        self._unknown: set[str] = set()  # of which children it is not known now
        self._updates = UpdateSender(session)
        self._tasks = TaskSet()
        self._error: BaseException | None = None  # of the first task that failed
        self._looking = asyncio.Lock()
        self._search_now = asyncio.Event()
        self._changed = asyncio.Event()
        self._cost_changed = asyncio.Event()
        self._stops_itself = False
        self._budget_spent = False

    # Life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start to follow the children. Raises `StoreFailed` where the journal cannot be read."""
        past = [
            event
            async for page in self._client.pages(self.session.id)
            for event in page
            if is_update(getattr(event, "message", ""))
        ]
        self._updates = UpdateSender(self.session, past)
        for work in (self._search(), self._listen(), self._charge(), self._updates.run()):
            self._begin(work)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Stop following the children, which go on."""
        self.closed = True
        await self._tasks.close()
        if self._error is not None and error is None:
            raise self._error

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.start(work).add_done_callback(self._note_error)

    def _note_error(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            self._error = self._error or task.exception()

    def stop_attending(self) -> None:
        """Nobody at this program answers any more what the children ask."""
        self._attend = False
        for child in self._children.values():
            if child.entered:
                child.session.attend(attended=False)

    # Which there are ----------------------------------------------------------------------

    @property
    def children(self) -> tuple[Child, ...]:
        """All of them, each behind its parent."""
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
    def budget_spent(self) -> bool:
        """The budget has been spent."""
        return self._budget_spent

    @property
    def spent_usd(self) -> float | None:
        """US dollars that all sessions have cost, the orchestrator included."""
        own, others = self.session.total_cost_usd, self._children_usd
        return None if own is None or self._unknown else own + others

    @property
    def _children_usd(self) -> float:
        """US dollars of the children, as far as they are known."""
        for child in self._children.values():
            cost = child.cost_usd
            self._costs[child.id] = max(cost or 0.0, self._costs.get(child.id, 0.0))
            (self._unknown.add if cost is None else self._unknown.discard)(child.id)
        return sum(self._costs.values())

    def named(self, session: str) -> str:
        """Return a child's name by its id, or nothing."""
        return self._children[session].name if session in self._children else ""

    def folder(self, session: str) -> Path | None:
        """Return the folder of a child by its id, or None."""
        child = self._children.get(session)
        return Path(child.session.info.cwd) if child and child.entered else None

    async def look(self) -> None:
        """Find new children."""
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
                    await self._search_now.wait()
            self._search_now.clear()

    # What they do -------------------------------------------------------------------------

    async def _follow(self, child: Child) -> None:
        """Read a child's events, whichever host runs it, until it is removed."""
        try:
            async with child.session as session:
                child.entered = True
                session.attend(self._attend)
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
        if not self._is_known(event) and (new := update_of(child, event, self._grant)) is not None:
            self._updates.add(new)
        if isinstance(event, e.ToolEnded):
            self._search_now.set()
        if isinstance(event, (e.Usage, e.TurnEnded)):
            self._cost_changed.set()
        for follower in self.followers:
            follower(child, event)
        if event.durable:
            self._changed.set()

    def _is_known(self, event: e.Event) -> bool:
        """Whether the orchestrator's own tools have caused this."""
        by_itself = isinstance(event, e.TurnEnded) and event.status == "interrupted"
        by_itself |= isinstance(event, e.SessionEnded)
        return by_itself and self._stops_itself

    async def _listen(self) -> None:
        """Follow the orchestrator's own session."""
        try:
            async for event in self.session.events(self.session.last_seq):
                self._hear(event)
        finally:
            self._changed.set()  # `rest` finds out why it ends

    def _hear(self, event: e.Event) -> None:
        self._updates.take(event)
        match event:
            case e.TurnStarted():
                self._stops_itself = False
            case e.ToolStarted(name=name) if _STOPS.fullmatch(name):
                self._stops_itself = True
            case e.ToolEnded():
                self._search_now.set()
            case e.Usage() | e.TurnEnded() | e.LimitsChanged():
                self._cost_changed.set()
        if event.durable:
            self._changed.set()

    # Money --------------------------------------------------------------------------------

    async def _charge(self) -> None:
        """Charge the session with what its children cost; stop all when the budget is spent.

        What is not known for a moment counts as it was known last.
        """
        own = 0.0
        while True:
            await self._cost_changed.wait()
            self._cost_changed.clear()
            cap = self.session.limits.get("max_budget_usd")
            if cap is not None:
                with contextlib.suppress(MidflightError):  # the session has ended
                    await self.session.charge(self._children_usd)
            own = self.session.total_cost_usd or own
            if cap is not None and own + self._children_usd >= cap:
                await self._stop_all(cap)
            else:
                self._budget_spent = False
                self._updates.pause(paused=False)

    async def _stop_all(self, cap: float) -> None:
        if not self._budget_spent:
            self._budget_spent = True
            self._updates.pause(paused=True)
            text = f"the budget of ${cap:g} is spent: every session is stopped"
            self.session.notice("warning", text)
        stops = [self._client.carry_out(child.id, c.Interrupt()) for child in self.working]
        for result in await asyncio.gather(*stops, return_exceptions=True):
            if isinstance(result, Exception) and not isinstance(result, MidflightError):
                raise result  # the session or its host has ended

    # What is done with them ---------------------------------------------------------------

    async def answer(self, session: str, answer: c.Answer) -> None:
        """Answer a child's request. Raises what the verb raises."""
        await self._client.carry_out(session, answer)

    async def rest(self) -> bool:
        """Wait while the orchestrator is idle; return True when no session has anything to do.

        An update makes it work again. Raises what has cut the session off its journal.
        """
        while self.session.idle_since is not None:
            if self.session.lost is not None:
                raise self.session.lost
            self._changed.clear()
            if self._quiet:
                await self.look()
                if self._quiet and self.session.idle_since is not None:
                    return True
                continue
            await self._changed.wait()
        return False

    @property
    def _quiet(self) -> bool:
        children = self._children.values()
        return self._updates.idle and all(child.seen and not child.busy for child in children)

"""Which host gets a session, and what to do when that host has ended meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import os
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from midflight import commands as c
from midflight import environment
from midflight.address import Address
from midflight.client import inbox
from midflight.client.far import FarReader
from midflight.client.http import HostSick, Told, call, read, read_session, stream
from midflight.client.pushed_work import forget_work
from midflight.client.spawn import host_environment, one_at_a_time, start_host
from midflight.environment import HostKind
from midflight.errors import (
    Conflict,
    HostGone,
    InvalidInput,
    LeaseHeld,
    LeaseLost,
    MidflightError,
    NotFound,
)
from midflight.family import Beginning
from midflight.info import AgentInfo, EditedInput, EffectsInfo, Outcome, SessionInfo
from midflight.journal import TTL_S, HostRow, Journal, SessionRow
from midflight.questions import AskAgent, AskEffects, Question
from midflight.session import waiting
from midflight.values import Who
from midflight.who import DEVICE, DOOR

KNOWS_S = 2.0
"""How long a host may take to answer what it has: a session, an agent that is ready, room."""

ACCEPT_S = 15.0
"""How long a host may take to accept a task: no agent starts before that."""

AGENT_S = 5.0
"""How long a host on another machine may take to say what an agent can do."""

TRIES = 3
"""How often a command looks for the session's host, which may have ended meanwhile."""

MOMENT_S = 0.02
"""How long a session is left alone that somebody has for a moment."""

T = TypeVar("T")

HostAnswers = Mapping[Address, Mapping[str, Any]]
"""What hosts have answered; nothing, if one has not."""


class Placement:
    """Finds the host of a session by the journal, or a host for it: on this machine, or a new one.

    ``headers`` go with everything that changes something. A session at rest is looked for again
    after ``look_again_s`` seconds.
    """

    look_again_s = 0.5

    def __init__(
        self,
        journal: Journal,
        headers: Mapping[str, str],
        notify: str,
        park_after: float | None,
    ) -> None:
        """What follows ``headers`` is for the hosts that are started; see `start_host`."""
        self._journal = journal
        self._headers = headers
        self._notify = notify
        self._park_after = park_after
        self._person = ""
        self._spare: Address | None = None
        self._far = FarReader(journal)
        self._telling = weakref.WeakValueDictionary[str, asyncio.Lock]()

    def speaking_for(self, who: Who) -> Placement:
        """Return the same for a user who came by another door, and from another device.

        What it begins for a worker is that ``person``'s, which the database lets only workers do.
        """
        other = copy.copy(self)
        other._person = who.person  # noqa: SLF001 - our own
        other._headers = {**self._headers, DOOR: who.door, DEVICE: quote(who.device)}  # noqa: SLF001
        return other

    @property
    def _who(self) -> Who:
        who = inbox.sender_of(self._headers).who
        return msgspec.structs.replace(who, person=self._person) if self._person else who

    async def begin(self, session: str, body: bytes) -> SessionInfo:
        """Begin a session in a host that has an agent ready for it, or else in one that takes it.

        Its id makes it harmless to ask twice. Raises the error that the host answers.
        """
        hosts = await self._hosts("warm")
        for address in _having(hosts, "warm"):
            with contextlib.suppress(Conflict, HostGone):
                return await self._accepted(address, "/sessions?warm", body)
        return await self._begin(session, body, hosts)

    async def _begin(self, session: str, body: bytes, hosts: HostAnswers) -> SessionInfo:
        taking, tried = _having(hosts, "takes")[:1], set(hosts)
        for tries_left in reversed(range(TRIES)):
            address = await self._address(session)
            if address is None:
                address = taking.pop() if taking else await self._new(tried)
            try:
                return await self._accepted(address, "/sessions", body)
            except HostGone:
                tried.add(address)
                if not tries_left:
                    raise
        raise AssertionError

    async def _accepted(self, address: Address, path: str, body: bytes) -> SessionInfo:
        try:
            async with asyncio.timeout(ACCEPT_S):
                return read_session(await self._post(address, path, body))
        except TimeoutError:
            raise HostGone("the host does not take the task", "send it again") from None

    async def command(self, session: str, body: bytes) -> Outcome:
        """Give a session's host a command; one at rest gets a host.

        One on another machine finds it in its inbox, and so does a worker what a session at rest is
        told that this person may not have. Where the host has ended meanwhile, the next one gets
        it. Raises the error that it answers.
        """
        sick: set[Address] = set()
        given = c.decode(body)
        for tries_left in reversed(range(TRIES)):
            row = await self._find(session)
            while self._writes(row, given):
                with contextlib.suppress(LeaseHeld, LeaseLost):  # somebody has it now
                    return await self._write(row, given)
                row = await self._find(session)
            if row.left_to_workers:
                await inbox.check_workers(self._journal, row)
            if row.far or row.left_to_workers:
                outcome = await inbox.command(self._journal, session, body, self._headers)
                outcome = outcome or await self._done(session, given)
            else:
                outcome = await self._command_here(session, body, sick, last=not tries_left)
            if outcome is not None:
                return outcome
        raise HostGone("the session's hosts have ended, one after the other", "send it again")

    @staticmethod
    def _writes(row: SessionRow, command: c.Command) -> bool:
        """Tell whether this process writes a command down by itself: the session is at rest."""
        if row.host is not None or row.left_to_workers:
            return False
        return row.label is not None or isinstance(command, c.Relocate)

    async def _done(self, session: str, command: c.Command) -> Outcome | None:
        """Return what a command came to that has its session let go; None where it did not.

        Who lets a session go may not be able to say so any more: that takes its lease.
        """
        row = await self._find(session)
        closed = isinstance(command, c.Close) and row.status == "closed"
        moved = isinstance(command, c.Relocate) and row.label == command.on
        return Outcome(seq=row.seq) if row.host is None and (closed or moved) else None

    async def _write(self, row: SessionRow, command: c.Command) -> Outcome:
        """Write down a command for a session at rest. Raises `LeaseHeld` where somebody has it."""
        if isinstance(command, c.Relocate):
            await self._journal.relocate(row.id, command.on)
            return Outcome(seq=row.seq)
        async with self._telling.setdefault(row.id, asyncio.Lock()):  # each would try in vain
            return await waiting.tell(self._journal, row.id, command, self._who)

    async def _command_here(
        self, session: str, body: bytes, sick: set[Address], *, last: bool
    ) -> Outcome | None:
        """Give a command to a host of this machine; None, unless it is the ``last`` try: it ended.

        One that does not answer, and has it no more, is added to the ``sick`` ones.
        """
        address = None
        try:
            address = await self.host_of(session, sick)
            outcome = await self._post(address, f"/sessions/{session}/commands", body)
            return read(outcome, Outcome)
        except (LeaseHeld, HostGone) as error:
            mine = await self._address(session)
            if last or (mine is not None and isinstance(error, HostSick)):
                raise
            if mine is None and address is not None:
                sick.add(address)
            await self._journal.host_gone(session)
            return None

    async def begin_waiting(
        self,
        session: str,
        task: str | None,
        beginning: Beginning,
        label: str,
        first: Callable[[], Awaitable[None]] | None,
    ) -> SessionInfo:
        """Begin a session for a worker with a label; see `midflight.session.waiting`.

        What is to be done ``first`` is done when all is checked.
        """
        beginning = beginning._replace(who=self._who, person=self._person)
        task = await waiting.check(self._journal, task, beginning.options, label)
        if first is not None:
            async with self._journal.host.briefly():  # refused to who may only read
                pass
            await first()
        await waiting.begin(self._journal, session, task, beginning, label)
        return await self._journal.info(session)

    async def _find(self, session: str) -> SessionRow:
        """Return a session, once nobody has it for a moment, only to write what somebody says."""
        row = await self._journal.find(session, exact=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TTL_S):
                while row.address == "":
                    await asyncio.sleep(MOMENT_S)
                    row = await self._journal.find(session, exact=True)
        return row

    async def effects(self, session: str, request: str, body: bytes) -> EffectsInfo:
        """Ask a session's host what a call would do. Raises the error that it answers."""
        row = await self._journal.find(session, exact=True)
        if row.far:
            edited = read(body, EditedInput)
            return await self.ask(row, AskEffects(request=request, input=edited.input), EffectsInfo)
        address = await self._address(session)
        if address is None:
            raise NotFound("this session is at rest, and asks nothing")
        path = f"/sessions/{session}/requests/{quote(request, safe='')}/effects"
        return read(await self._post(address, path, body), EffectsInfo)

    async def remove(self, session: str) -> None:
        """Have a session's host remove it; one at rest is removed by this process itself.

        One of another machine is closed there first. What it has pushed goes too: raises `Conflict`
        where only that cannot be removed.
        """
        row = await self._journal.find(session, exact=True)
        row.check_own()
        await self._remove(session)
        if row.repository is not None:
            await forget_work(session, row.repository)

    async def _remove(self, session: str) -> None:
        for tries_left in reversed(range(TRIES)):
            if (await self._find(session)).far:
                await self.command(session, c.encode(c.Close()))
            address = await self._address(session)
            if address is not None:
                await self._call(address, "DELETE", f"/sessions/{session}")
                return
            try:
                async with self._journal.host.briefly():
                    await self._journal.remove(session)
                return
            except LeaseHeld:  # a worker, say, has claimed it meanwhile
                if not tries_left:
                    raise

    def events(
        self, session: SessionRow, after: int, *, attend: bool
    ) -> AsyncGenerator[list[Told]]:
        """Yield what the host of a session, which has one, sends of it; see `stream`.

        ``attend`` says that a person is there to answer.
        """
        if session.far:
            ask = functools.partial(self.agent, session)
            return self._far.events(session, after, attends=attend, agent=ask)
        path = f"/sessions/{session.id}/events?after={after}" + ("&attend=1" if attend else "")
        return stream(Address.parse(session.address or ""), path)

    async def close(self) -> None:
        """Read along no more."""
        await self._far.close()

    async def agent(self, session: SessionRow) -> AgentInfo:
        """Ask the host of a session, which has one, for its agent.

        Raises the error that it answers; `HostGone` where one on another machine knows no answer.
        """
        if session.far:
            try:
                async with asyncio.timeout(AGENT_S):
                    return await self.ask(session, AskAgent(), AgentInfo)
            except (MidflightError, TimeoutError) as error:
                raise HostGone(f"what its agent can do is not known: {error}") from error
        address = Address.parse(session.address or "")
        return read(await call(address, "GET", f"/sessions/{session.id}/agent"), AgentInfo)

    async def ask(self, session: SessionRow, question: Question, kind: type[T]) -> T:
        """Have a host on the machine of a session answer: its own, or any one of that machine.

        Raises the error that it answers, or `Conflict` where none is up.
        """
        if session.host is None and session.label is not None:
            session.check_here()  # which of its workers has the folder is not known
        host = session.host or await self._host_for(session)
        if host is None:
            raise Conflict(
                f"session {session.name} is at rest on {session.machine}, and no host is up there",
                "a message resumes it there; or look at it there",
            )
        return await inbox.ask(
            self._journal, session.id, host, question, kind=kind, headers=self._headers
        )

    async def _host_for(self, session: SessionRow) -> str | None:
        """Return a host that lives on the machine of a session at rest, the newest, or none.

        It is of the same person: where a colleague's is, that one says itself.
        """
        whose = (session.machine, session.person)
        for host in reversed(await self._journal.hosts()):
            if host.alive and (host.machine, host.person) == whose and host.address:
                return host.id
        return None

    async def recover(self, session: str, seq: int) -> None:
        """Have everything ended that hosts which died have left open.

        ``seq`` is the newest event of a session of them: with others it has been recovered, by a
        host that somebody else has started for it. One with a label is left to the workers.
        """
        if await self._recovered(session, seq):
            return
        async with one_at_a_time(self._journal.address):
            if (await self._journal.find(session, exact=True)).seq == seq:
                self._spare = await self._start()

    async def _recovered(self, session: str, seq: int) -> bool:
        """Tell whether a worker has recovered a session, if there is one that will."""
        workers = [host for host in await self._journal.hosts() if host.alive and host.labels]
        label = (await self._journal.find(session, exact=True)).label
        if label is None or not workers:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TTL_S):
                # Another process can only be asked again.
                while (await self._journal.find(session, exact=True)).seq == seq:  # noqa: ASYNC110
                    await asyncio.sleep(self.look_again_s)
                return True
        return False

    async def host_of(self, session: str, sick: Collection[Address] = ()) -> Address:
        """Return the address of the host that has a session, or of one that will.

        That is one that has had it, and knows the values that are never stored, or one that takes
        sessions from here; it is none of the ``sick`` ones.
        """
        row = await self._journal.find(session, exact=True)
        if row.address is not None:
            return Address.parse(row.address)
        row.check_own(", and at rest")
        spare, self._spare = self._spare, None
        hosts = await self._hosts(f"knows={session}")
        for address in (*_having(hosts, "knows"), *_having(hosts, "takes")):
            if address not in sick:
                return address
        return spare or await self._new({*sick, *hosts})

    async def _new(self, tried: Collection[Address]) -> Address:
        """Start a host; one that somebody else has started since others were tried does as well."""
        async with one_at_a_time(self._journal.address):
            taking = _having(await self._hosts(but=tried), "takes")
            return taking[0] if taking else await self._start()

    async def _hosts(self, what: str = "", *, but: Collection[Address] = ()) -> HostAnswers:
        """Return what hosts answer soon; a sick one, which answers nothing, is in nobody's way.

        Each is asked whether it is of the kind that is needed here, and what else is wanted.
        """
        kind = HostKind(host_environment(self._notify), self._park_after)
        hosts: dict[Address, HostRow] = {}
        for host in await self._journal.hosts():
            with contextlib.suppress(HostGone):  # it has no socket on this machine
                if (
                    host.alive
                    and not host.far
                    and (address := Address.parse(host.address)) not in but
                ):
                    hosts[address] = host
        asked = [
            _ask(address, f"takes={kind.mark(host.id)}&{what}") for address, host in hosts.items()
        ]
        return dict(zip(hosts, await asyncio.gather(*asked), strict=True))

    async def _address(self, session: str) -> Address | None:
        """Return where a session is on this machine; None if it is at rest, far or not there."""
        with contextlib.suppress(NotFound):
            row = await self._journal.find(session, exact=True)
            return None if row.far or row.address is None else Address.parse(row.address)
        return None

    async def _start(self) -> Address:
        return await start_host(
            self._journal.address, notify=self._notify, park_after=self._park_after
        )

    async def _post(self, address: Address, path: str, body: bytes) -> bytes:
        return await self._call(address, "POST", path, body)

    async def _call(
        self, address: Address, method: str, path: str, body: bytes | None = None
    ) -> bytes:
        """Ask a host to change something. The error of an older host says that it is one."""
        try:
            terminal = {environment.TERMINAL: environment.written(os.environ)}
            return await call(address, method, path, body, {**self._headers, **terminal})
        except MidflightError as error:
            if older := await self._older(address):
                if isinstance(error, InvalidInput):  # what was checked here it does not know
                    raise Conflict("the session's host does not know this yet", older) from error
                error.hint = f"{error.hint}; {older}" if error.hint else older
            raise

    async def _older(self, address: Address) -> str:
        """Return which older midflight answers at an address, and what ends it, if one does."""
        with contextlib.suppress(MidflightError):
            for host in await self._journal.hosts():
                if host.address == str(address):
                    return host.older
        return ""


async def _ask(address: Address, query: str) -> Mapping[str, Any]:
    with contextlib.suppress(MidflightError, TimeoutError):
        async with asyncio.timeout(KNOWS_S):
            return read(await call(address, "GET", f"/healthz?{query}"), dict[str, Any])
    return {}


def _having(hosts: HostAnswers, what: str) -> list[Address]:
    """Return the hosts that have said yes."""
    return [address for address, answer in hosts.items() if answer.get(what)]

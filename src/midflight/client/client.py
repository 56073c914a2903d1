"""The sessions of this machine from another process: `connect`, and what it leads to."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.address import PORTS
from midflight.agents import create
from midflight.authorization import MAY_ANSWER, AnswerGrant, AnswerScope, Authorizer, Caller
from midflight.client.placement import Placement
from midflight.client.server import ServerLink, ServerPlacement, ServerReader, as_fields
from midflight.client.session import RemoteSession
from midflight.environment import TOKEN_VARIABLE
from midflight.errors import Conflict, HostGone, InvalidInput, InvalidOption, NotFound
from midflight.family import INHERITED, FamilyBounds
from midflight.images import Image
from midflight.info import AgentInfo, EditedInput, EffectsInfo, Outcome, SessionInfo
from midflight.journal import HostRow, Journal, restored
from midflight.journal.base import SessionReader
from midflight.journal.choice import JournalAddress
from midflight.options import Options, SessionOptions, documented
from midflight.questions import AskDiff, Question
from midflight.session.image_files import ImageSource, read_images
from midflight.state.search import MOST_HITS, Found
from midflight.values import Door, SessionStatus, Who
from midflight.who import DOOR

if TYPE_CHECKING:
    from midflight.git.diff import Diff

T = TypeVar("T")

PAGE = 1_000
"""How many events a page has at most."""


def connect(
    journal: Path | str | None = None,
    *,
    token: str | None = None,
    may_answer: AnswerScope = False,
    notify: str = "",
    park_after: float | None = None,
    door: Door = "library",
) -> Client:
    """Return a client of the sessions on this machine; use it as an async context manager.

    ``journal`` is a folder, or the ``postgresql://`` URL of a journal that several machines share;
    default: that of ``MIDFLIGHT_JOURNAL``, of the user's ``config.toml``, or the user's own folder.
    Or it is the URL of a `midflight serve`, whose sessions they are then, with its ``token``
    (default: ``MIDFLIGHT_TOKEN``). In the environment of an agent, ``may_answer`` says what it may
    answer of what the sessions it has begun are asking: everything
    (True), ``"questions"``, permissions for some tools by their names, or several of these::

        async with midflight.connect() as client:
            async with await client.session("fix-the-tests") as session:
                await session.send("also update the changelog")
                async for event in session.stream():
                    ...

    ``notify`` and ``park_after`` are for the hosts that this client has to start: an address of
    apprise, and after how many quiet seconds they park a session. ``door`` is how the user of this
    program comes, for the ``who`` of events.

    Raises `InvalidOption` for a URL that is none, and for what a server has to be told itself.
    """
    if isinstance(journal, str) and journal.partition("://")[0] in PORTS:
        if notify or park_after is not None:
            raise InvalidOption("notify", "the hosts are the server's", "midflight serve --help")
        return ServerClient(journal, token or os.environ.get(TOKEN_VARIABLE, ""), door)
    return Client(journal, may_answer=may_answer, notify=notify, park_after=park_after, door=door)


class Client:
    """Finds sessions, and sends them commands. Made by `connect`."""

    def __init__(
        self,
        journal: JournalAddress | Path | str | None,
        *,
        may_answer: AnswerScope = False,
        notify: str = "",
        park_after: float | None = None,
        door: Door = "library",
    ) -> None:
        """Prepare; nothing is opened."""
        opened = Journal(journal)
        self._authorizer = Authorizer.of_this_process(opened, may_answer)
        headers = {MAY_ANSWER: self._authorizer.grant.written, DOOR: door}
        self._journal: SessionReader = opened
        self._placement: Placement | ServerPlacement = Placement(
            opened, headers, notify, park_after
        )

    async def __aenter__(self) -> Self:
        """Open the journal. Raises `StoreFailed` or `StoreRefused`."""
        await self._journal.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the journal. The sessions go on."""
        await self._placement.close()
        await self._journal.close()

    # Finding ------------------------------------------------------------------------------

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        cwd: str | os.PathLike[str] | None = None,
        parent: str | None = None,
    ) -> list[SessionInfo]:
        """Return the sessions that fit, the newest first; ``parent`` is the id of a session."""
        rows = await self._journal.sessions(status=status, cwd=_folder(cwd), parent=parent)
        readable = await self._authorizer.readable(row.id for row in rows)
        return await self._journal.infos(row for row in rows if row.id in readable)

    async def neighbours(self) -> list[SessionInfo]:
        """Return all sessions of this machine, also those not to be read here: not to be shown."""
        rows = await self._journal.sessions()
        return await self._journal.infos([row for row in rows if not row.elsewhere])

    async def elsewhere(self, session: str) -> bool:
        """Tell whether the folder of a session, by its id, is on another machine."""
        return (await self._journal.find(session, exact=True)).elsewhere

    async def ask(self, session: str, question: Question, kind: type[T]) -> T:
        """Have a host on the machine of a session, by its id, answer a question.

        Raises what it raises there, or `HostGone` or `Conflict` where nobody can be asked.
        """
        row = await self._authorizer.find(session, exact=True)
        return await self._placement.ask(row, question, kind)

    async def diff(self, session: str, paths: Sequence[str] = ()) -> Diff:
        """Return what has changed in the folder of a session, by its id, since it began.

        Raises `Conflict` where there is no git. On another machine it may be cut.
        """
        from midflight.git.diff import Diff, diff_since

        row = await self._authorizer.find(session, exact=True)
        if row.elsewhere:
            return await self._placement.ask(row, AskDiff(paths=tuple(paths)), Diff)
        return await diff_since(Path(row.cwd), row.created, paths)

    async def info(
        self,
        name: str | None = None,
        *,
        cwd: str | os.PathLike[str] | None = None,
        exact: bool = False,
    ) -> SessionInfo:
        """Return the session that is meant: by id, name, the beginning of one, or the latest.

        ``exact`` takes whole ids only. Raises `NotFound`, `Conflict` that names the candidates, or
        `NotAllowed` for one that this process must not read.
        """
        row = await self._authorizer.find(name, _folder(cwd), exact=exact)
        return await self._journal.info(row)

    async def agent(self, session: str) -> AgentInfo:
        """Return what the agent of a session can do, by the session's id, and its options.

        Of one that is not at work it is what agents of its kind can do. Raises `NotFound`.
        """
        row = await self._authorizer.find(session, exact=True)
        if row.address is not None:
            with contextlib.suppress(NotFound, HostGone):  # it is parked just now
                seen = await self._placement.agent(row)
                return msgspec.structs.replace(seen, options=seen.options or row.options)
        build = Options.build if row.label is None else Options.build_elsewhere
        return AgentInfo(
            capabilities=dict(create(restored(row.options, build=build)[0]).capabilities),
            permission_mode=row.permission_mode,
            options=row.options,
        )

    async def session(
        self,
        name: str | None = None,
        *,
        cwd: str | os.PathLike[str] | None = None,
        attend: bool = True,
    ) -> RemoteSession:
        """Return the session that is meant, to be entered; see `info`.

        ``attend`` says that a person is there to answer while it is entered: its requests have no
        deadline then.
        """
        return self._remote(await self.info(name, cwd=cwd), attend=attend)

    def begun(self, info: SessionInfo) -> RemoteSession:
        """Return a session that `begin` has just begun, to be entered."""
        return self._remote(info, fresh=True)

    def _remote(
        self, info: SessionInfo, *, fresh: bool = False, attend: bool = True
    ) -> RemoteSession:
        return RemoteSession(
            info,
            journal=self._journal,
            placement=self._placement,
            carry_out=self.carry_out,
            fresh=fresh,
            attend=attend,
        )

    async def history(
        self, session: str, after: int = 0, limit: int | None = None
    ) -> list[e.Event]:
        """Return a page of the durable events of a session after a ``seq``, by the session's id.

        It is as `Journal.events` has it: fewer where they are long, none only behind the newest.
        """
        await self._authorizer.check_reading(session)
        return await self._journal.events(session, after, min(limit or PAGE, PAGE))

    async def pages(self, session: str, after: int = 0) -> AsyncIterator[list[e.Event]]:
        """Yield all pages of `history`, one after the other."""
        while page := await self.history(session, after):
            yield page
            after = page[-1].seq or after

    async def tail(self, session: str, count: int) -> list[e.Event]:
        """Return the newest durable events of a session, by its id, the oldest of them first."""
        await self._authorizer.check_reading(session)
        return await self._journal.tail(session, count)

    async def search(
        self, session: str, text: str, before: int | None = None, limit: int = 100
    ) -> Found:
        """Return where a session has said a text, by its id: the newest events before a ``seq``.

        In whatever case; ``limit`` of them at most, `MOST_HITS` in any case.
        """
        await self._authorizer.check_reading(session)
        return await self._journal.search(session, text, before, min(limit, MOST_HITS))

    async def readable(self, sessions: Iterable[str]) -> list[str]:
        """Return those of some sessions, by their ids, that this process may read."""
        return await self._authorizer.readable(sessions)

    async def hosts(self) -> list[HostRow]:
        """Return the hosts that are known, the living and the dead, the oldest first."""
        return await self._journal.hosts()

    # Rights -------------------------------------------------------------------------------

    def speaking_for(self, who: Who) -> Client:
        """Return this client as one whose user came by another door, and from another device."""
        other = copy.copy(self)
        other._placement = self._placement.speaking_for(who)  # noqa: SLF001 - our own
        return other

    @property
    def authorizer(self) -> Authorizer:
        """What decides what this process may do."""
        return self._authorizer

    @property
    def grant(self) -> AnswerGrant:
        """What this process may answer: everything, unless an agent has started it."""
        return self._authorizer.grant

    async def ancestry(self) -> tuple[str, ...]:
        """Return the session that this process is a part of, and its ancestors; itself first.

        Raises `NotAllowed` where it cannot be known.
        """
        return await self._authorizer.ancestry()

    async def bounds(self) -> FamilyBounds:
        """Return what the session that this process is a part of may hand down."""
        return await self._authorizer.bounds()

    async def check(self, session: str, command: c.Command) -> None:
        """Raise `NotAllowed` for a command that this process must not give."""
        await self._authorizer.check(session, command)

    # Verbs --------------------------------------------------------------------------------

    @documented
    async def dispatch(
        self,
        task: str,
        *,
        id: str | None = None,
        images: Iterable[ImageSource] = (),
        on: str | None = None,
        **options: Unpack[SessionOptions],
    ) -> RemoteSession:
        """Start a session in the background, and return it, to be entered.

        It gets a host that has an agent ready for just this, or one in the background that was
        started in the same environment, or else a new one. The message is accepted when this
        returns, and the agent about to start: where it cannot, the message fails. The same ``id``
        again returns the same session. ``images`` come with the task. With ``on`` it
        waits for a worker that has this label, and nothing runs here. Raises what
        `midflight.dispatch` raises of what is known before the agent starts. The options:
        """
        made = await asyncio.to_thread(read_images, images) if images else ()
        return self.begun(await self.begin(c.check_text(task), options, id=id, images=made, on=on))

    async def begin(
        self,
        task: str | None,
        options: Mapping[str, Any],
        *,
        id: str | None = None,
        parent: str = "",
        images: tuple[Image, ...] = (),
        on: str | None = None,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> SessionInfo:
        """Start a session as `dispatch` does, also without a task, and return it as it is then.

        What is to be done ``first`` is done when all is checked that can be known here.
        """
        checked = Options.build(**options) if on is None else Options.build_elsewhere(**options)
        if checked.on_request is not None:
            raise Conflict("a function cannot be called from another process", "read the events")
        if on is not None:
            self._authorizer.check_elsewhere()
        beginning = await self._authorizer.begin(checked, parent)  # its host looks again
        session = id or uuid.uuid4().hex
        if on is not None:
            beginning = beginning._replace(images=images)
            if not isinstance(self._placement, Placement):
                raise AssertionError  # a server's client asks the server
            return await self._placement.begin_waiting(session, task, beginning, on, first)
        fields = {**options, "id": session, "cwd": str(checked.cwd), "parent": beginning.parent}
        fields |= {name: getattr(beginning.options, name) for name in INHERITED}
        if first is not None:
            await first()
        return await self._placement.begin(session, _body(task, images, fields))

    async def is_there(self, id: str) -> bool:
        """Tell whether there is a session with this id."""
        with contextlib.suppress(NotFound):
            return bool(await self.info(id, exact=True))
        return False

    async def carry_out(self, session: str, command: c.Command) -> Outcome:
        """Have the session's host carry out a command; one at rest gets a host.

        Raises what the verb raises, or `NotAllowed`. A message has an id before it is handed over:
        asked again, because the answer was lost, the host knows it for the same one.
        """
        await self.check(session, command)
        return await self._placement.command(session, c.encode(c.with_id(command)))

    async def effects(self, session: str, request: str, input: dict[str, Any]) -> EffectsInfo:
        """Return what a call that waits for its permission would do with another input.

        Raises `NotFound`, `AlreadyAnswered`, `InvalidInput` or `NotAllowed`.
        """
        await self.check(session, c.Answer(request=request, input=input))
        body = msgspec.json.encode(EditedInput(input=input))
        return await self._placement.effects(session, request, body)

    async def remove(self, session: str) -> None:
        """Stop a session and remove it from the journal, by its id, and its ref at its remote.

        Raises `NotAllowed`, and `Conflict` where the session is removed and the ref is not.
        """
        await self.check(session, c.Close())
        await self._placement.remove(session)


class ServerClient(Client):
    """The same for the sessions that a server has. Made by `connect`."""

    def __init__(self, url: str, token: str, door: Door) -> None:
        """Whoever has the token may do what the user may."""
        link = ServerLink(url, token, {DOOR: door})
        self._journal = ServerReader(link)
        self._placement = ServerPlacement(link)
        self._authorizer = Authorizer(self._journal, Caller.bearer(), may_answer=True)

    async def begin(
        self,
        task: str | None,
        options: Mapping[str, Any],
        *,
        id: str | None = None,
        parent: str = "",
        images: tuple[Image, ...] = (),
        on: str | None = None,
        first: Callable[[], Awaitable[None]] | None = None,
    ) -> SessionInfo:
        """Have the server start a session; it checks the options."""
        if first is not None:
            await first()
        session = id or uuid.uuid4().hex
        fields = {**as_fields(options), "id": session, "parent": parent}
        fields |= {} if on is None else {"on": on}
        return await self._placement.begin(session, _body(task, images, fields))


def _body(task: str | None, images: tuple[Image, ...], fields: Mapping[str, Any]) -> bytes:
    whole = {**fields, **({"images": images} if images else {})}
    try:
        whole |= {} if task is None else {"task": task}
        return msgspec.json.encode(whole, enc_hook=str)
    except UnicodeEncodeError as error:
        raise InvalidInput("an option has a lone surrogate, which is not text") from error


def _folder(cwd: str | os.PathLike[str] | None) -> str | None:
    return None if cwd is None else str(Path(cwd).absolute())

"""The same session from another process: `connect`, and what it leads to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.authorization import MAY_ANSWER, Authorizer, Said
from midflight.client.http import ask
from midflight.client.session import RemoteSession
from midflight.client.spawn import start_host
from midflight.errors import Conflict, HostGone, LeaseHeld, MidflightError, NotFound
from midflight.info import SessionInfo
from midflight.journal import Journal
from midflight.options import Options

__all__ = ["Client", "RemoteSession", "connect"]

BAD_REQUEST = 400
"""From this status on an answer tells an error."""

KNOWS_S = 2.0
"""How long a host may take to say whether it has had a session."""

TRIES = 3
"""How often a command looks for the session's host, which may have ended meanwhile."""


def connect(where: Path | str | None = None, *, may_answer: Said = False) -> Client:
    """Return a client of the sessions on this machine; use it as an async context manager.

    ``where`` is the journal's folder, the user's own if not given. In the environment of an agent,
    ``may_answer`` says what it may answer of what the sessions it has begun are asking: everything
    (True), ``"questions"``, permissions for some tools by their names, or several of these::

        async with midflight.connect() as client:
            async with await client.session("fix-the-tests") as session:
                await session.send("also update the changelog")
                async for event in session.stream():
                    ...
    """
    return Client(where, may_answer=may_answer)


class Client:
    """Finds sessions and their hosts. Made by `connect`."""

    def __init__(self, where: Path | str | None, *, may_answer: Said = False) -> None:
        """Prepare; nothing is opened."""
        self.journal = Journal(where)
        self.reach = Authorizer(self.journal, may_answer=may_answer)
        self._where = where
        self._spare: str | None = None

    async def __aenter__(self) -> Self:
        """Open the journal. Raises `StoreFailed` or `StoreRefused`."""
        await self.journal.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Close the journal. The sessions go on."""
        await self.journal.close()

    async def sessions(
        self, *, status: str | None = None, cwd: str | os.PathLike[str] | None = None
    ) -> list[SessionInfo]:
        """Return the sessions, the newest first, of a folder or a status if one is given."""
        rows = await self.journal.sessions(status=status, cwd=_folder(cwd))
        return await self.journal.infos(rows)

    async def info(
        self, name: str | None = None, *, cwd: str | os.PathLike[str] | None = None
    ) -> SessionInfo:
        """Return the session that is meant: by id, name, the beginning of one, or the latest.

        Raises `NotFound`, or `Conflict` that names the candidates.
        """
        return (await self.journal.infos([await self.journal.find(name, _folder(cwd))]))[0]

    async def session(
        self,
        name: str | None = None,
        *,
        cwd: str | os.PathLike[str] | None = None,
        attend: bool = True,
    ) -> RemoteSession:
        """Return the session that is meant, to be entered; see `info`.

        ``attend`` says that somebody is there to answer while it is entered: its requests have no
        deadline then.
        """
        return RemoteSession(self, await self.info(name, cwd=cwd), attend=attend)

    async def dispatch(self, task: str, *, id: str | None = None, **options: Any) -> RemoteSession:
        """Start a session in the background, and return it, to be entered.

        It gets a host that has an agent ready for just this, or else one of its own. The message
        is accepted when this returns. The same ``id`` again returns the same session. Raises what
        `midflight.dispatch` raises.
        """
        c.check_text(task)
        checked = Options.build(**options)
        if checked.on_request is not None:
            raise Conflict("a function cannot be called from another process", "read the events")
        session = id or uuid.uuid4().hex
        body = {**options, "task": task, "id": session, "cwd": str(checked.cwd)}
        body["parent"] = self.reach.parent
        given = msgspec.json.encode(body, enc_hook=str)
        told = await self._warm(given) or await self._begin(session, given)
        return RemoteSession(self, msgspec.json.decode(told, type=SessionInfo), fresh=True)

    async def _begin(self, session: str, given: bytes) -> bytes:
        """Dispatch to a new host, or where the session is already; its id makes that harmless."""
        for tries_left in reversed(range(TRIES)):
            address = await self._address(session) or await start_host(self._where)
            try:
                return await self.call(address, "POST", "/sessions", given)
            except HostGone:
                if not tries_left:
                    raise
        raise AssertionError

    async def _address(self, session: str) -> str | None:
        """Return where a session is; None if it is at rest, or there is none."""
        with contextlib.suppress(NotFound):
            return (await self.journal.find(session, exact=True)).address
        return None

    async def _warm(self, given: bytes) -> bytes | None:
        """Dispatch to a host that has an agent ready, if there is one."""
        for host in await self.journal.hosts():
            if host.alive:
                with contextlib.suppress(Conflict, HostGone):
                    return await self.call(host.address, "POST", "/sessions?warm", given)
        return None

    # Talking ------------------------------------------------------------------------------

    async def carry_out(self, session: str, command: c.Command) -> bytes:
        """Have the session's host carry out a command; one at rest gets a host.

        Raises what the verb raises, or `NotAllowed`. A message has an id before it is handed over:
        whoever has to ask again, because the answer was lost, asks for the same one.
        """
        await self.reach.check(session, command)
        if isinstance(command, (c.Send, c.Redirect)) and not command.id:
            command = msgspec.structs.replace(command, id=str(uuid.uuid4()))
        for tries_left in reversed(range(TRIES)):
            address = await self.host_of(session)
            try:
                path = f"/sessions/{session}/commands"
                return await self.call(address, "POST", path, c.encode(command))
            except (LeaseHeld, HostGone):
                if not tries_left:
                    raise
                await self.journal.host_gone(session)
        raise AssertionError

    async def settle(self) -> None:
        """Have everything ended that hosts which died have left open."""
        self._spare = await start_host(self._where)

    async def host_of(self, session: str) -> str:
        """Return the address of the host that has a session, or of one that will.

        That is one that has had it, and knows the values that are never stored, or a new one.
        """
        row = await self.journal.find(session, exact=True)
        if row.address is not None:
            return row.address
        spare, self._spare = self._spare, None
        return await self._knowing(session) or spare or await start_host(self._where)

    async def _knowing(self, session: str) -> str | None:
        """Return the address of a host that has had a session, if one lives and says so soon."""
        for host in await self.journal.hosts():
            if host.alive:
                with contextlib.suppress(HostGone, TimeoutError):
                    async with asyncio.timeout(KNOWS_S):
                        told = await self.call(host.address, "GET", f"/healthz?knows={session}")
                    if msgspec.json.decode(told, type=dict[str, Any]).get("knows"):
                        return host.address
        return None

    async def call(self, address: str, method: str, path: str, body: bytes | None = None) -> bytes:
        """Call a host. Raises the error that it tells."""
        may_answer = {MAY_ANSWER: self.reach.leave.written}
        async with ask(address, method, path, body, **may_answer) as answer:
            told = await answer.body()
        if answer.status >= BAD_REQUEST:
            raise _error(told)
        return told

    async def stream(self, address: str, path: str) -> AsyncIterator[e.Event | None]:
        """Yield the events that a host sends, until it ends them. Raises the error that it tells.

        None says that the host is there, and knows of the reader. Where the reader was too slow
        the host ends the events too: it is asked for the rest.
        """
        async with ask(address, "GET", path, accept="text/event-stream") as answer:
            if answer.status >= BAD_REQUEST:
                raise _error(await answer.body())
            kind = ""
            async for line in answer.lines():
                name, _, value = line.partition(": ")
                if line.startswith(":"):
                    yield None
                elif name == "event":
                    kind = value
                elif name == "data" and not kind:
                    yield e.decode(value)
                elif name == "data" and kind == "error":
                    raise _error(value.encode())
                elif name == "data":
                    return


def _folder(cwd: str | os.PathLike[str] | None) -> str | None:
    return None if cwd is None else str(Path(cwd).absolute())


def _error(body: bytes) -> MidflightError:
    """Return the error that a host has told, as what it was there."""
    try:
        return MidflightError.from_plain(msgspec.json.decode(body, type=dict[str, Any]))
    except (msgspec.MsgspecError, UnicodeError):
        return MidflightError(f"the host has answered what cannot be read: {body[:200]!r}")

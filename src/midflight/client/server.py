"""The sessions that a server has, over HTTP: what `connect` with a URL stands on.

The server reads the journal and finds the hosts; here both are asked of it.
"""

from __future__ import annotations

import copy
import re
from collections.abc import AsyncGenerator, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from midflight import events as e
from midflight.address import ServerAddress
from midflight.client.http import Told, call, read, read_session, stream
from midflight.environment import TOKEN_VARIABLE
from midflight.errors import Conflict, NotFound, Unauthorized, UnsupportedOption
from midflight.info import AgentInfo, EffectsInfo, Outcome, SessionInfo
from midflight.info import decode as decode_info
from midflight.journal import HostRow, SessionRow
from midflight.journal.base import ONLY_SAID, WHOLE, Past
from midflight.questions import Question
from midflight.state.search import Found
from midflight.state.session import State
from midflight.values import Who
from midflight.who import DOOR

T = TypeVar("T")


class ServerLink:
    """Asks a server, with the token."""

    def __init__(self, url: str, token: str, headers: Mapping[str, str]) -> None:
        """Nothing is asked yet.

        Raises `InvalidOption` for a URL that is none, and `Unauthorized` without a token.
        """
        self.address = ServerAddress.parse(url)
        if not re.fullmatch("[!-~]+", token):  # no other one can stand in a header
            raise Unauthorized("a server wants its token", f"token=…, or {TOKEN_VARIABLE}")
        self._headers = {**headers, "authorization": f"Bearer {token}"}

    async def ask(self, path: str, method: str = "GET", body: bytes | None = None) -> bytes:
        """Return what it answers. Raises the error that it answers."""
        return await call(self.address, method, path, body, self._headers)

    def stream(self, path: str) -> AsyncGenerator[list[Told]]:
        """Yield what it sends of a session."""
        return stream(self.address, path, self._headers)

    def speaking_for(self, who: Who) -> ServerLink:
        """Return the same for a user who came by another door."""
        other = copy.copy(self)
        other._headers = {**self._headers, DOOR: who.door}  # noqa: SLF001 - our own
        return other


class ServerReader:
    """Reads sessions through a server; see `midflight.journal.base.SessionReader`."""

    def __init__(self, link: ServerLink) -> None:
        """Nothing is read yet."""
        self._link = link

    async def open(self) -> None:
        """See whether the server is there, and takes the token."""
        await self._infos(limit=1)

    async def close(self) -> None:
        """Nothing is open."""

    async def _infos(self, **query: Any) -> list[SessionInfo]:
        asked = urlencode({name: value for name, value in query.items() if value is not None})
        answer = read(await self._link.ask(f"/sessions?{asked}"), list[msgspec.Raw])
        return [decode_info(bytes(each)) for each in answer]

    async def sessions(
        self,
        *,
        status: str | None = None,
        cwd: str | None = None,
        parent: str | None = None,
        limit: int | None = None,
    ) -> list[SessionRow]:
        """Return the sessions that fit, without their options."""
        infos = await self._infos(status=status, cwd=cwd, limit=None if parent else limit)
        return [self._row(info) for info in infos if parent in {None, info.parent}]

    async def infos(self, rows: Iterable[SessionRow]) -> list[SessionInfo]:
        """Return sessions as other processes get them."""
        wanted = [row.id for row in rows]
        if len(wanted) == 1:
            return [await self.info(wanted[0])]
        infos = {info.id: info for info in await self._infos()}
        return [infos[id] for id in wanted if id in infos]  # noqa: A001 - of sessions

    async def info(self, session: SessionRow | str) -> SessionInfo:
        """Return a session as other processes get it. Raises `NotFound`."""
        name = session if isinstance(session, str) else session.id
        return read_session(await self._link.ask(f"/sessions/{quote(name, safe='')}"))

    async def find(
        self,
        text: str | None = None,
        cwd: str | None = None,
        *,
        exact: bool = False,
        among: Collection[str] | None = None,
    ) -> SessionRow:
        """Return the session that is meant, with its options."""
        if text is None:
            newest = await self._infos(cwd=cwd, limit=1)
            if not newest:
                raise NotFound("there is no session" + (f" in {cwd}" if cwd else ""))
            text = newest[0].id
        info = await self.info(text)
        if exact and info.id != text:
            raise NotFound(f"no session has the id {text!r}")
        agent = read(await self._link.ask(f"/sessions/{info.id}/agent"), AgentInfo)
        return self._row(info, agent)

    def _row(self, info: SessionInfo, agent: AgentInfo | None = None) -> SessionRow:
        return SessionRow(
            id=info.id,
            name=info.name,
            agent=info.agent,
            model=info.model,
            cwd=info.cwd,
            options=(agent and agent.options) or {},
            parent=info.parent or "",
            label=info.label,
            status=info.status,
            permission_mode=agent.permission_mode if agent else "",
            last=info.last,
            pending=tuple(each.request for each in info.pending),
            rules=info.rules,
            limits=info.limits,
            turns=info.turns,
            total_cost_usd=info.total_cost_usd,
            known_usd=info.total_cost_usd or 0.0,
            agent_session="",
            seq=info.seq,
            created=info.created,
            updated=info.updated,
            turn_started=info.turn_started,
            repository=info.repository,
            host=info.host,
            address=str(self._link.address),  # which has it, whatever host that is in
        )

    async def hosts(self) -> list[HostRow]:
        """Return none: which hosts there are is the server's matter."""
        return []

    async def events(self, session: str, after: int = 0, limit: int | None = 1000) -> list[e.Event]:
        """Return a page of the durable events after a ``seq``."""
        path = f"/sessions/{session}/events?after={after}"
        answer = await self._link.ask(path + (f"&limit={limit}" if limit else ""))
        return [e.decode(bytes(each)) for each in read(answer, list[msgspec.Raw])]

    async def tail(self, session: str, count: int) -> list[e.Event]:
        """Return the newest durable events."""
        info = await self.info(session)
        return await self.events(session, max(0, info.seq - count), count)

    async def search(self, session: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events before a ``seq`` that say a text."""
        asked = {"text": text, "limit": limit} | ({} if before is None else {"before": before})
        return read(await self._link.ask(f"/sessions/{session}/search?{urlencode(asked)}"), Found)

    async def past(self, session: str) -> Past:
        """Return what everything that has happened amounts to; what is old is not kept whole."""
        whole_after = max(0, (await self.info(session)).seq - WHOLE)
        state, found, after = State(), list[e.Event](), 0
        while page := await self.events(session, after):
            for event in page:
                state.apply(event)
                if (event.seq or 0) > whole_after or event.type not in ONLY_SAID:
                    found.append(event)
            after = page[-1].seq or after
        return Past(events=found, state=state, whole_after=whole_after)


class ServerPlacement:
    """Has a server find the hosts; see `midflight.client.placement.Placement`."""

    look_again_s = 2.0

    def __init__(self, link: ServerLink) -> None:
        """Nothing is asked yet."""
        self._link = link

    def speaking_for(self, who: Who) -> ServerPlacement:
        """Return the same for a user who came by another door."""
        return ServerPlacement(self._link.speaking_for(who))

    async def begin(self, session: str, body: bytes) -> SessionInfo:
        """Begin a session. Raises the error that the server answers."""
        return read_session(await self._link.ask("/sessions", "POST", body))

    async def command(self, session: str, body: bytes) -> Outcome:
        """Give a session a command. Raises the error that the server answers."""
        return read(await self._link.ask(f"/sessions/{session}/commands", "POST", body), Outcome)

    async def effects(self, session: str, request: str, body: bytes) -> EffectsInfo:
        """Ask what a call would do with another input. Raises the error that the server answers."""
        path = f"/sessions/{session}/requests/{quote(request, safe='')}/effects"
        return read(await self._link.ask(path, "POST", body), EffectsInfo)

    async def remove(self, session: str) -> None:
        """Have a session removed."""
        await self._link.ask(f"/sessions/{session}", "DELETE")

    def events(
        self, session: SessionRow, after: int, *, attend: bool
    ) -> AsyncGenerator[list[Told]]:
        """Yield what happens in a session, through its rests."""
        path = f"/sessions/{session.id}/events?after={after}" + ("&attend=1" if attend else "")
        return self._link.stream(path)

    async def close(self) -> None:
        """Nothing is open."""

    async def agent(self, session: SessionRow) -> AgentInfo:
        """Return what a session's agent can do."""
        return read(await self._link.ask(f"/sessions/{session.id}/agent"), AgentInfo)

    async def ask(self, session: SessionRow, question: Question, kind: type[T]) -> T:
        """What is asked of a host, the server asks itself. Raises `Conflict`."""
        raise Conflict("a server is not asked this", "its own routes have it")

    async def recover(self, session: str, seq: int) -> None:
        """Nothing is left to do: the server does so for whoever follows a session."""


def as_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for a server, which checks them. Raises `UnsupportedOption`.

    The folder to work in is this one, unless another one is named: on the server's machine.
    """
    if options.get("on_request") is not None:
        raise UnsupportedOption("on_request", "a function cannot be called from another machine")
    return {"cwd": str(Path.cwd()), **options}

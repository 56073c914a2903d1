"""What a host can be asked: the routes, the same on its socket and on TCP.

One implementation of each for whoever answers: a host for its own sessions, `midflight serve` for
those of all hosts.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol, TypeVar, cast
from urllib.parse import unquote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from midflight import commands as c
from midflight import environment
from midflight import events as e
from midflight.authorization import MAY_ANSWER, AnswerGrant, AnswerScope, Authorizer, Caller
from midflight.errors import EventsExpired, InvalidInput, InvalidOption, MidflightError
from midflight.git.diff import Diff
from midflight.host.http import streams
from midflight.host.http.connection import CALLER
from midflight.host.http.new_session import NewSession
from midflight.host.http.operations import ApiRoute, Operation, Query
from midflight.host.http.problems import Logged, assemble
from midflight.host.service import SessionService, Wanted
from midflight.host.unexpected import Unexpected, log
from midflight.images import Image, check_images
from midflight.info import (
    AGENT,
    AgentInfo,
    EditedInput,
    EffectsInfo,
    Outcome,
    SessionInfo,
)
from midflight.state.search import MOST_HITS, Found
from midflight.values import STATUSES, SessionStatus, Who
from midflight.who import DEVICE, DOOR
from midflight.who import caller as who_calls
from midflight.wire import WIRE

MAX_DIFF_CHARS = 4_000_000
"""How long a diff may be."""

DIGITS = 18
"""No number of an event is longer."""


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What has changed in a session's folder since it began, whoever has changed it.

    ``commit`` is what it is compared with, empty where there is none. ``files`` is git's list of
    them, ``diff`` is all of it as git writes it, cut where it is very long: ``left_out`` says how
    many characters are missing.
    """

    commit: str
    files: str
    diff: str
    left_out: int = 0


class Service(Protocol):
    """Whoever answers for sessions; `SessionService` says more of each call."""

    @property
    def closing(self) -> bool:
        """No request is answered any more, soon."""
        ...

    def authorizer(self, caller: Caller, may_answer: AnswerScope) -> Authorizer:
        """Return what decides what a caller may do."""
        ...

    def masked(self, text: str) -> str:
        """Return a text without secrets."""
        ...

    async def sessions(
        self,
        *,
        status: SessionStatus | None = None,
        cwd: str | None = None,
        limit: int | None = None,
    ) -> list[SessionInfo]:
        """Return the sessions that fit."""
        ...

    async def info(self, name: str, *, exact: bool = False) -> SessionInfo:
        """Return a session."""
        ...

    async def dispatch(self, wanted: Wanted, authorizer: Authorizer) -> tuple[SessionInfo, bool]:
        """Start a session, and tell whether it is new."""
        ...

    async def remove(self, id: str) -> None:
        """Stop a session and remove it."""
        ...

    async def agent(self, id: str) -> AgentInfo:
        """Return what a session's agent can do."""
        ...

    def agent_seen(self, id: str) -> AgentInfo | None:
        """Return the same, if it is known at once."""
        ...

    async def carry_out(
        self, id: str, command: c.Command, who: Who, terminal: Mapping[str, str] | None
    ) -> Outcome:
        """Carry out a command."""
        ...

    async def effects(self, id: str, request: str, input: dict[str, Any]) -> EffectsInfo:
        """Return what a call that waits would do with another input."""
        ...

    async def diff(self, id: str) -> Diff:
        """Return what has changed in a session's folder."""
        ...

    async def page(self, id: str, after: int, limit: int | None) -> list[e.Event]:
        """Return a page of durable events."""
        ...

    async def search(self, id: str, text: str, before: int | None, limit: int) -> Found:
        """Return the newest events that say a text."""
        ...

    def follow(
        self, id: str, after: int, silence_s: float, *, attends: bool
    ) -> AsyncGenerator[list[e.Event]]:
        """Yield events as they come."""
        ...


def make_app(service: SessionService) -> Logged:
    """Return the application of a host."""

    async def health(request: Request) -> Response:
        body: dict[str, object] = {"status": "leaving" if service.closing else "ok", "wire": WIRE}
        query = request.query_params
        if "knows" in query:
            body["knows"] = service.knows(query["knows"])
        if "warm" in query:
            body["warm"] = service.warms(query.get("takes", ""))
        if "takes" in query:
            body["takes"] = service.takes(query["takes"])
        return as_json(body)

    about = Operation("Whether it is there, and what it takes", {200: dict[str, Any]}, open=True)
    routes = [ApiRoute("/healthz", health, about), *session_routes(service)]
    return assemble(routes, service.masked)


NUMBER = {"type": "integer", "minimum": 0, "maximum": 10**DIGITS - 1}
ATTEND = Query({"type": "string", "enum": ["0", "1"]}, "1: somebody is there to answer", "1")
_STATUS = Query({"type": "string", "enum": list(STATUSES)}, "only those in this status", "waiting")
T = TypeVar("T")

LIMIT = Query({**NUMBER, "minimum": 1}, "so many at most", 10)
_AFTER = Query(NUMBER, "the number of the event that was read last", 0)

_LIST = Operation(
    "All sessions, the newest first",
    {200: list[SessionInfo]},
    {"status": _STATUS, "cwd": Query({"type": "string"}, "only of this folder"), "limit": LIMIT},
)
_DISPATCH = Operation(
    "Begin a session; the same id again returns the same one",
    {200: SessionInfo, 201: SessionInfo},
    body=NewSession,
    example={"task": "Fix the failing test", "max_turns": 15, "cwd": "/home/ada/shop"},
)
_SHOW = Operation("One session", {200: SessionInfo})
_REMOVE = Operation("Stop a session and remove it, with all its events", {200: SessionInfo})
_COMMAND = Operation(
    "Give a session a command",
    {202: Outcome},
    body=c.ANY,
    example={"type": "send", "text": "plus signs are allowed in addresses", "delivery": "steer"},
)
_EFFECTS = Operation(
    "What a call would do with another input, before it is allowed with that",
    {200: EffectsInfo},
    body=EditedInput,
    example={"input": {"command": "make test"}},
)
_AGENT = Operation("What a session's agent can do, and its options", {200: AgentInfo})
_EVENTS = Operation(
    "What has happened in a session: a page, or a stream of what happens",
    {200: list[e.ANY]},
    {"after": _AFTER, "limit": LIMIT, "attend": ATTEND},
    streams=True,
)
_SEARCH = Operation(
    "Where a session has said a text, in whatever case: the newest events first",
    {200: Found},
    {
        "text": Query({"type": "string", "minLength": 1}, "what is looked for", "pytest"),
        "before": Query({**NUMBER, "minimum": 1}, "only in events before this one", 100),
        "limit": LIMIT,
    },
)
_DIFF = Operation("What has changed in a session's folder since it began", {200: Changes})


def session_routes(service: Service) -> list[ApiRoute]:
    """Return the routes of sessions, for whoever answers for them."""
    api = _Api(service)
    return [
        ApiRoute("/sessions", api.list, _LIST),
        ApiRoute("/sessions", api.dispatch, _DISPATCH, "POST"),
        ApiRoute("/sessions/{session}", api.show, _SHOW),
        ApiRoute("/sessions/{session}", api.remove, _REMOVE, "DELETE"),
        ApiRoute("/sessions/{session}/commands", api.command, _COMMAND, "POST"),
        ApiRoute("/sessions/{session}/requests/{request}/effects", api.effects, _EFFECTS, "POST"),
        ApiRoute("/sessions/{session}/agent", api.agent, _AGENT),
        ApiRoute("/sessions/{session}/events", api.events, _EVENTS),
        ApiRoute("/sessions/{session}/search", api.search, _SEARCH),
        ApiRoute("/sessions/{session}/diff", api.diff, _DIFF),
    ]


def who_asks(request: Request) -> Who:
    """Return who is known to ask."""
    caller: Caller = getattr(request.state, CALLER)
    door = "page" if caller.device else request.headers.get(DOOR, "")
    device = caller.device or unquote(request.headers.get(DEVICE, ""))
    return who_calls(door, caller.inside, caller.pid, seen=caller.seen, device=device)


def as_json(content: object, status: int = 200) -> Response:
    """Return an object as the response."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def body_of(request: Request, most: int = c.MAX_COMMAND_BYTES) -> bytes:
    """Return the body. Raises `HTTPException` as soon as it is too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > most:
                raise HTTPException(413, f"{most} bytes are the most")
    except ClientDisconnect as error:
        raise InvalidInput("the request ended before its body was whole") from error
    return bytes(body)


class _Api:
    """The endpoints."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def _authorizer(self, request: Request) -> Authorizer:
        may_answer = AnswerGrant.read(request.headers.get(MAY_ANSWER, ""))
        caller: Caller = getattr(request.state, CALLER)
        return self._service.authorizer(caller, may_answer)

    @staticmethod
    def _terminal(request: Request) -> Mapping[str, str] | None:
        header = request.headers.get(environment.TERMINAL)
        return None if header is None else environment.read(header)

    async def list(self, request: Request) -> Response:
        query = request.query_params
        limit = number(query.get("limit"), least=1)
        infos = await self._service.sessions(
            status=_status(query.get("status")), cwd=query.get("cwd"), limit=limit
        )
        readable = await self._authorizer(request).readable(info.id for info in infos)
        return as_json([info for info in infos if info.id in readable])

    async def _info(self, request: Request) -> SessionInfo:
        """Return the session. Raises `NotAllowed` where the caller must not read it."""
        row = await self._authorizer(request).find(request.path_params["session"])
        return await self._service.info(row.id, exact=True)

    async def show(self, request: Request) -> Response:
        return as_json(await self._info(request))

    async def dispatch(self, request: Request) -> Response:
        example = 'for example {"task": "fix the test"}'
        fields = decoded(await body_of(request), dict[str, Any], "a task", example)
        task, wanted_id, parent = (
            fields.pop("task", None),
            fields.pop("id", None),
            fields.pop("parent", ""),
        )
        if wanted_id is not None and not isinstance(wanted_id, str):
            raise InvalidInput("the id of a session is text")
        if not isinstance(parent, str):
            raise InvalidInput("the parent of a session is the id of one")
        fields.pop("on_request", None)  # a function does not come from another process
        if "cwd" not in fields:
            raise InvalidOption("cwd", "a host has no folder of its own", "say where to work")
        wanted = Wanted(
            task=task,
            images=_images(fields.pop("images", [])),
            options=fields,
            id=wanted_id,
            parent=parent,
            warm="warm" in request.query_params,
            who=who_asks(request),
            terminal=self._terminal(request),
        )
        info, new = await self._service.dispatch(wanted, self._authorizer(request))
        return as_json(info, 201 if new else 200)

    async def remove(self, request: Request) -> Response:
        info = await self._info(request)
        await self._authorizer(request).check(info.id, c.Close())
        await self._service.remove(info.id)
        return as_json(info)

    async def command(self, request: Request) -> Response:
        command = c.decode(await body_of(request))
        info = await self._info(request)
        await self._authorizer(request).check(info.id, command)
        outcome = await self._service.carry_out(
            info.id, command, who_asks(request), self._terminal(request)
        )
        return as_json(outcome, 202)

    async def effects(self, request: Request) -> Response:
        edited = decoded(await body_of(request), EditedInput, "an input", '{"input": {…}}')
        info, asked = await self._info(request), request.path_params["request"]
        allow = c.Answer(request=asked, input=edited.input)  # files are read for it
        await self._authorizer(request).check(info.id, allow)
        return as_json(await self._service.effects(info.id, asked, edited.input))

    async def agent(self, request: Request) -> Response:
        return as_json(await self._service.agent((await self._info(request)).id))

    async def events(self, request: Request) -> Response:
        info = await self._info(request)
        after, attends = _after(request, info), attended(request)
        if "text/event-stream" not in request.headers.get("accept", ""):
            limit = number(request.query_params.get("limit"), least=1)
            page = await self._service.page(info.id, after, limit)
            return Response(_array(page), media_type="application/json")
        return streams.response(self._stream(info.id, after, attends=attends))

    async def search(self, request: Request) -> Response:
        info, query = await self._info(request), request.query_params
        text, before = query.get("text", ""), number(query.get("before"), least=1)
        if not text:
            raise HTTPException(400, "text is what is looked for")
        limit = number(query.get("limit"), least=1) or MOST_HITS
        return as_json(await self._service.search(info.id, text, before, limit))

    async def diff(self, request: Request) -> Response:
        diff = await self._service.diff((await self._info(request)).id)
        return as_json(Changes(**diff.cut(MAX_DIFF_CHARS)._asdict()))

    async def _stream(self, id: str, after: int, *, attends: bool) -> AsyncGenerator[bytes]:
        """Yield the events, a heartbeat where nothing happens, and that it lagged where it did.

        What the agent can do, and in which mode it works, comes as a comment before the first of
        them and before those with which it has changed.
        """
        frames = self._service.follow(id, after, streams.HEARTBEAT_S, attends=attends)
        silence, known = streams.HERE, None
        try:
            async for events in frames:
                agent = self._service.agent_seen(id)
                told = b"" if agent == known or agent is None else _comment(agent)
                yield told + (b"".join(map(streams.frame, events)) or silence)
                silence, known = streams.STILL_HERE, agent
            yield streams.END
        except EventsExpired:  # what is not in memory any more is in the journal: come back
            yield streams.LAGGED
        except MidflightError as error:
            yield streams.LEAVING if self._service.closing else streams.error(error)
        except Exception as error:  # noqa: BLE001 - the reader has to be told
            log(error, self._service.masked)
            yield streams.error(Unexpected(error))
        finally:
            await frames.aclose()


def _comment(agent: AgentInfo) -> bytes:
    return AGENT + msgspec.json.encode(agent) + b"\n\n"


def _array(page: list[e.Event]) -> bytes:
    return b"[" + b",".join(map(e.encode, page)) + b"]"


def _images(given: object) -> tuple[Image, ...]:
    try:
        return check_images(msgspec.convert(given, tuple[Image, ...]))
    except msgspec.ValidationError as error:
        raise InvalidInput(f"images: {error}", 'for example [{"data": "base64"}]') from error


def decoded(body: bytes, kind: type[T], what: str, hint: str = "") -> T:
    """Return what a body says. Raises `InvalidInput`, by the name of what was expected."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidInput(f"not {what}: {error}", hint) from error


def attended(request: Request) -> bool:
    """Tell whether the reader answers requests. Raises `HTTPException`."""
    text = request.query_params.get("attend", "0")
    if text not in {"0", "1"}:
        raise HTTPException(400, "attend is 0 or 1")
    return text == "1"


def _status(text: str | None) -> SessionStatus | None:
    if text is not None and text not in STATUSES:
        raise HTTPException(400, f"status is one of {', '.join(STATUSES)}")
    return cast("SessionStatus | None", text)


def number(text: str | None, least: int = 0) -> int | None:
    """Return a number that stands in a query or a header. Raises `HTTPException`."""
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise HTTPException(400, f"{text!r} is not a number")
    if int(text) < least:
        raise HTTPException(400, f"{text} is less than {least}")
    return int(text)


def _after(request: Request, info: SessionInfo) -> int:
    """Return where to read on: behind the event that the reader saw last."""
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    after = number(text) or 0
    if after > info.seq:
        raise HTTPException(400, f"there is no event {after}; the newest is {info.seq}")
    return after

"""What a host can be asked: the HTTP surface, the same on its socket and, when asked for, on TCP.

Errors are ``{"code": …, "message": …, "hint": …}`` with the status that fits the code.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from midflight import commands as c
from midflight import environment
from midflight import events as e
from midflight.authorization import MAY_ANSWER, AnswerGrant, Authorizer, Caller
from midflight.errors import (
    AgentFailed,
    AgentUnavailable,
    AlreadyAnswered,
    Conflict,
    EventsExpired,
    HostGone,
    InvalidInput,
    InvalidOption,
    LeaseHeld,
    MidflightError,
    NotAllowed,
    NotFound,
    SessionClosed,
    StoreFailed,
)
from midflight.host.http.connection import CALLER
from midflight.host.service import SessionService
from midflight.info import AGENT, SessionInfo
from midflight.options import Options
from midflight.values import Who
from midflight.who import DOOR
from midflight.who import caller as who_calls
from midflight.wire import WIRE

HEARTBEAT_S = 15.0
"""How often a stream on which nothing happens carries a heartbeat."""

DIGITS = 18
"""No number of an event is longer."""

_STATUS: tuple[tuple[type[MidflightError], int], ...] = (
    (NotAllowed, 403),
    (NotFound, 404),
    (AlreadyAnswered, 409),
    (LeaseHeld, 409),
    (Conflict, 409),
    (SessionClosed, 409),
    (InvalidInput, 422),
    (InvalidOption, 422),
    (HostGone, 503),
    (StoreFailed, 503),
    (AgentFailed, 502),
    (AgentUnavailable, 502),
)


def make_app(service: SessionService) -> Guarded:
    """Return the application of a host."""
    api = _Api(service)
    routes = [
        Route("/healthz", api.health, methods=["GET"]),
        Route("/sessions", api.list, methods=["GET"]),
        Route("/sessions", api.dispatch, methods=["POST"]),
        Route("/sessions/{session}", api.show, methods=["GET"]),
        Route("/sessions/{session}", api.remove, methods=["DELETE"]),
        Route("/sessions/{session}/commands", api.command, methods=["POST"]),
        Route("/sessions/{session}/agent", api.agent, methods=["GET"]),
        Route("/sessions/{session}/events", api.events, methods=["GET"]),
    ]
    for route in routes:
        assert route.methods is not None  # noqa: S101 - they stand above
        route.methods.discard("HEAD")  # which would run the handler, and for a stream for ever
    handlers = {MidflightError: _problem, HTTPException: _refused, Exception: _unexpected}
    return Guarded(Starlette(routes=routes, exception_handlers=handlers), service.masked)


class Unexpected(MidflightError):
    """A mistake in the host itself; what it was stands in the host's log only."""

    code = "internal"

    def __init__(self, error: Exception) -> None:
        """Give no more than the kind of the error: its text may repeat anything."""
        super().__init__(
            f"the host has made a mistake: {type(error).__name__}",
            "its log says more: hosts.log in the journal's folder",
        )


class Guarded:
    """An application whose errors are logged here, without the secrets that they may repeat."""

    def __init__(self, app: Callable[..., Awaitable[None]], masked: Callable[[str], str]) -> None:
        """``masked`` blanks out what must not be read in a log."""
        self._app = app
        self._masked = masked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer; by the time that an error comes here the caller has its answer."""
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged
            _log(error, self._masked)


def _log(error: Exception, masked: Callable[[str], str]) -> None:
    lines = "".join(traceback.format_exception(error))
    context = {"message": masked(f"a request to the host has failed\n{lines}")}
    asyncio.get_running_loop().call_exception_handler(context)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, MidflightError)  # noqa: S101 - the table above says so
    return problem(error)


async def _unexpected(request: Request, error: Exception) -> Response:
    return problem(Unexpected(error))


def problem(error: MidflightError) -> Response:
    """Return the response for an error."""
    status = next((number for kind, number in _STATUS if isinstance(error, kind)), 500)
    return _json(error.plain(), status)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table above says so
    content = {"code": "http", "message": str(error.detail), "hint": ""}
    return _json(content, error.status_code)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def _body(request: Request) -> bytes:
    """Return the body. Raises `InvalidInput` as soon as it is too long."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if kind != "application/json":
        raise HTTPException(415, "send application/json")
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > c.MAX_COMMAND_BYTES:
                raise HTTPException(413, f"{c.MAX_COMMAND_BYTES} bytes are the most")
    except ClientDisconnect as error:
        raise InvalidInput("the request ended before its body was whole") from error
    return bytes(body)


class _Api:
    """The endpoints."""

    def __init__(self, service: SessionService) -> None:
        self._service = service

    def _authorizer(self, request: Request) -> Authorizer:
        may_answer = AnswerGrant.read(request.headers.get(MAY_ANSWER, ""))
        caller: Caller = getattr(request.state, CALLER)
        return self._service.authorizer(caller, may_answer)

    @staticmethod
    def _who(request: Request) -> Who:
        caller: Caller = getattr(request.state, CALLER)
        door = request.headers.get(DOOR, "")
        return who_calls(door, caller.inside, caller.pid, seen=caller.seen)

    @staticmethod
    def _terminal(request: Request) -> Mapping[str, str] | None:
        header = request.headers.get(environment.TERMINAL)
        return None if header is None else environment.read(header)

    async def health(self, request: Request) -> Response:
        body: dict[str, object] = {
            "status": "leaving" if self._service.closing else "ok",
            "wire": WIRE,
        }
        if "knows" in request.query_params:
            body["knows"] = self._service.knows(request.query_params["knows"])
        if "warm" in request.query_params:
            body["warm"] = self._service.warm
        if "takes" in request.query_params:
            body["takes"] = self._service.takes(request.query_params["takes"])
        return _json(body)

    async def list(self, request: Request) -> Response:
        query = request.query_params
        limit = _number(query.get("limit"))
        infos = await self._service.sessions(
            status=query.get("status"), cwd=query.get("cwd"), limit=limit
        )
        readable = await self._authorizer(request).readable(info.id for info in infos)
        return _json([info for info in infos if info.id in readable])

    async def _info(self, request: Request) -> SessionInfo:
        """Return the session. Raises `NotAllowed` where the caller must not read it."""
        row = await self._authorizer(request).find(request.path_params["session"])
        return await self._service.info(row.id, exact=True)

    async def show(self, request: Request) -> Response:
        return _json(await self._info(request))

    async def dispatch(self, request: Request) -> Response:
        fields = _decoded(await _body(request))
        task, wanted = fields.pop("task", None), fields.pop("id", None)
        parent = fields.pop("parent", "")
        if wanted is not None and not isinstance(wanted, str):
            raise InvalidInput("the id of a session is text")
        if not isinstance(parent, str):
            raise InvalidInput("the parent of a session is the id of one")
        fields.pop("on_request", None)  # a function does not come from another process
        if "cwd" not in fields:
            raise InvalidOption("cwd", "a host has no folder of its own", "say where to work")
        options = Options.build(**fields)
        authorizer = self._authorizer(request)
        beginning = await authorizer.begin(options, parent)
        warm = "warm" in request.query_params
        beginning = beginning._replace(who=self._who(request), terminal=self._terminal(request))
        info, new = await self._service.dispatch(task, beginning, wanted, warm=warm)
        if not new:  # whoever may have begun it
            await authorizer.check_reading(info.id)
        return _json(info, 201 if new else 200)

    async def remove(self, request: Request) -> Response:
        info = await self._info(request)
        await self._authorizer(request).check(info.id, c.Close())
        await self._service.remove(info.id)
        return _json(info)

    async def command(self, request: Request) -> Response:
        command = c.decode(await _body(request))
        info = await self._info(request)
        await self._authorizer(request).check(info.id, command)
        outcome = await self._service.carry_out(
            info.id, command, self._who(request), self._terminal(request)
        )
        return _json(outcome, 202)

    async def agent(self, request: Request) -> Response:
        return _json(self._service.agent((await self._info(request)).id))

    async def events(self, request: Request) -> Response:
        info = await self._info(request)
        after = _after(request, info)
        if "text/event-stream" not in request.headers.get("accept", ""):
            limit = _number(request.query_params.get("limit"))
            page = await self._service.page(info.id, after, limit)
            return Response(_array(page), media_type="application/json")
        attends = request.query_params.get("attend") == "1"
        stream = self._stream(info.id, after, attends=attends)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    def _agent_comment(self, id: str) -> bytes:
        with contextlib.suppress(NotFound):  # it is at rest
            return AGENT + msgspec.json.encode(self._service.agent(id)) + b"\n\n"
        return b""

    async def _stream(self, id: str, after: int, *, attends: bool) -> AsyncIterator[bytes]:
        """Yield the events, a heartbeat where nothing happens, and that it lagged where it did.

        What the agent can do, and in which mode it works, comes as a comment before the first of
        them and before those with which it has changed.
        """
        frames = self._service.follow(id, after, HEARTBEAT_S, attends=attends)
        silence, known = b": here\n\n", b""
        try:
            async for events in frames:
                agent = self._agent_comment(id)
                told = b"" if agent == known else agent
                yield told + (b"".join(map(_sse, events)) or silence)
                silence, known = b": still here\n\n", agent
            yield b"event: end\ndata: {}\n\n"
        except EventsExpired:  # what is not in memory any more is in the journal: come back
            yield b"event: lagged\ndata: {}\n\n"
        except MidflightError as error:
            yield _sse_error(error)
        except Exception as error:  # noqa: BLE001 - the reader has to be told
            _log(error, self._service.masked)
            yield _sse_error(Unexpected(error))
        finally:
            await frames.aclose()


def _sse(event: e.Event) -> bytes:
    number = b"" if event.seq is None else b"id: %d\n" % event.seq
    return b"%sdata: %s\n\n" % (number, e.encode(event))


def _sse_error(error: MidflightError) -> bytes:
    return b"event: error\ndata: " + bytes(problem(error).body) + b"\n\n"


def _array(page: list[e.Event]) -> bytes:
    return b"[" + b",".join(map(e.encode, page)) + b"]"


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidInput(
            f"not a task: {error}", 'for example {"task": "fix the test"}'
        ) from error


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > DIGITS:
        raise HTTPException(400, f"{text!r} is not a number")
    return int(text)


def _after(request: Request, info: SessionInfo) -> int:
    """Return where to read on: behind the event that the reader saw last."""
    text = request.headers.get("last-event-id") or request.query_params.get("after")
    after = _number(text) or 0
    if after > info.seq:
        raise HTTPException(400, f"there is no event {after}; the newest is {info.seq}")
    return after

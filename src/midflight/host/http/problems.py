"""Errors as answers: ``application/problem+json`` with the status that fits the code (RFC 9457).

Each has ``code``, ``message`` and ``hint``, as every error of midflight has, and its ``status``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from midflight.errors import (
    AgentFailed,
    AgentUnavailable,
    AlreadyAnswered,
    Conflict,
    HostGone,
    InvalidInput,
    InvalidOption,
    LeaseHeld,
    MidflightError,
    NotAllowed,
    NotFound,
    SessionClosed,
    StoreFailed,
    Unauthorized,
)
from midflight.host.unexpected import Unexpected, log

STATUS: tuple[tuple[type[MidflightError], int], ...] = (
    (Unauthorized, 401),
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
"""Which status an error has; the first that fits counts."""

PROBLEM = "application/problem+json"


class Gone(Exception):
    """Whoever asked gets nothing more; raised by what sends."""


class Logged:
    """An application whose errors are logged here, without the secrets that they may repeat."""

    def __init__(self, app: Callable[..., Awaitable[None]], masked: Callable[[str], str]) -> None:
        """``masked`` blanks out what must not be read in a log."""
        self._app = app
        self._masked = masked

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer; by the time that an error comes here the caller has its answer."""
        try:
            await self._app(scope, receive, send)
        except Gone:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is logged
            log(error, self._masked)


def assemble(routes: Sequence[BaseRoute], masked: Callable[[str], str]) -> Logged:
    """Return the application of some routes; see `Logged`."""
    handlers = {MidflightError: _problem, HTTPException: _refused, Exception: _unexpected}
    return Logged(Starlette(routes=routes, exception_handlers=handlers), masked)


def problem(error: MidflightError, **headers: str) -> Response:
    """Return the response for an error."""
    status = next((number for kind, number in STATUS if isinstance(error, kind)), 500)
    return _response(error.plain(), status, headers)


def refusal(status: int, message: str, hint: str = "", **headers: str) -> Response:
    """Return the response for what HTTP itself has a status for; its ``code`` is named after it."""
    code = HTTPStatus(status).name.lower()
    return _response({"code": code, "message": message, "hint": hint}, status, headers)


def _response(
    fields: dict[str, Any], status: int, headers: dict[str, str] | None = None
) -> Response:
    content = msgspec.json.encode({"status": status, **fields})
    return Response(content, status, headers, media_type=PROBLEM)


async def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, MidflightError)  # noqa: S101 - the table above says so
    return problem(error)


async def _unexpected(request: Request, error: Exception) -> Response:
    return problem(Unexpected(error))


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - the table above says so
    headers = dict(error.headers or {})
    if "Allow" in headers:  # which names the methods of one route, where several have this path
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return refusal(error.status_code, str(error.detail), **headers)


def _methods(request: Request) -> Iterator[str]:
    """Return the methods of all routes that have the path of a request."""
    for each in request.app.routes:
        match, _ = each.matches(request.scope)
        if match is not Match.NONE and isinstance(each, Route):
            yield from each.methods or ()

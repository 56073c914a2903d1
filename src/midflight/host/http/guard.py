"""What stands in front of every route on TCP, and looks at the start that it does."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator
from typing import Any, Protocol

from starlette.routing import BaseRoute, Mount, Route

from midflight.authorization import Caller
from midflight.errors import MidflightError, Unauthorized
from midflight.host.http.connection import CALLER
from midflight.host.http.problems import Gone, problem, refusal
from midflight.host.http.tcp import Names

App = Callable[..., Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
)
"""What every response says, unless it says otherwise itself."""

REFUSED = 401
"""The status for one who has shown nothing that opens."""

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


class Keys(Protocol):
    """What tells from its headers who a request comes from."""

    def caller(self, headers: Headers) -> Caller | None:
        """Return who that is; None for one who has shown nothing that opens."""
        ...


class Unguarded(MidflightError):
    """A route answers without the token, and is not among the open ones: nothing is served."""

    code = "unguarded"


class Guard:
    """Lets a request through that names this server, comes from no other page, and has the key.

    ``open_paths`` hold no data, and need no key. Nothing else decides: not from which address a
    request comes, and nothing that a proxy says of it.
    """

    def __init__(
        self, app: App, names: Names, keys: Keys, open_paths: Collection[str], *, closing: Any
    ) -> None:
        """``closing()`` tells whether the server is about to end."""
        self._app = app
        self._names = names
        self._keys = keys
        self._open = frozenset(open_paths)
        self._closing: Callable[[], bool] = closing

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse the request, or hand it on with its `Caller`."""
        app: Any = self._refusal(scope) or self._app

        async def dressed(message: Any) -> None:
            if message.get("more_body") and self._is_withdrawn(scope):
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                raise Gone
            if message["type"] == "http.response.start":
                said = {name for name, _ in message["headers"]}
                more = [header for header in HEADERS if header[0] not in said]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        with contextlib.suppress(Gone):
            await app(scope, receive, dressed)

    def _is_withdrawn(self, scope: Any) -> bool:
        """Tell whether a device was logged out while it gets its answer, which may be a stream."""
        caller: Caller | None = scope.get("state", {}).get(CALLER)
        return bool(caller and caller.device) and self._keys.caller(scope["headers"]) is None

    def _refusal(self, scope: Any) -> Any:
        headers: Headers = scope["headers"]
        if _only(headers, b"host").lower() not in self._names.hosts:
            return refusal(421, "this server has another name", "midflight serve --public-url URL")
        comes_from_page = any(name == b"origin" for name, _ in headers)
        if comes_from_page and _only(headers, b"origin") not in self._names.origins:
            return refusal(403, "another page's requests are not answered")
        if self._closing():
            return refusal(503, "the server is about to end", "try again later")
        caller = self._keys.caller(headers)
        if caller is not None:
            scope["state"] = {**scope.get("state", {}), CALLER: caller}
        elif scope["path"] not in self._open:
            wrong = Unauthorized("the token is missing or wrong", "Authorization: Bearer …")
            return problem(wrong, **{"WWW-Authenticate": "Bearer"})
        return None


def _only(headers: Headers, name: bytes) -> str:
    """Return the one value of a header; nothing where there is none, or more than one."""
    values = [value for each, value in headers if each == name]
    return values[0].decode("latin-1") if len(values) == 1 else ""


# At the start -----------------------------------------------------------------------------


async def check_guarded(
    app: App, routes: Iterable[BaseRoute], host: str, open_paths: Collection[str]
) -> None:
    """Knock at every route without a key. Raises `Unguarded` if one answers that is not open."""
    for path in dict.fromkeys(_paths(routes)):
        for method in METHODS:
            if path not in open_paths and await knock(app, method, path, host) != REFUSED:
                raise Unguarded(
                    f"{method} {path} answers without the token", "please report this line"
                )


def _paths(routes: Iterable[BaseRoute], above: str = "") -> Iterator[str]:
    """Return a path of each route; what stands in braces can be anything."""
    for route in routes:
        if isinstance(route, Mount):
            yield above + route.path + "/x"
            yield from _paths(route.routes, above + route.path)
        elif isinstance(route, Route):
            yield above + route.path_format.replace("{", "").replace("}", "")
        else:
            raise Unguarded(f"a route of a kind that is not known: {type(route).__name__}")


async def knock(app: App, method: str, path: str, host: str) -> int:
    """Return the status with which an application answers a request that has no key."""
    status = 0

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", host.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 1),
        "state": {},
    }
    await app(scope, receive, send)
    return status

"""``midflight serve``: one port for the sessions of all hosts, which go on when it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from midflight._util.uvicorn_server import end, serve
from midflight.authorization import Caller
from midflight.client.client import Client
from midflight.client.scheduled import RunStarter
from midflight.environment import TOKEN_VARIABLE
from midflight.errors import InvalidInput, InvalidOption, NotAllowed
from midflight.host.http import auth, tcp
from midflight.host.http.app import as_json, session_routes
from midflight.host.http.connection import IDLE_TIMEOUT_S, BoundedHTTP
from midflight.host.http.guard import Guard, Headers, check_guarded
from midflight.host.http.logins import Logins
from midflight.host.http.openapi import document
from midflight.host.http.operations import ApiRoute, Operation
from midflight.host.http.problems import assemble
from midflight.journal import Journal
from midflight.journal.choice import choose
from midflight.mcp.bounds import DispatchBounds
from midflight.schedules.firing import Firing
from midflight.server.agents import agents_route
from midflight.server.events import events_route
from midflight.server.feed import Feed
from midflight.server.login import LOGIN, login_routes
from midflight.server.mcp import McpEndpoint, mcp_route
from midflight.server.page import files, page_routes
from midflight.server.schedules import firing, schedule_routes
from midflight.server.sessions import AllSessions
from midflight.server.trust import trust_route
from midflight.server.worktree import worktree_routes

if TYPE_CHECKING:
    from uvicorn import Server


class Health(msgspec.Struct, frozen=True):
    """That the server is there."""

    status: str


_HEALTH = Operation("Whether the server is there", {200: Health}, open=True)

OPEN = frozenset({"/healthz", LOGIN})
"""The paths that need no key beside those of the page's files: they hold no data."""


class ServeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line says of the server.

    ``where`` is the journal; ``public`` are the URLs by which others reach it; ``cert`` and ``key``
    are the files that TLS needs; ``bounds`` are those of clients of MCP; ``notify`` is the address
    of apprise that the hosts which it starts report to.
    """

    host: str
    port: int
    public: Sequence[str] = ()
    cert: str | None = None
    key: str | None = None
    where: Path | str | None = None
    bounds: DispatchBounds = DispatchBounds()
    notify: str = ""


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A server that runs: its URLs, the file with its token (None: it was set), and its routes."""

    urls: tuple[str, ...]
    logins: Logins
    token_file: Path | None
    routes: Sequence[ApiRoute]


class Keyring:
    """Tells who has what opens."""

    def __init__(self, token: auth.Token, logins: Logins) -> None:
        """The token opens, and so does what a device has been given."""
        self._token = token
        self._logins = logins

    def caller(self, headers: Headers) -> Caller | None:
        """Return who a request comes from; None for one that has shown nothing that opens."""
        if self._token.is_in(headers):
            return Caller.bearer()
        device = self._logins.find(headers)
        return None if device is None else Caller.bearer(device.name)


@contextlib.asynccontextmanager
async def serving(options: ServeOptions, env: Mapping[str, str]) -> AsyncIterator[Serving]:
    """Serve within the block; ``env`` may have the token.

    Raises `InvalidOption` or `InvalidInput` where what is asked for would be open to others, and
    `NotAllowed` inside of an agent: it would have a way in without being known.
    """
    check_no_agent()
    if (options.cert is None) != (options.key is None):
        raise InvalidOption("tls", "a certificate and its key go together", "--tls-cert --tls-key")
    address = choose(options.where)
    location = address.location
    token = auth.token(location, env)
    listener = tcp.listen(options.host, options.port)
    with contextlib.closing(listener):
        if not tcp.is_loopback(listener) and not token.explicit:
            raise InvalidInput(
                f"{options.host} can be reached from outside, and no token was set for that",
                f"set {TOKEN_VARIABLE}, or serve on 127.0.0.1 (see docs/http.md)",
            )
        names = tcp.Names.of(listener, options.public, tls=options.cert is not None)
        async with (
            Client(address, notify=options.notify, door="json") as client,
            Journal(address) as journal,
        ):
            service = AllSessions(client, [token.value])
            fires = Firing(journal, RunStarter(client))
            page = files()
            feed = Feed(journal, service)
            logins = Logins(location)
            routes: list[ApiRoute] = [
                ApiRoute("/healthz", _health, _HEALTH),
                events_route(feed, service),
                trust_route(),
                *schedule_routes(journal, fires),
                agents_route(),
                *session_routes(service),
                *worktree_routes(client),
                *login_routes(logins),
            ]
            routes.append(_openapi(routes))
            mcp = McpEndpoint(client, options.bounds, names)
            every = [*page_routes(page), *routes, mcp_route(mcp)]
            guard = Guard(
                assemble(every, service.masked),
                names,
                Keyring(token, logins),
                OPEN | page.keys(),
                closing=lambda: service.closing,
            )
            await check_guarded(guard, every, min(names.hosts), OPEN | page.keys())
            tcp.open_to_others(listener)
            server = await _answer(guard, listener, options)
            logins.serve([*names.urls])
            try:
                file = None if token.explicit else auth.token_file(location)
                async with firing(journal, fires):
                    yield Serving(urls=names.urls, logins=logins, token_file=file, routes=routes)
            finally:
                logins.serve([])
                closing = asyncio.get_running_loop().create_task(_close(service, feed, mcp))
                await end(server)
                await closing


async def _answer(guard: Guard, listener: socket.socket, options: ServeOptions) -> Server:
    tls = {"cert": options.cert, "key": options.key}
    try:
        return await serve(guard, listener, http=BoundedHTTP, keep_alive_s=IDLE_TIMEOUT_S, **tls)
    except OSError as error:  # that of TLS is one too
        what = f"{options.cert} and {options.key} cannot be used: {error}"
        raise InvalidOption("tls_cert", what, "a certificate and its key, both PEM") from error


async def _close(service: AllSessions, feed: Feed, mcp: McpEndpoint) -> None:
    """End what readers wait for, and their streams with it."""
    await service.close()
    await mcp.close()
    await feed.close()


def check_no_agent() -> None:
    """Raise `NotAllowed` inside of an agent: it would have a way in without being known."""
    if Caller.this_process().held:
        raise NotAllowed("an agent cannot open the sessions to others", "ask the user")


def _openapi(routes: Sequence[ApiRoute]) -> ApiRoute:
    """Return the route that describes all others, and itself."""

    async def openapi(request: Request) -> Response:
        return as_json(document([*routes, route]))

    about = Operation("This document", {200: dict[str, Any]})
    route = ApiRoute("/openapi.json", openapi, about)
    return route


async def _health(request: Request) -> Response:
    """Say that it is there, and nothing else: this is open."""
    return as_json(Health("ok"))

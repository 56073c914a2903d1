"""Nobody gets past the guard without the token, by another name, or from another page."""

from __future__ import annotations

import asyncio
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from tests.faults.manifest import fault
from tests.server.conftest import TOKEN, Server
from tests.support.raw_http import call, dial

from midflight.authorization import Caller
from midflight.environment import TOKEN_VARIABLE
from midflight.errors import InvalidInput, InvalidOption, MidflightError, NotAllowed, StoreRefused
from midflight.host.http.guard import METHODS, Unguarded, check_guarded
from midflight.server.page import files
from midflight.server.server import OPEN, ServeOptions, serving

OTHERS: dict[str, dict[str, Any]] = {
    "none": {},
    "empty": {"authorization": ""},
    "no token": {"authorization": "Bearer"},
    "blank": {"authorization": "Bearer  "},
    "wrong": {"authorization": "Bearer wrong-wrong-wrong-wrong"},
    "longer": {"authorization": f"Bearer {TOKEN}x"},
    "shorter": {"authorization": f"Bearer {TOKEN[:-1]}"},
    "other case": {"authorization": f"Bearer {TOKEN.upper()}"},
    "other scheme": {"authorization": f"Basic {TOKEN}"},
    "twice": {"authorization": [f"Bearer {TOKEN}", f"Bearer {TOKEN}"]},
    "cookie": {"cookie": f"token={TOKEN}"},
    "not ASCII": {"authorization": f"Bearer {TOKEN}\xe9"},
}


def _paths(server: Server) -> list[str]:
    """Return a path of each route, of two of the page's files and of the MCP tools."""
    described = [re.sub(r"{\w+}", "x", route.path) for route in server.routes]
    return [*described, "/", "/js/main.js", "/mcp"]


@fault("S1")
@pytest.mark.parametrize("other", OTHERS)
async def test_no_route_answers_without_the_token(server: Server, other: str) -> None:
    paths = set(_paths(server)) - OPEN - files().keys()
    assert len(paths) > 4
    for path in [*paths, "/nowhere", f"/sessions?token={TOKEN}", f"/sessions?access_token={TOKEN}"]:
        for method in METHODS:
            async with dial(server.address, path, method, None, **OTHERS[other]) as raw:
                assert (raw.status, raw.headers["www-authenticate"]) == (401, "bearer"), path


@fault("S1")
async def test_only_the_open_paths_need_no_token(server: Server) -> None:
    assert {"/healthz", "/login"} == OPEN
    assert await call(server.address, "/healthz") == (200, {"status": "ok"})
    assert await server.call("/sessions") == (200, [])
    assert await server.call("/sessions", authorization=f"bearer {TOKEN}") == (200, [])
    for near in ("/healthz/", "//healthz", "/healthz/../sessions", "/HEALTHZ"):
        assert (await call(server.address, near))[0] == 401


@fault("S1")
@pytest.mark.parametrize(
    "route",
    [
        Route("/forgotten/{session}", lambda _: Response("data"), methods=["POST"]),
        Mount("/below", routes=[Route("/forgotten", lambda _: Response("data"))]),
        WebSocketRoute("/socket", lambda _: None),
    ],
)
async def test_route_beside_the_guard_keeps_the_server_from_starting(route: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response("data", 200)(scope, receive, send)

    with pytest.raises(Unguarded):
        await check_guarded(app, [route], "x", OPEN)


@fault("S2")
@pytest.mark.parametrize(
    "host",
    [
        *("evil.com", "localhost.evil.com", "127.0.0.1.nip.io", "localhost", "", "evil.com:{port}"),
        *("127.0.0.1:{port}.evil.com", "localhost:{port}@evil.com", "localhost.:{port}"),
        "[::2]:{port}",
    ],
)
async def test_foreign_host_is_421(server: Server, host: str) -> None:
    port = server.address.rpartition(":")[2]
    told = {"x_forwarded_host": server.address, "forwarded": f"host={server.address}"}
    for path in {*_paths(server)}:
        name = host.format(port=port)
        async with dial(server.address, path, host=name, **server.key, **told) as raw:
            assert raw.status == 421


@fault("S2")
async def test_nothing_is_believed_of_an_address(server: Server) -> None:
    told = dict.fromkeys(("x_forwarded_for", "x_real_ip", "client_ip"), "127.0.0.1")
    for authorization in ("", "Bearer wrong-wrong-wrong-wrong"):
        status, problem = await server.call("/sessions", authorization=authorization, **told)
        assert (status, problem["code"]) == (401, "unauthorized")
    for name in ("localhost", "127.0.0.1", "LOCALHOST"):
        port = server.address.rpartition(":")[2]
        assert (await server.call("/sessions", host=f"{name}:{port}"))[0] == 200


@fault("S2")
async def test_request_without_a_host_is_refused(server: Server) -> None:
    for version, status in ((b"1.0", b"421"), (b"1.1", b"400")):
        host, _, port = server.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        key = server.key["authorization"].encode()
        writer.write(b"GET /sessions HTTP/%s\r\nauthorization: %s\r\n\r\n" % (version, key))
        assert (await reader.readline()).split()[1] == status
        writer.transport.abort()


@fault("S3")
@pytest.mark.parametrize(
    "origin",
    [
        *("https://evil.com", "null", "http://127.0.0.1:1", "http://localhost", "file://", ""),
        *("https://{address}", "http://{address}.evil.com", "http://{address}/"),
        "HTTP://{address}x",
    ],
)
async def test_foreign_origin_is_403_and_gets_no_cors(server: Server, origin: str) -> None:
    told = {"origin": origin.format(address=server.address), **server.key}
    asked = {"access_control_request_method": "POST"}
    for path in {*_paths(server)}:
        for method, more in (("GET", {}), ("OPTIONS", asked), ("POST", {})):
            headers = {**told, **more, "accept": "text/event-stream"}
            async with dial(server.address, path, method, **headers) as raw:
                assert raw.status == 403
                assert not [name for name in raw.headers if "access-control" in name]


@fault("S3")
async def test_own_origin_is_answered_without_cors(server: Server) -> None:
    async with dial(server.address, "/sessions", origin=server.url, **server.key) as raw:
        assert raw.status == 200
        assert not [name for name in raw.headers if "access-control" in name]
        assert raw.headers["cache-control"] == "no-store"
        assert raw.headers["referrer-policy"] == "no-referrer"


@fault("S3")
@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
async def test_form_post_is_415(server: Server, kind: str) -> None:
    body = b'{"task": "x", "agent": "fake", "cwd": "/"}'
    posts = [route.path for route in server.routes if route.method == "POST"]
    assert len(posts) > 4
    for path in posts:
        assert (await server.call(path, "POST", body, content_type=kind))[0] == 415, path


# At the start -----------------------------------------------------------------------------


async def _start(state: Path, env: dict[str, str], **options: Any) -> tuple[str, ...]:
    """Start a server, end it, and return its URLs."""
    given = {"host": "127.0.0.1", "port": 0, **options}
    async with serving(ServeOptions(where=state, **given), env) as running:
        return running.urls


@fault("C3")
@pytest.mark.parametrize("token", ["", " ", "\t\n", "short", "a token with blanks in it", "ü" * 20])
async def test_token_that_is_none_starts_nothing(state: Path, token: str) -> None:
    with pytest.raises(InvalidInput):
        await _start(state, {TOKEN_VARIABLE: token})
    (state / "token").write_text(token)
    (state / "token").chmod(0o600)
    with pytest.raises(InvalidInput, match="token"):
        await _start(state, {})


@fault("C3")
@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - which is refused
async def test_public_address_needs_a_token_and_a_name(state: Path, host: str) -> None:
    with pytest.raises(InvalidInput, match="outside"):
        await _start(state, {}, host=host)
    with pytest.raises(InvalidInput, match="outside"):  # the file is there now
        await _start(state, {}, host=host)
    with pytest.raises(InvalidOption, match="public_url"):
        await _start(state, {TOKEN_VARIABLE: TOKEN}, host=host)
    public = ("https://my.name",)
    urls = await _start(state, {TOKEN_VARIABLE: TOKEN}, host=host, public=public)
    assert urls[0] == "https://my.name"


@pytest.mark.parametrize(
    "options",
    [
        {"host": "no.such.host.invalid"},
        {"port": 70_000},
        {"public": ["my.name"]},
        {"public": ["ftp://my.name"]},
        {"public": ["https://my.name:x"]},
        {"public": ["https://my.name/path"]},
        {"cert": "cert.pem"},
        {"cert": "/nowhere/cert.pem", "key": "/nowhere/key.pem"},
    ],
)
async def test_option_that_cannot_be_used_is_named(state: Path, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidOption):
        await _start(state, {}, **options)


@fault("C4")
async def test_token_is_made_once_for_its_user_alone(state: Path) -> None:
    before = os.umask(0)
    try:
        await _start(state, {})
    finally:
        os.umask(before)
    file = state / "token"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    made = file.read_text()
    assert len(made.strip()) >= 32
    await _start(state, {})
    assert file.read_text() == made
    assert [name for name in os.listdir(state) if "token" in name] == ["token"]  # noqa: PTH208


@fault("C4")
async def test_token_that_others_could_read_or_put_there_is_refused(state: Path) -> None:
    await _start(state, {})
    file = state / "token"
    file.chmod(0o640)
    with pytest.raises(StoreRefused, match="open to others") as caught:
        await _start(state, {})
    assert caught.value.hint == f"chmod 600 {file}"
    elsewhere = file.rename(state / "elsewhere")
    elsewhere.chmod(0o600)
    file.symlink_to(elsewhere)
    with pytest.raises(StoreRefused, match="symbolic link"):
        await _start(state, {})


async def test_names_of_public_urls_are_answered(state: Path) -> None:
    options = ServeOptions(host="127.0.0.1", port=0, where=state, public=["https://My.Name"])
    async with serving(options, {TOKEN_VARIABLE: TOKEN}) as running:
        server = Server(running)
        server.address = running.urls[1].partition("://")[2]
        for host in ("my.name", "my.name:443", "MY.NAME"):
            headers = {"host": host, "origin": "https://my.name"}
            assert (await server.call("/sessions", **headers))[0] == 200
        assert (await server.call("/sessions", host="my.name:80"))[0] == 421
        assert (await server.call("/sessions", origin="http://my.name"))[0] == 403


async def test_agent_cannot_serve(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDFLIGHT_SESSION", "s1")
    assert Caller.this_process().held
    with pytest.raises(NotAllowed):
        await _start(state, {TOKEN_VARIABLE: TOKEN})


async def test_port_in_use_is_an_error_that_names_another(state: Path, server: Server) -> None:
    port = int(server.address.rpartition(":")[2])
    with pytest.raises(MidflightError) as caught:
        await _start(state, {}, port=port)
    assert "--port" in caught.value.hint

"""A link lets one device in, once; what it leads to opens nothing in parts or elsewhere."""

from __future__ import annotations

import asyncio
import stat
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.server.conftest import TOKEN, Server
from tests.support.events import until
from tests.support.program import Done, in_a_thread
from tests.support.raw_http import call, dial

from midflight import events as e
from midflight.errors import InvalidInput, NotFound
from midflight.host.http.logins import LINK_S, UNUSED_S, Logins
from midflight.journal import JournalLocation
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.values import Who

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


@pytest.fixture
def logins(state: Path, server: Server) -> Logins:
    """Return the logins as another process has them."""
    return Logins(JournalLocation(state))


async def log_in(server: Server, code: str) -> dict[str, Any]:
    """Exchange a code, as a page does, and return the headers that it sends from then on."""
    async with dial(
        server.address, "/login", "POST", {"code": code}, origin=server.url
    ) as response:
        assert response.status == 200
        cookie = response.head.partition("set-cookie: ")[2].partition(";")[0]
        secret = (await response.body())["secret"]
    return {"cookie": cookie, "midflight-secret": secret}


@fault("S4")
async def test_link_logs_one_device_in_once(server: Server, logins: Logins) -> None:
    code = logins.link("my  phone")
    body = {"code": code}
    for _ in range(3):  # a preview of the link, which has no fragment
        await call(server.address, "/")
    async with dial(server.address, "/login", "POST", body, origin=server.url) as response:
        assert response.status == 200
        cookie = response.headers["set-cookie"]
        value = response.head.partition("set-cookie: ")[2].partition("=")[2].partition(";")[0]
        told = await response.body()
    assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
    assert "secure" not in cookie
    assert told["device"]["name"] == "my phone"
    status, problem = await call(server.address, "/login", "POST", body)
    assert (status, problem["code"]) == (404, "not_found")
    file = logins._file.path  # noqa: SLF001 - what is on disk
    text = await asyncio.to_thread(file.read_text)
    assert stat.S_IMODE(await asyncio.to_thread(lambda: file.stat().st_mode)) == 0o600
    for secret in (code, told["secret"], value):
        assert secret not in text


async def test_cookie_is_secure_where_the_page_is(state: Path) -> None:
    public = ["https://my.name"]
    options = ServeOptions(host="127.0.0.1", port=0, where=state, public=public)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        address = running.urls[1].partition("://")[2]
        code = Logins(JournalLocation(state)).link("phone")
        headers = {"host": "my.name", "origin": "https://my.name"}
        async with dial(address, "/login", "POST", {"code": code}, **headers) as response:
            assert "secure" in response.headers["set-cookie"].split("; ")


@fault("S1")
async def test_neither_the_cookie_nor_the_secret_opens_anything_alone(
    server: Server, logins: Logins
) -> None:
    one = await log_in(server, logins.link("one"))
    two = await log_in(server, logins.link("two"))
    assert (await call(server.address, "/sessions", **one)) == (200, [])
    for wrong in (
        {"cookie": one["cookie"]},
        {"midflight-secret": one["midflight-secret"]},
        {"cookie": one["cookie"], "midflight-secret": two["midflight-secret"]},
        {"cookie": one["cookie"], "midflight-secret": ""},
        {**one, "midflight-secret": [one["midflight-secret"]] * 2},
        {**one, "cookie": one["cookie"] + "x"},
        {"authorization": f"Bearer {one['midflight-secret']}"},
    ):
        assert (await call(server.address, "/sessions", **wrong))[0] == 401


@fault("S1", "S3")
async def test_server_on_another_port_replays_what_it_gets_in_vain(
    server: Server, logins: Logins
) -> None:
    """A browser sends a cookie to every port of a host; the secret is with the page's origin."""
    held = await log_in(server, logins.link("phone"))
    got: list[bytes] = []

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.close()

    async with await asyncio.start_server(other, "127.0.0.1", 0) as listening:
        port = listening.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET / HTTP/1.1\r\nhost: x\r\ncookie: {held['cookie']}\r\n\r\n".encode())
        await reader.read()
        writer.close()
    replayed = dict(line.split(b": ", 1) for line in got[0].strip().split(b"\r\n")[1:])
    cookie = replayed[b"cookie"].decode()
    assert (await call(server.address, "/sessions", cookie=cookie))[0] == 401
    assert (await call(server.address, "/sessions", **held))[0] == 200


async def test_cookies_of_several_ports_stand_side_by_side(server: Server, logins: Logins) -> None:
    held = await log_in(server, logins.link("phone"))
    port = server.address.rpartition(":")[2]
    assert held["cookie"].startswith(f"midflight-{port}=")
    held["cookie"] = f"other=1; midflight-1=wrong; {held['cookie']}"
    assert (await call(server.address, "/sessions", **held))[0] == 200


@pytest.mark.parametrize("code", ["", "x", "x" * 1_000, "é"])
async def test_code_that_is_none_opens_nothing(server: Server, logins: Logins, code: str) -> None:
    logins.link("phone")
    assert (await call(server.address, "/login", "POST", {"code": code}))[0] == 404
    wrong: list[object] = [{}, {"code": 1}, [], {"code": "x", "more": 1}]
    for body in wrong:
        assert (await call(server.address, "/login", "POST", body))[0] == 422
    assert (await call(server.address, "/login", "POST", b"x", content_type="text/plain"))[0] == 415
    assert (await call(server.address, "/login", "POST", {"code": "x" * 5_000}))[0] == 413
    assert (await call(server.address, "/login"))[0] in {401, 405}


async def test_link_is_too_old_after_ten_minutes(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = logins.link("phone")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + LINK_S + 1)
    with pytest.raises(NotFound):
        logins.open(code)


async def test_device_that_is_not_used_is_logged_out(
    logins: Logins, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = logins.open(logins.link("phone"))
    cookie = f"midflight-1={opened.cookie}".encode()
    headers = [(b"cookie", cookie), (b"midflight-secret", opened.secret.encode())]
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + UNUSED_S / 2)
    assert logins.find(headers) is not None  # which counts as used
    monkeypatch.setattr(time, "time", lambda: now + UNUSED_S + 1)
    assert logins.find(headers) is not None
    monkeypatch.setattr(time, "time", lambda: now + 3 * UNUSED_S)
    assert logins.find(headers) is None
    assert logins.devices() == []


async def test_name_of_a_device_is_one_line(logins: Logins) -> None:
    for name in ("", "  ", "a\x1b[31m", "a\u202eb"):
        with pytest.raises(InvalidInput):
            logins.link(name)
    assert logins.open(logins.link("x" * 1_000)).device.name == "x" * 100


@fault("S1")
async def test_device_that_is_logged_out_gets_nothing_more(
    server: Server, logins: Logins, begin: Begin
) -> None:
    _, session = await begin(Text("secret words"))
    held = await log_in(server, logins.link("phone"))
    kept = await log_in(server, logins.link("desk"))
    _, devices = await call(server.address, "/devices", **held)
    assert [each["name"] for each in devices] == ["phone", "desk"]
    assert set(devices[0]) == {"id", "name", "created", "seen"}
    path = f"/sessions/{session.id}/events"
    asked = {**held, "accept": "text/event-stream"}
    async with dial(server.address, path, **asked) as stream:
        await stream.reader.readuntil(b": here")
        status, gone = await call(server.address, f"/devices/{devices[0]['id']}", "DELETE", **kept)
        assert (status, gone["name"]) == (200, "phone")
        await (await session.send("go")).result()
        assert b"secret words" not in await stream.reader.readuntil(b"0\r\n\r\n")
    assert (await call(server.address, "/sessions", **held))[0] == 401
    assert (await call(server.address, "/sessions", **kept))[0] == 200
    assert (await call(server.address, "/devices/nobody", "DELETE", **kept))[0] == 404


async def test_what_is_said_on_the_page_has_the_name_of_its_device(
    server: Server, logins: Logins, begin: Begin
) -> None:
    _, session = await begin(Text("one"))
    held = await log_in(server, logins.link("Adas phöne"))
    path = f"/sessions/{session.id}/commands"
    status, _ = await call(server.address, path, "POST", {"type": "send", "text": "go"}, **held)
    assert status == 202
    told = await until(session, e.MessageAccepted)
    assert told.who == Who(role="user", door="page", device="Adas phöne")


async def test_program_makes_links_and_lists_and_forgets_devices(
    server: Server, logins: Logins, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run(*words: str) -> Done:
        return await in_a_thread(monkeypatch, "serve", *words, "--journal", str(state))

    made = await run("--link", "phone")
    links = [line.partition("/#code=") for line in made.out.splitlines()[:-1]]
    assert links[0][0] == server.url
    await log_in(server, links[0][2])
    listed = await run("--devices")
    assert "phone" in listed.out
    assert (await run("--forget", "phone")).out.startswith("phone (")
    assert (await run("--forget", "phone")).code == 4
    assert (await run("--devices")).out == "no device is logged in\n"
    logins.serve([])
    assert (await run("--link", "phone")).code == 4

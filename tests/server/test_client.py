"""A program reaches the sessions of a server by its URL, as it reaches its own machine's."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import TOKEN, Server
from tests.support.events import read, texts

import midflight
from midflight.errors import InvalidOption, NotFound, Unauthorized, UnsupportedOption
from midflight.host import Host
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

__all__ = ["one_environment", "started"]


async def test_session_is_dispatched_by_url(
    started: list[Host], server: Server, fake_model: Any, tmp_path: Path
) -> None:
    model = await fake_model(Text("one"), Text("two"))
    async with midflight.connect(server.url, token=TOKEN) as client:
        options = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path), "max_turns": 7}
        async with await client.dispatch("do it", id="my-id", **options) as session:
            assert session.first is not None
            assert texts(await read(session)) == ["one"]
            assert (session.options.max_turns, session.name) == (7, "do-it")
            await session.send("more")
            assert texts(await read(session)) == ["two"]
        (info,) = await client.sessions()
        assert info == await client.info("do-i") == await client.info(cwd=tmp_path)
        assert [info.id for info in await client.sessions(status="running")] == []
        assert [event.seq for event in await client.tail("my-id", 2)] == [info.seq - 1, info.seq]
        with pytest.raises(NotFound):
            await client.info("do-i", exact=True)
        with pytest.raises(InvalidOption, match="max_turns"):
            await client.dispatch("x", agent="fake", cwd=tmp_path, max_turns=0)
        with pytest.raises(UnsupportedOption):
            await client.dispatch("x", on_request=lambda _: None)
        await client.remove("my-id")
        assert await client.sessions() == []


@fault("S1", "S4")
async def test_wrong_token_is_an_error_that_does_not_repeat_it(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDFLIGHT_TOKEN", raising=False)
    for token in (None, "", "wrong-wrong-wrong-wrong"):
        with pytest.raises(Unauthorized) as caught:
            async with midflight.connect(server.url, token=token):
                raise AssertionError
        assert not token or token not in f"{caught.value!r} {caught.value}"
    monkeypatch.setenv("MIDFLIGHT_TOKEN", TOKEN)
    async with midflight.connect(server.url) as client:
        assert await client.sessions() == []


@pytest.mark.parametrize("url", ["http://", "http://a/b", "https://user@a", "http://a?token=x"])
async def test_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidOption):
        midflight.connect(url, token=TOKEN)


async def test_what_the_server_decides_is_refused() -> None:
    with pytest.raises(InvalidOption, match="notify"):
        midflight.connect("http://a", token=TOKEN, notify="ntfy://x")


@fault("N1", "N7")
async def test_client_goes_on_with_a_server_that_was_started_anew(
    begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.client.server.ServerPlacement.look_again_s", 0.05)
    model, session = await begin(Text("one"), [Wait("go"), Text("two")])
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    env = {"MIDFLIGHT_TOKEN": TOKEN}
    first = serving(options, env)
    url = (await first.__aenter__()).urls[0]
    port = int(url.rpartition(":")[2])
    async with (
        midflight.connect(url, token=TOKEN) as client,
        await client.session(session.id) as remote,
    ):
        await (await remote.send("one")).result()
        message = await remote.send("two")
        await model.reached("go")
        await first.__aexit__(None, None, None)
        with pytest.raises(midflight.HostGone, match=str(port)):
            await remote.interrupt()
        model.signal("go")
        async with serving(ServeOptions(host="127.0.0.1", port=port, where=state), env):
            assert (await message.result()).text == "two"
            events = [event async for event in _durable(remote, session.last_seq)]
    assert [event.seq for event in events] == list(range(1, session.last_seq + 1))


async def _durable(session: Any, last: int) -> Any:
    async for event in session.events():
        if event.seq:
            yield event
        if event.seq == last:
            return


async def test_long_past_is_read_by_pages_and_not_kept_whole(
    server: Server, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.client.server.WHOLE", 5)
    _, session = await begin(*(Text(word) for word in ("one", "two", "three")))
    for _ in range(3):
        await (await session.send("go")).result()
    last = session.last_seq
    async with midflight.connect(server.url, token=TOKEN) as client:
        past = await client._journal.past(session.id)  # noqa: SLF001 - what is kept of it
        assert [event.seq for event in past.recent] == list(range(last - 4, last + 1))
        old = [event.type for event in past.events if (event.seq or 0) <= past.whole_after]
        assert "turn.ended" in old
        assert "text" not in old
        async with await client.session(session.id) as remote:
            events = [event async for event in _durable(remote, last)]
            assert remote.total_cost_usd == session.total_cost_usd
    assert [event.seq for event in events] == list(range(1, last + 1))


async def test_two_programs_and_a_terminal_see_the_same(
    server: Server, begin: Begin, client: Any
) -> None:
    _, session = await begin(Text("one"))
    async with (
        midflight.connect(server.url, token=TOKEN) as far,
        await far.session(session.id) as one,
        await far.session(session.id) as two,
        await client.session(session.id) as near,
    ):
        await one.send("go")
        found = await asyncio.gather(*(read(each) for each in (one, two, near)))
    assert texts(found[0]) == texts(found[1]) == texts(found[2]) == ["one"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[str, str]:
    """Make a certificate for this machine that nobody has signed; return the files of it."""
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    made += ["-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run([*made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    return cert, key


async def test_server_speaks_tls_and_the_client_checks_it(
    begin: Begin, state: Path, certificate: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await begin(Text("one"))
    cert, key = certificate
    options = ServeOptions(host="127.0.0.1", port=0, where=state, cert=cert, key=key)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        url = running.urls[0]
        assert url.startswith("https://")
        with pytest.raises(midflight.HostGone, match="certificate"):
            async with midflight.connect(url, token=TOKEN):
                raise AssertionError
        monkeypatch.setenv("SSL_CERT_FILE", cert)
        async with (
            midflight.connect(url, token=TOKEN) as client,
            await client.session(session.id) as remote,
        ):
            assert (await (await remote.send("go")).result()).text == "one"

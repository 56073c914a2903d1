"""An OpenCode that cannot be started, or is not what it should be: told in one line, in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.events import ended
from tests.support.faults import PROGRAMS, agents

import midflight
from midflight.testing import FakeModel, Text
from midflight.testing.conformance.rig import Stage
from midflight.testing.opencode import OpenCodeServer

PRETENDER = PROGRAMS / "opencode_server.py"
BOUND_S = 10.0


async def _refused(**options: Any) -> midflight.MidflightError:
    """Open a session that cannot be opened; return the error, which must be fit for a person."""
    session = midflight.open(agent="opencode", **options)
    with pytest.raises((midflight.AgentUnavailable, midflight.AgentFailed)) as caught:
        async with asyncio.timeout(BOUND_S), session:
            pass
    assert session.status == "closed"
    assert caught.value.hint
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return caught.value


@fault("C2", "A1")
@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (None, "does not exist"),
        ("", "is not executable"),
        ("#!/nowhere/at/all\n", "cannot be run"),
        ("#!/bin/sh\necho Welcome to the machine\n", "did not start: exit code 0"),
        ("#!/bin/sh\necho 'no way in' >&2\nexit 3\n", "did not start: exit code 3; no way in"),
        ("#!/bin/sh\necho Welcome; exec tail -f /dev/null\n", "did not answer within"),
        ("#!/bin/sh\nexec yes\n", "did not answer within"),
        ("#!/bin/sh\ntrap '' TERM INT HUP; while :; do sleep 1; done\n", "did not answer within"),
    ],
    ids=[
        *("missing", "not executable", "no interpreter", "rubbish"),
        *("failing", "hanging", "endless", "deaf to signals"),
    ],
)
async def test_program_that_is_no_opencode_is_reported_with_what_to_do(
    tmp_path: Path,
    no_agent_left: None,
    monkeypatch: pytest.MonkeyPatch,
    script: str | None,
    complaint: str,
) -> None:
    if complaint == "did not answer within":
        monkeypatch.setattr("midflight.agents.opencode.server.START_TIMEOUT_S", 0.7)
    path = tmp_path / "agent"
    if script is not None:
        path.write_text(script)
        path.chmod(0o755 if script else 0o644)
    assert complaint in str(await _refused(agent_path=path, cwd=tmp_path))


@fault("C2", "A1")
@pytest.mark.parametrize(
    ("how", "complaint"),
    [
        ("1.0.0", "this is OpenCode 1.0.0, and 1.18 or a newer 1.x is needed"),
        ("version 2: 2.0.27", "this is OpenCode 2.0.27, and 1.18 or a newer 1.x is needed"),
        ("a web page", "no OpenCode server"),
        ("a list", "this is OpenCode ?"),
        ("401", "does not accept the password"),
        ("500", "no OpenCode server"),
        ("deaf", "did not answer within"),
        ("taken once", "this is OpenCode 1.0.0"),
        ("taken for ever", "EADDRINUSE"),
    ],
)
async def test_bad_server_is_reported_with_what_to_do(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch, how: str, complaint: str
) -> None:
    """One that is too old, and one that is never healthy."""
    if how == "deaf":
        monkeypatch.setattr("midflight.agents.opencode.server.START_TIMEOUT_S", 1.0)
    env = {"HOW": how, "HOME": str(tmp_path)}
    assert complaint in str(await _refused(agent_path=PRETENDER, cwd=tmp_path, env=env))


@fault("C2")
async def test_missing_opencode_says_how_to_get_it_and_others_work(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    error = await _refused(cwd=tmp_path)
    assert isinstance(error, midflight.AgentUnavailable)
    assert "npm install -g opencode-ai" in error.hint
    async with FakeModel([Text("here")]) as model:
        env = model.env(tmp_path)
        async with midflight.open(agent="fake", cwd=tmp_path, env=env) as session:
            assert (await ended(await session.send("go"))).text == "here"


@fault("C2", "A5")
async def test_cancelled_start_leaves_no_server(tmp_path: Path, no_agent_left: None) -> None:
    env, before = {"HOW": "deaf"}, agents()
    session = midflight.open(agent="opencode", agent_path=PRETENDER, cwd=tmp_path, env=env)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5), session:
            pass
    assert agents() == before


# A server that was named ----------------------------------------------------------------------


@asynccontextmanager
async def _listener(answer: bytes) -> AsyncIterator[str]:
    """Listen on loopback and say the same to everybody who says something; yield the address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(65536)
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def _http(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()


@fault("C2")
@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (b"SSH-2.0-OpenSSH_9.9\r\n", "did not answer within"),
        (b"", "did not answer within"),
        (_http("200 OK", "<html>"), "no OpenCode server"),
        (_http("200 OK", '"text"'), "this is OpenCode ?"),
        (_http("200 OK", "{}"), "this is OpenCode ?"),
        (_http("404 Not Found", "what?"), "no OpenCode server"),
        (_http("503 Busy", "\x1b[31m" + "much\n" * 1000), "no OpenCode server"),
    ],
    ids=["ssh", "nothing", "web page", "text", "object", "not found", "long"],
)
async def test_named_server_that_is_none_is_reported_with_what_to_do(
    tmp_path: Path,
    no_agent_left: None,
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes,
    complaint: str,
) -> None:
    if complaint == "did not answer within":
        monkeypatch.setattr("midflight.agents.opencode.server.FIND_TIMEOUT_S", 0.5)
    async with _listener(answer) as url:
        assert complaint in str(await _refused(server_url=url, cwd=tmp_path))


@fault("C2")
async def test_named_server_where_nobody_listens_is_reported_by_address(
    tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.agents.opencode.server.FIND_TIMEOUT_S", 0.5)
    async with _listener(b"") as url:
        pass
    error = await _refused(server_url=url, cwd=tmp_path)
    assert f"{url} did not answer" in str(error)
    assert "leave out server_url" in error.hint


@fault("C2")
@pytest.mark.parametrize("url", ["http://127.0.0.1:99999", "http://[::1", "http://[zz]:1"])
async def test_named_server_that_cannot_be_one_is_refused_by_the_option(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(midflight.UnsupportedOption, match=r"^server_url: "):
        async with midflight.open(agent="opencode", server_url=url, cwd=tmp_path):
            pass


@fault("C2", "S4")
@pytest.mark.parametrize("password", ["wrong-but-long-enough", None, ""])
async def test_named_server_refuses_a_wrong_password_and_none(
    opencode: Stage, opencode_server: OpenCodeServer, password: str | None
) -> None:
    async with opencode.model(()) as model:
        options = opencode.options(model)
    options.pop("agent")
    env = {name: value for name, value in options["env"].items() if name not in opencode_server.env}
    options["env"] = env if password is None else env | {"OPENCODE_SERVER_PASSWORD": password}
    error = await _refused(**options)
    assert "does not accept the password" in str(error)
    assert "OPENCODE_SERVER_PASSWORD" in error.hint
    assert "wrong-but-long-enough" not in f"{error!r} {error} {error.hint}"

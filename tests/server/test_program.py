"""``midflight serve`` as a program: it starts guarded, and ends cleanly with streams open."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.server.conftest import TOKEN
from tests.support.program import Program, watched
from tests.support.raw_http import call, dial

from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


async def _line(program: Program, starts: bytes) -> str:
    """Return what stands on a line behind these words."""
    assert program.process.stdout is not None
    line = b""
    while not line.startswith(starts):
        line = await program.process.stdout.readline()
        assert line, await program.done()
    return line.decode()[len(starts) :].strip()


@fault("N7", "S4")
async def test_server_ends_on_a_signal_and_the_session_goes_on(
    begin: Begin, state: Path, tmp_path: Path
) -> None:
    model, session = await begin([Wait("go"), Text("done")])
    message = await session.send("go")
    await model.reached("go")
    env = {"HOME": str(tmp_path), **watched()}
    arguments = ["serve", "--port", "0", "--journal", str(state)]
    program = await Program.start(arguments, env, tmp_path)
    address = (await _line(program, b"serving at")).removeprefix("http://")
    file = Path(await _line(program, b"token:"))
    token = (await asyncio.to_thread(file.read_text)).strip()
    key = {"authorization": f"Bearer {token}"}
    path = f"/sessions/{session.id}/events"
    async with dial(address, path, accept="text/event-stream", **key) as stream:
        await stream.reader.readuntil(b": here")
        program.process.send_signal(signal.SIGTERM)
        left = await stream.reader.read()
    done = await program.done()
    assert b"event: leaving" in left
    assert (done.code, done.err) == (0, "")
    assert token not in done.out
    model.signal("go")
    assert (await message.result()).text == "done"


@fault("C3")
@pytest.mark.parametrize("token", ["", "  "])
async def test_blank_token_is_wrong_usage(tmp_path: Path, token: str) -> None:
    env = {"HOME": str(tmp_path), "MIDFLIGHT_TOKEN": token, **watched()}
    done = await (await Program.start(["serve"], env, tmp_path)).done()
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("midflight: the token is blank")


async def test_address_that_cannot_be_told_is_wrong_usage(tmp_path: Path) -> None:
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")
    arguments = ["serve", "--port", "0", "--notify", "nosuch://secret@host"]
    done = await (await Program.start(arguments, {"HOME": str(tmp_path)}, tmp_path)).done()
    assert (done.code, done.out) == (2, "")
    assert "no address that apprise knows" in done.err
    assert "secret" not in done.err


async def test_address_goes_to_the_hosts_that_the_server_starts(
    state: Path, tmp_path: Path
) -> None:
    wanted = {"task": "do it", "agent": "fake", "cwd": str(tmp_path)}
    options = ServeOptions(host="127.0.0.1", port=0, where=state, notify="nosuch://secret@host")
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        address = running.urls[0].partition("://")[2]
        status, said = await call(
            address, "/sessions", "POST", wanted, authorization=f"Bearer {TOKEN}"
        )
    assert (status, said["code"]) == (503, "store_failed")  # such a host does not start
    assert "notify" in said["message"]
    assert "secret" not in str(said)

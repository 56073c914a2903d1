"""What a host promises, P1 to P8; P5 and P6 with a real agent stand in tests/faults."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.faults.chaos import check_events
from tests.faults.manifest import fault
from tests.support.host import journal_of, share_secrets
from tests.support.journal import rows
from tests.support.program import unwatched
from tests.support.raw_http import call, dial

from midflight import events as e
from midflight.client.session import RemoteSession
from midflight.host import Host
from midflight.session.session import Session
from midflight.state.session import State
from midflight.testing import FakeModel, Silence, Text, ToolCall, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Attach = Callable[..., Awaitable[RemoteSession]]

WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})


@pytest.fixture
def held_up(state: Path) -> Callable[[], Any]:
    """Return a context in which nothing can be written to the journal."""

    @contextlib.contextmanager
    def hold() -> Iterator[None]:
        connection = sqlite3.connect(state / "journal.sqlite", isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            connection.close()

    return hold


async def a_while(host: Host) -> None:
    """Let the host do all that it can: it answers others meanwhile."""
    for _ in range(20):
        assert (await call(host.address(), "/sessions"))[0] == 200


async def test_p1_acknowledged_message_is_on_disk(
    host: Host, begin: Begin, attach: Attach, held_up: Callable[[], Any]
) -> None:
    model, session = await begin(lambda request: Text("done"))
    remote = await attach(session)
    path = f"/sessions/{session.id}/commands"
    with held_up():
        sending = [
            asyncio.ensure_future(session.send("here")),
            asyncio.ensure_future(remote.send("there")),
            asyncio.ensure_future(
                call(host.address(), path, "POST", {"type": "send", "text": "x"})
            ),
        ]
        await a_while(host)
        assert not any(each.done() for each in sending)
        assert (model.requests, session.last_seq, remote.last_seq) == ([], 0, 0)
    await asyncio.gather(*sending)
    kept = await journal_of(host).events(session.id, 0, None)
    assert len([event for event in kept if isinstance(event, e.MessageAccepted)]) == 3
    async for _ in session.stream():
        pass


async def test_p2_event_is_on_disk_before_it_is_shown(
    host: Host, begin: Begin, attach: Attach, held_up: Callable[[], Any]
) -> None:
    model, session = await begin([Wait("go"), Text("said")], Text("next"))
    remote = await attach(session)
    message = await remote.send("first")
    later = await remote.send("then", "queue")
    await model.reached("go")
    async for event in remote.events():
        if isinstance(event, e.MessageStarted):
            break
    with held_up():
        seen = (session.last_seq, remote.last_seq)
        model.signal("go")
        await a_while(host)
        assert (session.last_seq, remote.last_seq) == seen
        assert len(model.requests) == 1
        assert (message.state, later.state) == ("started", "accepted")
    assert (await message.result()).text == "said"
    assert (await later.result()).text == "next"
    numbers = [event.seq async for event in remote.stream() if event.seq]
    assert numbers == list(range(1, remote.last_seq + 1))


async def test_p3_reader_gets_exactly_what_it_missed(host: Host, begin: Begin) -> None:
    _, session = await begin([Text("one"), WRITE], Text("done"), allowed_tools=["Write"])
    await (await session.send("go")).result()
    await session.close("parked")
    last = session.last_seq
    for after in range(last + 1):
        path = f"/sessions/{session.id}/events"
        async with dial(
            host.address(), path, accept="text/event-stream", last_event_id=str(after)
        ) as raw:
            seen = [seq async for seq, kind, _ in raw.events() if not kind]
        assert seen == [str(number) for number in range(after + 1, last + 1)]


async def test_p4_everything_ends_exactly_once(
    host: Host, open_host: Callable[..., Awaitable[Host]], begin: Begin, state: Path
) -> None:
    sleep = ToolCall("Bash", {"command": "sleep 100"})
    model, session = await begin(
        *([WRITE], Text("done"), [sleep], [sleep], [WRITE], [Text("dies"), Wait("killed")]),
        *([Text("cut"), WRITE], Text("waited"), Text("the last")),
        allowed_tools=["Bash"],
    )

    async def nth(number: int, kind: type[e.Event], **facts: str) -> Any:
        async for event in session.events():
            if isinstance(event, kind) and all(getattr(event, k) == v for k, v in facts.items()):
                number -= 1
                if not number:
                    return event
        raise AssertionError

    await session.send("ask")
    steer = await session.send("and that")
    queued = await session.send("in line", "queue")
    dropped = await session.send("never", "queue")
    assert await dropped.cancel()
    await session.answer(await nth(1, e.PermissionRequested))
    assert (await steer.result()).text == "done"
    await nth(1, e.ToolStarted, name="Bash")
    await session.redirect("instead")
    assert (await queued.result()).reason == "redirected"
    await nth(2, e.ToolStarted, name="Bash")
    await session.interrupt()
    await _quiet(session)
    await session.send("ask again")
    await nth(2, e.PermissionRequested)
    await session.interrupt()
    await _quiet(session)
    dies = await session.send("die")
    await model.reached("killed")
    await model.agents[-1].die()
    assert (await dies.result()).reason == "agent_died"
    await session.send("be cut")
    await nth(3, e.PermissionRequested)
    waiting = await session.send("waits", "queue")
    with sqlite3.connect(state / "journal.sqlite") as connection:  # as if its host had died
        connection.execute("UPDATE hosts SET beat = -1000")
    other = await open_host()
    settled = await journal_of(other).events(session.id, 0, None)
    assert check_events(settled) == [f"P4: message {waiting.id} began 1 times, ended 0"]
    folded = State()
    for event in settled:
        folded.apply(event)
    assert (folded.status, folded.ended) == ("idle", "host_died")
    assert [entry.id for entry in folded.outbox.waiting()] == [waiting.id]
    assert not folded.requests.pending
    share_secrets(host, other)
    again = await other.session(session.id)
    await again.send("go on")
    await _quiet(again)
    await again.close()
    assert check_events(await journal_of(other).events(session.id, 0, None)) == []


async def _quiet(session: Session) -> None:
    async for _ in session.stream():
        pass


async def test_p4_waiting_message_waits_on_through_parking(
    host: Host, begin: Begin, state: Path
) -> None:
    model, session = await begin(
        [Text("a"), Wait("forever")], Text("two"), Text("one"), Text("last")
    )
    running = await session.send("run")
    await model.reached("forever")
    steer = await session.send("and that")
    queued = await session.send("then", "queue")
    await session.close("parked")
    assert dict(rows(state, "SELECT id, state FROM messages")) == {
        running.id: "cancelled",
        steer.id: "accepted",
        queued.id: "accepted",
    }
    again = await host.session(session.id)
    assert [message.id for message in again.queued] == [steer.id, queued.id]
    last = await again.send("go on", "queue")
    await last.result()
    texts = [request.last_user_text for request in model.requests]
    assert texts == ["run", "and that", "then", "go on"]


async def test_p4_steer_put_back_by_a_redirect_waits_through_a_crash(
    host: Host, open_host: Callable[..., Awaitable[Host]], begin: Begin, state: Path
) -> None:
    model, session = await begin([Text("a"), Wait("forever")], Silence())
    await session.send("run")
    await model.reached("forever")
    steer = await session.send("and that")
    await session.redirect("instead")
    await model.request(2)
    with sqlite3.connect(state / "journal.sqlite") as connection:  # as if its host had died
        connection.execute("UPDATE hosts SET beat = -1000")
    other = await open_host()
    folded = State()
    for event in await journal_of(other).events(session.id, 0, None):
        folded.apply(event)
    assert folded.ended == "host_died"
    assert [entry.id for entry in folded.outbox.waiting()] == [steer.id]


async def test_p6_nothing_is_run_again_on_its_own(
    host: Host, open_host: Callable[..., Awaitable[Host]], begin: Begin, state: Path
) -> None:
    model, session = await begin(Silence(), Text("done"))
    await session.send("hang")
    await model.request(1)
    with sqlite3.connect(state / "journal.sqlite") as connection:
        connection.execute("UPDATE hosts SET beat = -1000")
    other = await open_host()
    await a_while(other)
    assert len(model.requests) == 1
    share_secrets(host, other)
    again = await other.session(session.id)
    assert len(model.requests) == 1
    message = await again.send("go on")
    assert (await message.result()).status == "completed"
    told = model.requests[-1].last_user_text
    assert told.count("cut off") == 1
    assert told.endswith("go on")


_CONNECT = """
import os, socket, sys
os.setgid(12345); os.setuid(12345)
connection = socket.socket(socket.AF_UNIX)
connection.settimeout(10)
try:
    connection.connect(sys.argv[1])
    connection.sendall(b"GET /sessions HTTP/1.1\\r\\nhost: x\\r\\n\\r\\n")
    print(connection.recv(1000))
except OSError as error:
    print(type(error).__name__)
"""


@fault("S12")
async def test_p7_another_user_gets_nothing(no_agent_left: None) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can be somebody else")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with Host(folder / "state") as host:
            address = host.address()

            def connect() -> str:
                command = [sys.executable, "-c", _CONNECT, address]
                done = subprocess.run(
                    command, env=unwatched(), capture_output=True, text=True, check=True
                )
                return done.stdout.strip()

            assert await asyncio.to_thread(connect) == "PermissionError"
            for path in (folder, folder / "state", folder / "state" / "hosts"):
                path.chmod(0o755)
            os.chmod(address, 0o666)  # noqa: PTH101, S103 - so that only the look at the peer is left
            seen = await asyncio.to_thread(connect)
            assert seen in {"b''", "ConnectionResetError", "BrokenPipeError"}
            assert (await call(host.address(), "/sessions"))[0] == 200


@fault("I3", "S6")
async def test_p8_agent_text_is_whole_for_programs_and_inert_in_terminals(
    host: Host, begin: Begin, attach: Attach
) -> None:
    from midflight._util.sanitize import inert

    hostile = "\x1b]52;c;aGk=\x07\x1b[2J\x1b]0;title\x07 a\u202eb e\u0301 \0 [link=x]y[/link]\r\b"
    _, session = await begin(Text(hostile), task="do")
    remote = await attach(session)
    assert session.first is not None
    assert (await session.first.result()).text == hostile
    await session.close()
    told = [event.text async for event in remote.events() if isinstance(event, e.Text)]
    assert told == [hostile]
    _, info = await call(host.address(), f"/sessions/{session.id}")
    for text in (hostile, info["last"]):
        shown = inert(text)
        assert not {"\x1b", "\x07", "\r", "\b", "\u202e"} & set(shown)

"""Hosts that lose their disk, their lease, their clock or their life."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.host import journal_of
from tests.support.money import known
from tests.support.raw_http import call, dial

import midflight
from midflight import events as e
from midflight._util.process_id import space
from midflight.address import Address
from midflight.agents.process.orphans import new_marker
from midflight.agents.process.reaper import MARKER
from midflight.client.client import Client, connect
from midflight.client.session import RemoteSession
from midflight.client.spawn import Ready
from midflight.errors import LeaseHeld, LeaseLost, NotFound, StoreFailed, StoreRefused
from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Silence, Text, ToolCall, Usage, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Attach = Callable[..., Awaitable[RemoteSession]]
Hosts = Callable[..., Awaitable[Host]]

PROGRAMS = Path(__file__).parents[1] / "support" / "programs"
SSE = {"accept": "text/event-stream"}
WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
SLEEP = ToolCall("Bash", {"command": "echo $$ > pid; sleep 300"})


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """Have every write of this process fail that makes a file longer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the hosts that are made after this do their duties more often."""
    for name in ("journal.hosts", "host.housekeeping"):
        monkeypatch.setattr(f"midflight.{name}.BEAT_S", 0.5)


def silence(state: Path) -> None:
    """Make it look as if no host had been heard of for long."""
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        connection.execute("UPDATE hosts SET beat = beat - 1000")
        connection.commit()


async def first(session: Any, kind: type[e.Event]) -> Any:
    """Return the first event of a kind."""
    async for event in session.events():
        if isinstance(event, kind):
            return event
    raise AssertionError(f"the session ended before a {kind.__name__}")


async def pid_of(folder: Path) -> psutil.Process:
    """Return the process of the tool, which has written its id to a file."""
    file = folder / "pid"
    while not (file.exists() and file.read_text().strip()):  # noqa: ASYNC110
        await asyncio.sleep(0.01)  # noqa: TID251 - another process writes it
    return psutil.Process(int(file.read_text()))


def is_there(path: str) -> bool:
    """Tell whether there is a file, or a socket, of this name."""
    return os.path.lexists(path)


def is_gone(process: psutil.Process) -> bool:
    """Wait a moment for the end of a process."""
    _, alive = psutil.wait_procs([process], 60)
    return not alive


# The disk ---------------------------------------------------------------------------------


@fault("D1")
async def test_full_disk_ends_the_session_which_resumes_when_there_is_room(
    host: Host, begin: Begin, attach: Attach, tmp_path: Path
) -> None:
    model, session = await begin(
        [Wait("full"), SLEEP], [Text("said to nobody")], Text("back"), allowed_tools=["Bash"]
    )
    remote = await attach(session)
    message = await session.send("go")
    await model.reached("full")
    await first(session, e.MessageStarted)
    path = f"/sessions/{session.id}/commands"
    send = {"type": "send", "text": "more"}
    with full_disk():
        model.signal("full")
        await session.over()
        result = await message.result()
        assert (result.status, result.reason) == ("failed", "store_failed")
        with pytest.raises(StoreFailed):
            await session.send("more")
        assert session.status == "closed"
        status, told = await call(host.address(), path, "POST", send)
        assert (status, told["code"]) == (503, "store_failed")
        assert len(model.requests) == 1
    shown = [event.seq for event in await journal_of(host).events(session.id, 0, None)]
    assert shown == list(range(1, session.last_seq + 1))
    del model._steps[0]  # noqa: SLF001 - what the agent would have been told after its tool
    assert (await call(host.address(), path, "POST", send))[0] == 202
    again = await host.session(session.id)
    async for _ in again.stream():
        pass
    kept = await journal_of(host).events(session.id, 0, None)
    ends = [event.reason for event in kept if isinstance(event, e.TurnEnded)]
    assert ends == ["host_died", "end_turn"]
    async for event in remote.events():
        if isinstance(event, e.TurnEnded) and event.reason == "end_turn":
            break
    with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):
        assert is_gone(psutil.Process(int((tmp_path / "pid").read_text())))


@fault("D1")
async def test_message_that_a_full_disk_has_cut_ends_when_there_is_room(
    often: None, begin: Begin, attach: Attach
) -> None:
    """Nobody says anything more, and who waits for the message hears what became of it."""
    model, session = await begin([Wait("full"), Text("said to nobody")])
    message = await (await attach(session)).send("go")
    await model.reached("full")
    await first(session, e.MessageStarted)
    with full_disk():
        model.signal("full")
        await session.over()

    result = await message.result()

    assert (result.status, result.reason) == ("failed", "host_died")


@fault("D1")
async def test_hanging_disk_is_not_waited_for_and_the_rest_is_named(
    host: Host, begin: Begin, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.recorder.CLOSE_S", 0.2)
    monkeypatch.setattr("midflight.journal.lease.GIVE_BACK_S", 0.1)
    model, session = await begin([Wait("go"), Text("one")])
    message = await session.send("go")
    await model.reached("go")
    await first(session, e.MessageStarted)
    writing = sqlite3.connect(state / "journal.sqlite", isolation_level=None)
    with contextlib.closing(writing):
        writing.execute("BEGIN IMMEDIATE")
        stop = {"type": "close"}
        path = f"/sessions/{session.id}/commands"
        status, told = await call(host.address(), path, "POST", stop)
    assert (status, told["code"]) == (503, "store_failed")
    assert "0 seconds: 3 events" in told["message"]
    assert "(message.cancelled, turn.ended, session.ended)" in told["message"]
    result = await message.result()
    assert (result.reason, result.text) == ("store_failed", f"{told['message']} ({told['hint']})")
    with pytest.raises(StoreFailed, match=r"turn\.ended"):
        await anext(session.events(session.last_seq))


@fault("D1")
async def test_hanging_disk_keeps_no_client_waiting_for_a_session(
    host: Host, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {"agent": "fake", "cwd": tmp_path}
    writing = sqlite3.connect(state / "journal.sqlite", isolation_level=None)
    with contextlib.closing(writing), monkeypatch.context() as hurry:
        hurry.setattr("midflight.journal.writer.ANSWER_S", 0.1)
        writing.execute("BEGIN IMMEDIATE")
        for name in ("first", "second"):
            with pytest.raises(StoreFailed, match="has not answered for 0 seconds"):
                await host.dispatch("do it", id=name, **given)
    await journal_of(host).host.beat()
    with pytest.raises(NotFound):  # nobody waited for it any more when its turn came
        await journal_of(host).find("second", exact=True)


# The lease --------------------------------------------------------------------------------


@fault("D4")
async def test_session_of_a_living_host_cannot_be_taken(
    host: Host, open_host: Hosts, begin: Begin
) -> None:
    _, session = await begin(Text("one"))
    other = await open_host()
    with pytest.raises(LeaseHeld) as caught:
        await other.session(session.id)
    assert f"process {os.getpid()}" in caught.value.owner
    send = {"type": "send", "text": "x"}
    status, told = await call(other.address(), f"/sessions/{session.id}/commands", "POST", send)
    assert (status, told["code"], told["owner"]) == (409, "lease_held", caught.value.owner)
    assert (await call(host.address(), f"/sessions/{session.id}/commands", "POST", send))[0] == 202
    async for _ in session.stream():
        pass


@fault("D4")
async def test_host_that_was_given_up_is_fenced_and_ends_its_agents(
    open_host: Hosts, host: Host, begin: Begin, state: Path, tmp_path: Path
) -> None:
    _, session = await begin(SLEEP, allowed_tools=["Bash"])
    message = await session.send("sleep")
    tool = await pid_of(tmp_path)
    silence(state)
    other = await open_host()
    kept = await journal_of(other).events(session.id, 0, None)
    assert kept[-1].type == "session.ended"
    assert [one.id for one in await journal_of(other).hosts()] == [journal_of(other).host.id]
    assert not is_there(host.address())
    with pytest.raises(LeaseLost):
        await session.send("more")
    await session.over()
    assert (await message.result()).reason == "store_failed"
    assert is_gone(tool)
    assert await journal_of(other).events(session.id, 0, None) == kept


@fault("D4")
async def test_host_notices_by_itself_that_it_was_given_up(
    open_host: Hosts, begin: Begin, state: Path, tmp_path: Path
) -> None:
    _, session = await begin(SLEEP, allowed_tools=["Bash"])
    await session.send("sleep")
    tool = await pid_of(tmp_path)
    silence(state)
    await open_host()
    await session.over()  # by the beat, as nothing is written
    assert is_gone(tool)


@fault("D4")
async def test_host_that_was_forgotten_is_a_host_again(
    open_host: Hosts, host: Host, begin: Begin, client: Client, state: Path
) -> None:
    """A machine that was cut off for a minute is of use again when it is back."""
    _, session = await begin()
    silence(state)
    other = await open_host()  # which forgets it, and removes its socket

    await host._housekeeping._beat()  # noqa: SLF001 - it would in a few seconds

    await session.over()
    assert {one.id for one in await client.hosts()} == {
        journal_of(one).host.id for one in (host, other)
    }
    assert all(one.alive for one in await client.hosts())
    assert other.live() == []
    assert (await call(host.address(), "/healthz"))[0] == 200


# Life and death -----------------------------------------------------------------------------


def sleeping(marker: str | None, seconds: str = "300") -> subprocess.Popen[bytes]:
    """Start a process that does nothing, and carries a marker."""
    env = {} if marker is None else {MARKER: marker}
    return subprocess.Popen(["sleep", seconds], env=env, start_new_session=True)


@fault("A6")
async def test_starting_host_ends_orphaned_agents_only(open_host: Hosts, tmp_path: Path) -> None:
    ended = sleeping(None, "0")
    ended.wait()
    processes = {
        "stray": sleeping(f"{space()}-{ended.pid}-1-abc"),
        "reused": sleeping(f"{space()}-{os.getpid()}-1-abc"),
        "of another container": sleeping(f"{space() + 1}-{ended.pid}-1-abc"),
        "ours": sleeping(new_marker()),
        "odd": sleeping("x"),
        "none": sleeping(None),
    }
    try:
        await open_host()
        assert {name for name, process in processes.items() if process.poll() is not None} == {
            *("stray", "reused")
        }
    finally:
        for process in processes.values():
            process.kill()
            process.wait()


@fault("D3")
async def test_damaged_session_keeps_no_other_from_recovery(
    host: Host, open_host: Hosts, begin: Begin, client: Client, state: Path
) -> None:
    _, damaged = await begin(Silence(), task="one", id="damaged")
    _, sound = await begin(Silence(), task="two", id="sound")
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as connection:
        connection.execute("DELETE FROM events WHERE session = 'damaged' AND seq = 1")
        connection.commit()
    silence(state)

    other = await open_host()

    assert (await journal_of(other).tail(sound.id, 1))[0].type == "session.ended"
    found = await journal_of(other).find(damaged.id)
    assert (found.host, found.status) == (None, "idle")
    assert found.last.endswith("is damaged: event 1 of session damaged is missing")
    assert await journal_of(other).orphaned() == []  # the next host does not try it again
    with pytest.raises(StoreRefused, match="event 1 of session damaged is missing"):
        await other.session(damaged.id)
    with pytest.raises(StoreRefused, match="event 1 of session damaged is missing"):
        await (await client.session(damaged.id)).__aenter__()


async def start(state: Path, folder: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Start a host in a process of its own, whose agent runs a tool; return its address too."""
    reading, writing = os.pipe()
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, str(PROGRAMS / "host.py"), str(state), str(writing)], pass_fds=[writing]
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        line = await asyncio.to_thread(pipe.readline)
    ready = msgspec.json.decode(line, type=Ready)
    assert ready.address, ready
    wanted: dict[str, Any] = {"task": "sleep", "agent": "fake", "cwd": str(folder), "id": "s1"}
    wanted |= {"env": {"ANTHROPIC_BASE_URL": "fake://1"}, "allowed_tools": ["Bash"]}
    assert (await call(ready.address, "/sessions", "POST", wanted))[0] == 201
    return process, ready.address


@fault("N7")
async def test_host_ended_twice_ends_streams_and_agents_in_order(
    state: Path, tmp_path: Path, no_agent_left: None
) -> None:
    process, address = await start(state, tmp_path)
    async with dial(address, "/sessions/s1/events", **SSE) as raw:
        told = []
        async for _, kind, event in raw.events():
            told.append(kind or event["type"])
            if told[-1] == "tool.started":
                tool = await pid_of(tmp_path)
                others = tool.children(recursive=True)
                process.send_signal(signal.SIGTERM)
                process.send_signal(signal.SIGTERM)
            if kind:
                break
    assert told[-3:] == ["turn.ended", "session.ended", "end"]
    assert await asyncio.to_thread(process.wait, 60) == 0
    assert all(is_gone(each) for each in (tool, *others))
    async with connect(state) as client:
        (info,) = await client.sessions()
        assert (info.status, info.host) == ("idle", None)
        assert await client.hosts() == []


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a host that does not wait for its disk for long."""
    monkeypatch.setattr("midflight.journal.database.BUSY_S", 3.0)


@fault("N7")
@pytest.mark.usefixtures("hurried")
async def test_closing_host_sends_its_callers_elsewhere(
    state: Path, begin: Begin, open_host: Hosts, host: Host
) -> None:
    _, session = await begin(Silence())
    await session.send("hang")
    writing = sqlite3.connect(state / "journal.sqlite", isolation_level=None)
    with contextlib.closing(writing):
        writing.execute("BEGIN IMMEDIATE")  # so that the close takes its time
        closing = asyncio.create_task(host.__aexit__(None, None, None))
        while (await call(host.address(), "/healthz"))[1]["status"] != "leaving":
            pass
        for target, body in (
            ("/sessions", {"task": "x", "agent": "fake", "cwd": "/"}),
            (f"/sessions/{session.id}/commands", {"type": "send", "text": "x"}),  # its last one
        ):
            status, told = await call(host.address(), target, "POST", body)
            assert (status, told["code"]) == (503, "host_gone")
    await closing
    with pytest.raises((ConnectionRefusedError, FileNotFoundError)):
        await call(host.address(), "/healthz")


@fault("A6")
async def test_message_after_the_host_died_goes_to_the_next_one(
    state: Path, tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, _ = await start(state, tmp_path)
    tool = await pid_of(tmp_path)
    tools = [tool, *tool.children(recursive=True)]
    async with connect(state) as client, await client.session("s1") as session:
        first_message = session.first
        assert first_message is not None
        process.kill()
        process.wait()

        async def start_host(*_: object, **__: object) -> Address:
            return Address.parse((await start_other()).address())

        async def start_other() -> Host:
            return await stack.enter_async_context(Host(state))

        monkeypatch.setattr("midflight.client.placement.start_host", start_host)
        monkeypatch.setenv("ANTHROPIC_BASE_URL", "fake://none")
        async with contextlib.AsyncExitStack() as stack:
            result = await first_message.result()  # which nobody had to ask for
            assert (result.status, result.reason) == ("failed", "host_died")
            assert session.status == "idle"
            with contextlib.suppress(midflight.MidflightError):
                await session.send("goes nowhere: that host has no model")
    for each in tools:  # a fake agent has no leash
        each.kill()


# Clocks -------------------------------------------------------------------------------------


@fault("N8")
@pytest.mark.parametrize("jump", [10**7, -(10**7)])
async def test_clock_that_is_set_changes_nothing(
    host: Host, open_host: Hosts, begin: Begin, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    model, session = await begin([WRITE], Text("done"), timeout=600.0, stall_timeout=600.0)
    message = await session.send("write")
    asked = await first(session, e.PermissionRequested)
    true_time = time.time
    monkeypatch.setattr(time, "time", lambda: true_time() + jump)
    other = await open_host()
    with pytest.raises(LeaseHeld):
        await other.session(session.id)
    await journal_of(host).host.beat()
    for _ in range(10):
        assert (await call(host.address(), "/healthz"))[0] == 200
    assert session.pending == (asked,)
    await session.answer(asked)
    result = await message.result()
    assert result.status == "completed"
    assert 0 <= result.duration_s < 60
    kept = await journal_of(host).events(session.id, 0, None)
    assert [event.seq for event in kept] == list(range(1, len(kept) + 1))
    assert len(model.requests) == 2


@fault("N8")
async def test_client_that_leaves_takes_nothing_with_it(
    host: Host, begin: Begin, state: Path
) -> None:
    _, session = await begin([WRITE], Text("done"))
    async with connect(state) as client:
        async with await client.session(session.id) as remote:
            await remote.send("write")
            asked = await first(remote, e.PermissionRequested)
        async with await client.session(session.id) as remote:
            assert remote.pending == (asked,)
            await remote.answer(asked)
            async for event in remote.events():
                if isinstance(event, e.TurnEnded):
                    break
            assert event.type == "turn.ended"
    assert session.status == "idle"


# Designs that others regret ------------------------------------------------------------------


async def test_status_of_a_dead_host_is_not_shown(host: Host, begin: Begin, state: Path) -> None:
    model, session = await begin(Silence())
    await session.send("hang")
    await model.request(1)
    async with connect(state) as client:
        assert [info.status for info in await client.sessions()] == ["running"]
        silence(state)
        (info,) = await client.sessions()
        assert (info.status, info.host, info.pending) == ("idle", None, ())
        assert await client.sessions(status="running") == []
    await journal_of(host).host.beat()


async def test_six_copies_of_a_message_are_one_message(host: Host, begin: Begin) -> None:
    model, session = await begin(Text("once"))
    path = f"/sessions/{session.id}/commands"
    send = {"type": "send", "text": "do it", "id": "m1"}
    answers = await asyncio.gather(*(call(host.address(), path, "POST", send) for _ in range(6)))
    assert {(status, outcome["message"]) for status, outcome in answers} == {(202, "m1")}
    async for _ in session.stream():
        pass
    assert len(model.requests) == 1


async def test_money_is_counted_once_across_hosts(host: Host, begin: Begin) -> None:
    _, session = await begin(*([Text("x"), Usage(1_000, 100)] for _ in range(3)))
    costs = []
    for text in "abc":
        session = await host.session(session.id)
        result = await (await session.send(text)).result()
        costs.append((known(result.cost_usd), known(result.total_cost_usd)))
        await session.close("parked")
    each = costs[0][0]
    assert each > 0
    assert [cost for cost, _ in costs] == [each] * 3
    assert [total for _, total in costs] == pytest.approx([each, each * 2, each * 3])
    (row,) = await journal_of(host).sessions()
    assert row.total_cost_usd == pytest.approx(each * 3)


async def test_secret_options_come_back_only_from_the_environment(
    host: Host, open_host: Hosts, begin: Begin
) -> None:
    _, session = await begin(Text("one"))
    await (await session.send("go")).result()
    await session.close("parked")
    other = await open_host()
    with pytest.raises(midflight.Conflict, match="ANTHROPIC_BASE_URL"):
        await other.session(session.id)
    assert isinstance(session.options, Options)
    assert (await call(other.address(), f"/sessions/{session.id}", "DELETE"))[0] == 200

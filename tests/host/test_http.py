"""What any program can ask a host over its socket, and how it goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.host import journal_of, table_of
from tests.support.journal import sql
from tests.support.raw_http import call, dial

from midflight import events as e
from midflight.host import Host
from midflight.host.http.unix import listen
from midflight.journal.history import PAGE_CHARS
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait
from midflight.wire import WIRE

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

SSE = {"accept": "text/event-stream"}
STEPS = 60
WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})


async def numbers(host: Host, session: Session, **headers: str) -> list[str]:
    """Return the ids that a stream sends until it ends."""
    path = f"/sessions/{session.id}/events"
    async with dial(host.address(), path, **SSE, **headers) as raw:
        return [seq async for seq, kind, _ in raw.events() if seq and not kind]


async def _done(session: Session) -> None:
    assert session.first is not None
    await session.first.result()


async def asked(session: Session) -> e.PermissionRequested:
    """Return the request that the agent makes."""
    async for event in session.events():
        if isinstance(event, e.PermissionRequested):
            return event
    raise AssertionError("nothing was asked")


# Routes -----------------------------------------------------------------------------------


async def test_session_is_dispatched_read_commanded_and_removed(
    host: Host, fake_model: Any, tmp_path: Path
) -> None:
    model = await fake_model(Text("one"), Text("two"))
    wanted = {"task": "do it", "agent": "fake", "cwd": str(tmp_path), "id": "my-id"}
    wanted["env"] = model.env(tmp_path)
    status, info = await call(host.address(), "/sessions", "POST", wanted)
    assert (status, info["id"], info["name"]) == (201, "my-id", "do-it")
    await _done(await host.session("my-id"))
    told = {"type": "send", "text": "more", "id": "m2"}
    status, outcome = await call(host.address(), "/sessions/my-id/commands", "POST", told)
    assert (status, outcome["message"], outcome["state"]) == (202, "m2", "accepted")
    async for event in (await host.session("my-id")).events():
        if isinstance(event, e.TurnEnded) and event.turn == 2:
            break
    status, page = await call(host.address(), "/sessions/do-it/events?after=2&limit=3")
    assert (status, [event["seq"] for event in page]) == (200, [3, 4, 5])
    status, shown = await call(host.address(), "/sessions/my-id")
    assert (status, shown["turns"], shown["host"]) == (200, 2, host.address())
    assert await call(host.address(), "/sessions?status=idle") == (200, [shown])
    assert (await call(host.address(), "/sessions/my-id", "DELETE"))[0] == 200
    assert (await call(host.address(), "/sessions/my-id"))[0] == 404
    assert await call(host.address(), "/healthz") == (200, {"status": "ok", "wire": WIRE})


@fault("I8")
async def test_same_id_returns_the_same_session_or_refuses_another_task(
    host: Host, fake_model: Any, tmp_path: Path
) -> None:
    model = await fake_model(Text("once"))
    wanted = {"task": "do it", "agent": "fake", "cwd": str(tmp_path), "id": "my-id"}
    wanted["env"] = model.env(tmp_path)
    answers = await asyncio.gather(
        *(call(host.address(), "/sessions", "POST", wanted) for _ in range(3))
    )
    assert {info["id"] for status, info in answers if status in {200, 201}} == {"my-id"}
    assert {status for status, _ in answers} <= {200, 201, 409}
    assert (await call(host.address(), "/sessions", "POST", wanted))[0] == 200
    for other in ({"task": "do that"}, {"max_turns": 3}):
        status, told = await call(host.address(), "/sessions", "POST", wanted | other)
        assert (status, told["code"]) == (422, "invalid_input")
    await _done(await host.session("my-id"))
    assert len(model.requests) == 1


@fault("I6")
async def test_second_answer_is_409_and_names_the_first(host: Host, begin: Begin) -> None:
    _, session = await begin([WRITE], Text("done"))
    message = await session.send("write")
    answer = {"type": "answer", "request": (await asked(session)).request}
    path = f"/sessions/{session.id}/commands"
    both = await asyncio.gather(
        call(host.address(), path, "POST", answer | {"decision": "deny"}),
        call(host.address(), path, "POST", answer | {"decision": "allow"}),
    )
    assert sorted(status for status, _ in both) == [202, 409]
    late = next(told for status, told in both if status == 409)
    first = "deny" if (await message.result()).denials else "allow"
    assert (late["code"], late["decision"], late["by"]) == ("already_answered", first, "user")
    status, told = await call(host.address(), path, "POST", {"type": "answer", "request": "none"})
    assert (status, told["code"]) == (404, "not_found")


@fault("I7")
async def test_message_resumes_a_parked_or_closed_session(host: Host, begin: Begin) -> None:
    model, session = await begin(Text("one"), Text("two"), Text("three"))
    await (await session.send("first")).result()
    for number, reason in ((2, "parked"), (3, "closed")):
        await session.close(reason)
        status, outcome = await call(
            host.address(),
            f"/sessions/{session.id}/commands",
            "POST",
            {"type": "send", "text": "on"},
        )
        assert (status, outcome["state"]) == (202, "accepted")
        session = await host.session(session.id)
        events = [event async for event in session.stream()]
        assert [x.reason for x in events if isinstance(x, e.SessionResumed)][-1] == reason
        assert len(model.requests) == number
    assert [m["content"][0]["text"] for m in model.requests[-1].messages] == [
        *("first", "one", "on", "two", "on")
    ]


@fault("I8")
async def test_closing_at_once_and_again_ends_the_session_once(host: Host, begin: Begin) -> None:
    _, session = await begin([WRITE])
    message = await session.send("write")
    await asked(session)
    path = f"/sessions/{session.id}/commands"
    stop = {"type": "interrupt"}
    answers = await asyncio.gather(*(call(host.address(), path, "POST", stop) for _ in range(3)))
    assert [status for status, _ in answers] == [202, 202, 202]
    assert (await message.result()).reason == "interrupted"
    assert (await call(host.address(), path, "POST", stop))[0] == 202
    ends = [x for x in await journal_of(host).events(session.id) if isinstance(x, e.TurnEnded)]
    assert [end.reason for end in ends] == ["interrupted"]


# Bad input --------------------------------------------------------------------------------


@fault("S10")
@pytest.mark.parametrize(
    "name",
    ["..", "%2e%2e", "%2e%2e%2f%2e%2e%2fetc", "a%2Fb", "%00", "x%00", "/etc/passwd", "%ff", "."],
)
async def test_unknown_id_finds_nothing(host: Host, begin: Begin, name: str) -> None:
    _, session = await begin()
    for path in (f"/sessions/{name}", f"/sessions/{name}/events"):
        assert (await call(host.address(), path))[0] in {404, 400}
    assert (await call(host.address(), f"/sessions/{name}", "DELETE"))[0] in {404, 405, 400}
    send = {"type": "send", "text": "x"}
    assert (await call(host.address(), f"/sessions/{name}/commands", "POST", send))[0] in {404, 400}
    assert session.status == "idle"


@fault("S10")
@pytest.mark.parametrize("wanted", ["../x", "a/b", "", "\0", "x" * 65, 7, ["a"], "ü"])
async def test_id_that_could_be_a_path_is_refused_over_http(
    host: Host, wanted: object, tmp_path: Path
) -> None:
    given = {"task": "x", "agent": "fake", "cwd": str(tmp_path), "id": wanted}
    status, told = await call(host.address(), "/sessions", "POST", given)
    assert (status, told["code"]) == (422, "invalid_input")
    assert await journal_of(host).sessions() == []


@fault("I1", "I2")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 422),
        (b"nonsense", 422),
        (b'{"task": "", "cwd": "/"}', 422),
        (b'{"task": "x", "cwd": "/", "nonsense": 1}', 422),
        (b'{"task": "x", "cwd": "/", "max_turns": -1}', 422),
        (b'{"task": "x", "cwd": "/nowhere"}', 422),
        (b'{"task": "x", "agent": "fake"}', 422),
        (b'{"task": "x", "agent": "fake", "cwd": "/"}', 502),
        (b'{"task": "x", "agent": "fake", "cwd": "/", "effort": "high"}', 422),
        (b'{"task": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 422),
    ],
)
async def test_task_that_cannot_begin_leaves_no_session(
    host: Host, body: bytes, status: int
) -> None:
    found, told = await call(host.address(), "/sessions", "POST", body)
    assert (found, set(told)) == (status, set(told) | {"code", "message", "hint"})
    assert [row.status for row in await journal_of(host).sessions() if row.host] == []
    assert not host.live()


@fault("I2")
async def test_body_that_is_no_json_or_too_long_is_refused(host: Host, begin: Begin) -> None:
    _, session = await begin()
    path = f"/sessions/{session.id}/commands"
    send = b'{"type": "send", "text": "x"}'
    assert (await call(host.address(), path, "POST", send, content_type="text/plain"))[0] == 415
    long = {"content_length": str(10**9)}
    async with dial(host.address(), path, "POST", b"x" * (17 * 2**20), **long) as raw:
        assert raw.status == 413
    assert session.status == "idle"


@fault("N6")
@pytest.mark.parametrize(
    "junk",
    [
        b"\x00\xff" * 1_000 + b"\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"GET " + b"/" * 100_000,
        b"POST /sessions HTTP/1.1\r\nhost: x\r\ncontent-length: many\r\n\r\n",
        b"POST /sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n" * 50 + b"junk\r\n\r\n",
    ],
    ids=["bytes", "version", "endless", "length", "half", "pipelined"],
)
async def test_junk_on_the_socket_stops_nothing(host: Host, junk: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(host.address())
    writer.write(junk)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await reader.read()
    writer.transport.abort()
    assert await call(host.address(), "/healthz") == (200, {"status": "ok", "wire": WIRE})
    assert not host.live()


HALVES = {
    "nothing": b"",
    "half a head": b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
    "half a body": b"POST /sessions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    b"content-length: 9\r\n\r\n{",
    "half a request for a stream": b"GET /sessions/%s/events HTTP/1.1\r\nhost: x\r\n"
    b"accept: text/event-stream\r\ncontent-length: 9\r\n\r\n{",
    "half a second head": b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /",
}


async def closed(connections: list[asyncio.StreamReader]) -> None:
    """Wait until the host has closed all of them."""
    for reader in connections:
        with contextlib.suppress(ConnectionError):
            while await reader.read(65_536):
                pass


@fault("N10")
@pytest.mark.parametrize("half", HALVES)
async def test_half_requests_are_closed_beside_a_healthy_stream(
    host: Host, begin: Begin, monkeypatch: pytest.MonkeyPatch, half: str
) -> None:
    monkeypatch.setattr("midflight.host.http.connection.IDLE_TIMEOUT_S", 0.3)
    monkeypatch.setattr("midflight.host.http.streams.HEARTBEAT_S", 0.02)
    _, session = await begin()
    await call(host.address(), "/healthz")
    before = _descriptors()
    async with dial(host.address(), f"/sessions/{session.id}/events", **SSE) as healthy:
        readers, writers = [], []
        for _ in range(50):
            reader, writer = await asyncio.open_unix_connection(host.address())
            writer.write(HALVES[half].replace(b"%s", session.id.encode()))
            readers.append(reader)
            writers.append(writer)
        assert (await call(host.address(), "/healthz"))[0] == 200
        await closed(readers)
        for _ in range(20):
            assert await healthy.reader.readuntil(b"still here")
        for writer in writers:
            writer.transport.abort()
    await _settled(host, session, before)


@fault("N10")
async def test_drip_of_a_request_is_no_reason_to_wait_longer(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.connection.IDLE_TIMEOUT_S", 0.3)
    reader, writer = await asyncio.open_unix_connection(host.address())
    closing = asyncio.create_task(closed([reader]))
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    while not closing.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"a: b\r\n")
            await writer.drain()
        await asyncio.wait({closing}, timeout=0.02)
    writer.transport.abort()


@fault("N10")
async def test_connections_that_say_nothing_make_room_for_those_that_ask(
    host: Host, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.connection.MAX_CONNECTIONS", 20)
    _, session = await begin()
    path = f"/sessions/{session.id}/events"
    silent, writers = [], []
    await call(host.address(), "/healthz")
    before = _descriptors()
    async with contextlib.AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(dial(host.address(), path, **SSE)) for _ in "ab"]
        for _ in range(40):
            reader, writer = await asyncio.open_unix_connection(host.address())
            silent.append(reader)
            writers.append(writer)
            stack.callback(writer.transport.abort)
        assert (await call(host.address(), "/healthz"))[0] == 200
        await closed(silent[:20])
        assert not silent[-1].at_eof()
        more = [dial(host.address(), path, **SSE) for _ in range(18)]
        streams += [await stack.enter_async_context(each) for each in more]  # which make no room
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await call(host.address(), "/healthz")
        assert not any(stream.reader.at_eof() for stream in streams)
    monkeypatch.undo()
    await _settled(host, session, before)


@fault("N9")
async def test_page_of_long_events_is_short_and_the_next_has_the_rest(
    host: Host, begin: Begin
) -> None:
    text = "x" * 1_500_000
    _, session = await begin(*(Text(text) for _ in range(6)))
    for _ in range(6):
        await (await session.send("go")).result()
    path = f"/sessions/{session.id}/events?limit=1000&after="
    seen: list[int] = []
    pages = 0
    while True:
        async with dial(host.address(), f"{path}{len(seen)}") as raw:
            page = await raw.body()
        if not page:
            break
        assert sum(len(str(event)) for event in page) < 2 * PAGE_CHARS
        seen += [event["seq"] for event in page]
        pages += 1
    assert seen == list(range(1, session.last_seq + 1))
    assert pages > 2


# Streams ----------------------------------------------------------------------------------


@fault("N1")
async def test_reader_that_comes_back_gets_exactly_what_it_missed(host: Host, begin: Begin) -> None:
    model, session = await begin([Text("one"), Wait("dropped"), Text("two")], Text("three"))
    await session.send("go")
    await session.send("then", delivery="queue")
    seen = []
    async with dial(host.address(), f"/sessions/{session.id}/events", **SSE) as raw:
        async for seq, _, event in raw.events():
            seen += [seq] if seq else []
            if event["type"] == "message.started":
                break  # and drop the connection
    model.signal("dropped")
    events = [event async for event in session.stream()]
    assert events[-1].type == "turn.ended"
    await session.close("parked")
    seen += await numbers(host, session, last_event_id=seen[-1])
    assert seen == [str(number) for number in range(1, session.last_seq + 1)]


@fault("N2")
@pytest.mark.parametrize("last", ["garbage", "-1", "1e3", "9" * 30, "1000", "٣", "0x1"])
async def test_impossible_last_event_id_is_refused(host: Host, begin: Begin, last: str) -> None:
    _, session = await begin(Text("one"))
    await (await session.send("go")).result()
    headers = {"last_event_id": last.encode().decode("latin-1")}
    async with dial(host.address(), f"/sessions/{session.id}/events", **SSE, **headers) as raw:
        assert (raw.status, (await raw.body())["code"]) == (400, "bad_request")


@fault("N2")
async def test_last_event_id_of_a_longer_session_is_refused(host: Host, begin: Begin) -> None:
    _, longer = await begin(Text("one"), Text("two"))
    _, shorter = await begin(Text("one"))
    for session, texts in ((longer, "ab"), (shorter, "a")):
        for text in texts:
            await (await session.send(text)).result()
    path = f"/sessions/{shorter.id}/events"
    async with dial(host.address(), path, **SSE, last_event_id=str(longer.last_seq)) as raw:
        assert raw.status == 400


@fault("N5")
async def test_idle_stream_begins_with_a_comment_and_sends_heartbeats(
    host: Host, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.streams.HEARTBEAT_S", 0.02)
    _, session = await begin()
    path = f"/sessions/{session.id}/events"
    async with dial(host.address(), path, **SSE) as raw:
        assert raw.headers["cache-control"] == "no-store"
        seen = b""
        while seen.count(b": still here") < 3:
            seen += await raw.reader.read(1_000)
        assert b": here" in seen
    async with dial(host.address(), path, "HEAD", **SSE) as raw:
        assert raw.status == 405


@fault("N3")
async def test_reader_that_stops_reading_is_cut_off_alone(
    host: Host, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.event_log.EventLog.__init__.__defaults__", (50,))
    plan = ToolCall("TodoWrite", {"todos": []})
    model, session = await begin(
        *([Wait(f"{step}"), Text("x" * 20_000), plan] for step in range(STEPS)), Text("end")
    )
    message = await session.send("go")
    path = f"/sessions/{session.id}/events"
    async with (
        dial(host.address(), path, **SSE) as slow,
        dial(host.address(), path, **SSE) as quick,
    ):
        told, step = [], 0
        model.signal("0")
        async for seq, _, event in _until_end(quick):
            told += [seq] if seq else []
            if event["type"] == "tool.ended":
                model.signal(f"{(step := step + 1)}")
        assert told == [str(number) for number in range(1, len(told) + 1)]
        await message.result()
        seen = [(seq, kind) async for seq, kind, _ in slow.events() if seq or kind]
    assert seen[-1] == ("", "lagged")
    numbers_seen = [seq for seq, _ in seen[:-1]]
    assert numbers_seen == told[: len(numbers_seen)]
    assert len(numbers_seen) < len(told) - 50
    await session.close("parked")
    rest = await numbers(host, session, last_event_id=numbers_seen[-1])
    assert numbers_seen + rest == [str(number) for number in range(1, session.last_seq + 1)]


async def _until_end(raw: Any) -> Any:
    async for told in raw.events():
        yield told
        if told[2].get("type") == "turn.ended":
            return


@fault("N4")
async def test_thousand_connections_leave_nothing_behind(host: Host, begin: Begin) -> None:
    _, session = await begin(Text("one"))
    await (await session.send("go")).result()
    path = f"/sessions/{session.id}/events"
    await call(host.address(), "/healthz")
    before = _descriptors()
    for _ in range(800):
        _, writer = await asyncio.open_unix_connection(host.address())
        writer.transport.abort()
    for _ in range(200):
        async with dial(host.address(), path, **SSE):
            pass
    assert (await call(host.address(), "/healthz"))[0] == 200
    await _settled(host, session, before)


@fault("N4")
async def test_two_hundred_streams_at_once_leave_nothing_behind(host: Host, begin: Begin) -> None:
    model, session = await begin([Wait("go"), Text("one")])
    await session.send("go")
    path = f"/sessions/{session.id}/events"
    await call(host.address(), "/healthz")
    before = _descriptors()
    ready = asyncio.Barrier(201)

    async def watch() -> list[str]:
        async with dial(host.address(), path, **SSE) as raw:
            await ready.wait()
            return [seq async for seq, _, _ in _until_end(raw) if seq]

    async with asyncio.TaskGroup() as group:
        watching = [group.create_task(watch()) for _ in range(200)]
        await ready.wait()
        model.signal("go")
    told = [await each for each in watching]
    assert set(map(tuple, told)) == {tuple(map(str, range(1, session.last_seq + 1)))}
    await _settled(host, session, before)


async def _settled(host: Host, session: Session, descriptors: int) -> None:
    """Wait until the host has noticed who has left."""
    while table_of(host).readers.is_read(session.id) or _descriptors() > descriptors:
        await call(host.address(), "/healthz")


def _descriptors() -> int:
    """Count the open files, without those of the journal, which keeps some connections ready."""
    files = psutil.Process().open_files()
    return psutil.Process().num_fds() - sum("journal.sqlite" in file.path for file in files)


async def test_reader_that_attends_keeps_a_request_open(host: Host, begin: Begin) -> None:
    _, session = await begin([WRITE], Text("done"), request_timeout=0.2)
    path = f"/sessions/{session.id}/events?attend=1"
    async with dial(host.address(), path, **SSE) as raw:
        message = await session.send("write")
        async for _, _, event in raw.events():
            if event["type"] == "permission.requested":
                assert event["deadline"] is None
                break
    assert [denial.reason for denial in (await message.result()).denials] == [
        "nobody answered in time"
    ]


# Who may ----------------------------------------------------------------------------------


@fault("S12")
async def test_socket_is_private(host: Host) -> None:
    folder, _, _ = host.address().rpartition("/")
    modes = [os.lstat(path).st_mode for path in (host.address(), folder)]
    assert [stat.S_IMODE(mode) for mode in modes] == [0o600, 0o700]


@fault("S12")
async def test_socket_that_a_row_of_a_dead_host_names_is_left_alone(
    host: Host, state: Path, open_host: Callable[..., Awaitable[Host]]
) -> None:
    """A row can say anything: what is removed is the socket that a host of this id has had."""
    victim = Path(host.address())
    dead, outside = uuid.uuid4().hex, f"../{uuid.uuid4().hex}"
    files = [victim.parent / f"{name}.sock" for name in (dead, outside)]
    for name, file in zip((dead, outside), files, strict=True):
        row = "(:id, 'm', 'b', 's', 1, 0, :address, 0, 0, 0)"
        columns = "id, machine, boot, space, pid, born, address, beat, seen, started"
        statement = f"INSERT INTO hosts ({columns}) VALUES {row}"  # noqa: S608 - no value is in it
        await asyncio.to_thread(sql, state, statement, id=name, address=str(victim))
        await asyncio.to_thread(file.touch)
    try:
        await open_host()

        assert list(map(Path.exists, (victim, *files))) == [True, False, True]
    finally:
        await asyncio.to_thread(files[1].unlink, missing_ok=True)


@fault("S12")
async def test_making_a_socket_leaves_the_umask_of_other_threads_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks: list[int] = []
    monkeypatch.setattr(os, "umask", masks.append)
    with contextlib.closing(listen(tmp_path / "socket")):
        assert masks == []
        assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600


@fault("S12")
async def test_agent_learns_nothing_of_its_host(host: Host, begin: Begin) -> None:
    model, session = await begin(
        ToolCall("Bash", {"command": "env; ls -l /proc/self/fd"}),
        Text("done"),
        allowed_tools=["Bash"],
    )
    await (await session.send("look")).result()
    (seen,) = model.requests[-1].tool_results.values()
    assert "PATH=" in seen
    assert "socket" not in seen
    assert f"MIDFLIGHT_SESSION={session.id}" in seen  # which opens nothing
    for secret in (host.address(), Path(host.address()).name, journal_of(host).host.id or ""):
        assert secret not in seen


async def test_unexpected_error_has_a_code_and_is_logged_without_secrets(
    host: Host, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "sk-0123456789"
    monkeypatch.setenv("SOME_API_KEY", secret)
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    _, session = await begin()

    async def wrong(*given: object, **more: object) -> None:
        raise RuntimeError(f"the key is {secret}")

    with monkeypatch.context() as broken:
        broken.setattr(journal_of(host), "sessions", wrong)
        broken.setattr(journal_of(host), "events", wrong)
        status, body = await call(host.address(), "/sessions")
        assert (status, body["code"]) == (500, "internal")
        await session.close()
        await session.over()
        path = f"/sessions/{session.id}/events"
        async with dial(host.address(), path, accept="text/event-stream") as raw:
            ((_, kind, data),) = [event async for event in raw.events()]
        assert (kind, data["code"]) == ("error", "internal")
    assert (await call(host.address(), "/sessions"))[0] == 200
    assert secret not in str(body) + str(data)
    for each in told:
        assert "in wrong" in each["message"]
        assert secret not in str(each)
    assert len(told) == 2

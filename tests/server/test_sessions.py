"""A server has the sessions of all hosts, and owns none of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import TOKEN, Server
from tests.support.events import until
from tests.support.host import table_of
from tests.support.raw_http import call, connect, dial
from tests.support.repo import Repo
from tests.support.sick_host import sick_host

from midflight import events as e
from midflight.host import Host
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Started = list[Host]

__all__ = ["one_environment", "started"]

WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})


async def seqs(stream: Any, last: int) -> list[int]:
    """Return the ids of a stream, up to this one."""
    found: list[int] = []
    async for seq, kind, _ in stream.events():
        assert not kind
        found += [int(seq)] if seq else []
        if found and found[-1] >= last:
            break
    return found


async def test_running_turn_tells_when_it_began(server: Server, begin: Begin) -> None:
    model, session = await begin([Wait("go"), Text("done")])
    message = await session.send("go")
    started = await until(session, e.TurnStarted)
    while (told := (await server.call(f"/sessions/{session.id}"))[1]["turn_started"]) is None:
        pass  # the lists are a moment behind the events
    assert told == started.time
    model.signal("go")
    await message.result()
    while (await server.call(f"/sessions/{session.id}"))[1]["turn_started"] is not None:
        pass


async def test_what_a_session_has_said_is_found_over_http(server: Server, begin: Begin) -> None:
    _, session = await begin(Text("one needle"))
    await (await session.send("find the Needle")).result()
    status, found = await server.call(f"/sessions/{session.id}/search?text=needle")
    assert (status, found["more"]) == (200, False)
    assert [(hit["type"], hit["excerpt"]) for hit in found["hits"]] == [
        ("text", "one needle"),
        ("message.accepted", "find the Needle"),
    ]
    _, found = await server.call(f"/sessions/{session.id}/search?text=needle&limit=1")
    assert (len(found["hits"]), found["more"]) == (1, True)
    assert (await server.call(f"/sessions/{session.id}/search"))[0] == 400
    assert (await server.call(f"/sessions/{session.id}/search?text=n&before=0"))[0] == 400


async def test_session_is_begun_in_a_background_host_and_outlives_the_server(
    started: Started, fake_model: Any, tmp_path: Path, state: Path
) -> None:
    model = await fake_model(Text("one"), Text("two"))
    wanted = {"task": "do it", "agent": "fake", "cwd": str(tmp_path), "id": "my-id"}
    wanted["env"] = model.env(tmp_path)
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        server = Server(running)
        status, info = await server.call("/sessions", "POST", wanted)
        (host,) = started
        assert (status, info["id"], info["host"]) == (201, "my-id", host.address())
        assert (await server.call("/sessions", "POST", wanted))[0] == 200
        other = wanted | {"task": "do that"}
        assert (await server.call("/sessions", "POST", other))[0] == 422
        session = await host.session("my-id")
        assert session.first is not None
        await session.first.result()
    assert session.status == "idle"
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        server = Server(running)
        told = {"type": "send", "text": "more", "id": "m2"}
        status, outcome = await server.call("/sessions/my-id/commands", "POST", told)
        assert (status, outcome["message"], outcome["state"]) == (202, "m2", "accepted")
        async with server.dial("/sessions/my-id/events?after=2") as stream:
            async for _, _, event in stream.events():
                if event["type"] == "turn.ended" and event["turn"] == 2:
                    break
        _, shown = await server.call("/sessions/do-it")
        assert (shown["turns"], shown["status"], shown["host"]) == (2, "idle", host.address())
        assert await server.call("/sessions?status=idle") == (200, [shown])
        assert await server.call("/sessions?status=running") == (200, [])
        _, page = await server.call("/sessions/do-it/events?after=2&limit=3")
        assert [event["seq"] for event in page] == [3, 4, 5]
        assert (await server.call("/sessions/my-id", "DELETE"))[0] == 200
        status, problem = await server.call("/sessions/my-id")
        assert (status, problem["code"]) == (404, "not_found")
    assert not table_of(host).live()


@fault("I6")
async def test_second_answer_is_409_and_names_the_first(server: Server, begin: Begin) -> None:
    _, session = await begin([WRITE], Text("done"))
    message = await session.send("write")
    asked = await until(session, e.PermissionRequested)
    path = f"/sessions/{session.id}/commands"
    answer = {"type": "answer", "request": asked.request}
    both = await asyncio.gather(
        server.call(path, "POST", answer | {"decision": "deny"}),
        server.call(path, "POST", answer | {"decision": "allow"}),
    )
    assert sorted(status for status, _ in both) == [202, 409]
    late = next(told for status, told in both if status == 409)
    first = "deny" if (await message.result()).denials else "allow"
    assert (late["code"], late["decision"], late["status"]) == ("already_answered", first, 409)


async def test_what_another_input_would_do_is_told_before_it_is_allowed(
    server: Server, begin: Begin, tmp_path: Path
) -> None:
    _, session = await begin([WRITE], Text("done"))
    message = await session.send("write")
    asked = await until(session, e.PermissionRequested)
    edited = {"input": {"file_path": "other", "content": "by a person\n"}}
    path = f"/sessions/{session.id}/requests"
    status, told = await server.call(f"{path}/{asked.request}/effects", "POST", edited)
    assert status == 200
    (effect,) = told["effects"]
    assert (effect["type"], effect["path"]) == ("edit", str(tmp_path / "other"))
    assert effect["diff"].endswith("+by a person")
    odd = {"input": {"file_path": "other", "content": "x", "more": 1}}
    _, told = await server.call(f"{path}/{asked.request}/effects", "POST", odd)
    assert told["effects"] == [{"type": "other", **odd}]
    assert not (tmp_path / "other").exists()
    assert (await server.call(f"{path}/none/effects", "POST", edited))[0] == 404
    assert (await server.call(f"{path}/{asked.request}/effects", "POST", {}))[0] == 422
    await session.answer(asked.request, "deny")
    assert (await server.call(f"{path}/{asked.request}/effects", "POST", edited))[0] == 409
    await message.result()


async def test_an_edit_is_allowed_only_as_long_as_it_does_what_was_told(
    server: Server, begin: Begin, tmp_path: Path
) -> None:
    _, session = await begin([WRITE], Text("done"))
    message = await session.send("write")
    asked = await until(session, e.PermissionRequested)
    edited = {"file_path": "other", "content": "by a person"}
    look = f"/sessions/{session.id}/requests/{asked.request}/effects"
    allow = {"type": "answer", "request": asked.request, "input": edited}
    assert (await server.call(look, "POST", {"input": edited}))[0] == 200
    another = {**edited, "file_path": "third"}  # which somebody else thinks of
    assert (await server.call(look, "POST", {"input": another}))[0] == 200
    (tmp_path / "elsewhere").write_text("kept")
    (tmp_path / "other").symlink_to("elsewhere")
    for _ in range(2):  # a second press changes nothing: it has to be looked at again
        status, problem = await server.call(f"/sessions/{session.id}/commands", "POST", allow)
        assert (status, problem["code"]) == (409, "conflict")
    assert (await server.call(look, "POST", {"input": edited}))[0] == 200
    assert (await server.call(f"/sessions/{session.id}/commands", "POST", allow))[0] == 202
    assert (await message.result()).status == "completed"


@pytest.fixture
async def wanted(started: Started, fake_model: Any, tmp_path: Path) -> dict[str, Any]:
    """Return what a session is begun with whose agent answers once."""
    model = await fake_model(Text("done"))
    env = model.env(tmp_path)
    return {"task": "do it", "agent": "fake", "cwd": str(tmp_path), "env": env}


@fault("D7")
@pytest.mark.parametrize("kind", ["hangs", "junk", "fails at once", "no JSON"])
async def test_sick_host_is_in_the_way_of_nobody_else(
    server: Server, begin: Begin, wanted: dict[str, Any], state: Path, kind: str
) -> None:
    _, session = await begin(Text("one"))
    async with sick_host(state, kind):
        assert [each["id"] for each in (await server.call("/sessions"))[1]] == [session.id]
        path = f"/sessions/{session.id}"
        status, _ = await server.call(f"{path}/commands", "POST", {"type": "send", "text": "go"})
        assert status == 202
        async with server.dial(f"{path}/events") as stream:
            async for _, _, event in stream.events():
                if event["type"] == "turn.ended":
                    break
        status, info = await server.call("/sessions", "POST", wanted)
        assert (status, info["status"] in {"starting", "running"}) == (201, True)
        async with server.dial(f"/sessions/{info['id']}/events") as stream:
            assert await seqs(stream, 3)


async def test_problem_has_its_own_media_type(server: Server) -> None:
    async with dial(server.address, "/sessions/none", **server.key) as raw:
        assert raw.headers["content-type"] == "application/problem+json"
        problem = await raw.body()
    assert set(problem) == {"status", "code", "message", "hint"}
    for path, method in (("/nowhere", "GET"), ("/sessions", "PUT"), ("/sessions?status=x", "GET")):
        status, problem = await server.call(path, method)
        assert (problem["status"], status in {400, 404, 405}) == (status, True)


HALF_A_BODY = (
    b"POST /sessions HTTP/1.1\r\nhost: %s\r\nauthorization: Bearer a-token-for-tests-only\r\n"
    b"content-type: application/json\r\ncontent-length: 9\r\n\r\n{"
)


async def test_diff_is_what_has_changed_since_the_session_began(
    server: Server, begin: Begin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Repo(tmp_path)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    _, session = await begin(WRITE, Text("done"), allowed_tools=["Write"])
    path = f"/sessions/{session.id}/diff"
    status, problem = await server.call(path)
    assert (status, problem["code"]) == (409, "conflict")
    repo.git("init", "-q")
    await (await session.send("write")).result()
    status, diff = await server.call(path)
    assert (status, diff["commit"], diff["left_out"]) == (200, "", 0)
    assert "+by the agent" in diff["diff"]
    monkeypatch.setattr("midflight.host.http.app.MAX_DIFF_CHARS", 10)
    _, cut = await server.call(path)
    assert (cut["diff"], cut["left_out"]) == (diff["diff"][:10], len(diff["diff"]) - 10)


@fault("I8")
async def test_message_and_stop_that_come_twice_count_once(server: Server, begin: Begin) -> None:
    _, session = await begin([WRITE])
    path = f"/sessions/{session.id}/commands"
    send, stop = {"type": "send", "text": "write", "id": "m1"}, {"type": "interrupt"}
    assert (await server.call(path, "POST", stop))[0] == 202  # it is idle
    for told in (send, stop):
        both = await asyncio.gather(*(server.call(path, "POST", told) for _ in range(2)))
        assert [status for status, _ in both] == [202, 202]
        if told is send:
            await until(session, e.PermissionRequested)
    assert (await server.call(path, "POST", stop))[0] == 202
    _, page = await server.call(f"/sessions/{session.id}/events")
    kinds = [event["type"] for event in page]
    assert (kinds.count("message.accepted"), kinds.count("turn.ended")) == (1, 1)
    assert page[kinds.index("turn.ended")]["reason"] == "interrupted"


@fault("S6", "I3")
async def test_text_with_any_character_makes_the_exact_round_trip(
    server: Server, begin: Begin
) -> None:
    text = "\x1b[2J\x1b]8;;http://x\x07link \r\b\x00 \u202e\u2066\ufeff e\u0301 [link=x] \U0001f600"
    _, session = await begin(Text(text))
    path = f"/sessions/{session.id}"
    sent = {"type": "send", "text": text}
    assert (await server.call(f"{path}/commands", "POST", sent))[0] == 202
    await until(session, e.TurnEnded)
    _, page = await server.call(f"{path}/events")
    found = {event["type"]: event for event in page}
    assert found["message.accepted"]["text"] == found["text"]["text"] == text
    async with server.dial(f"{path}/events") as stream:
        told = [event async for _, _, event in _first(stream, session.last_seq)]
    assert told == page


async def _first(stream: Any, last: int) -> Any:
    async for each in stream.events():
        yield each
        if each[0] == str(last):
            return


# Streams ----------------------------------------------------------------------------------


@fault("N1")
async def test_reader_gets_exactly_what_it_missed(server: Server, begin: Begin) -> None:
    _, session = await begin(Text("one"), Text("two"))
    path = f"/sessions/{session.id}/events"
    async with server.dial(path) as stream:
        await (await session.send("first")).result()
        first = await seqs(stream, session.last_seq - 2)
    await (await session.send("second")).result()
    async with server.dial(path, last_event_id=str(first[-1])) as stream:
        rest = await seqs(stream, session.last_seq)
    assert first + rest == list(range(1, session.last_seq + 1))


async def test_stream_goes_on_through_a_rest_and_ends_when_it_is_closed(
    server: Server, begin: Begin, host: Host
) -> None:
    _, session = await begin(Text("one"), Text("two"))
    await (await session.send("first")).result()
    kinds = []
    async with server.dial(f"/sessions/{session.id}/events") as stream:
        events = stream.events()
        async for _, kind, event in events:
            kinds.append(kind or event["type"])
            if kinds[-1] == "turn.ended" and event["turn"] == 1:
                await session.close("parked")
                told = {"type": "send", "text": "second"}
                await server.call(f"/sessions/{session.id}/commands", "POST", told)
            if kinds[-1] == "turn.ended" and event["turn"] == 2:
                await server.call(f"/sessions/{session.id}/commands", "POST", {"type": "close"})
    assert "session.resumed" in kinds
    assert kinds[-2:] == ["session.ended", "end"]


async def test_readers_of_one_session_share_one_stream_of_its_host(
    server: Server, begin: Begin, host: Host
) -> None:
    model, session = await begin([Text("half"), Wait("go"), Text(" and half")])
    message = await session.send("say it")
    await model.reached("go")
    path = f"/sessions/{session.id}/events"
    async with server.dial(path) as one, server.dial(path) as two:
        model.signal("go")
        await message.result()
        both = await asyncio.gather(*(seqs(each, session.last_seq) for each in (one, two)))
    assert both[0] == both[1] == list(range(1, session.last_seq + 1))


@fault("N7")
async def test_end_of_the_server_ends_its_streams_and_no_session(
    begin: Begin, state: Path, host: Host
) -> None:
    model, session = await begin([Wait("go"), Text("done")])
    message = await session.send("go")
    await model.reached("go")
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    kinds: list[str] = []

    async def follow(server: Server) -> None:
        async with server.dial(f"/sessions/{session.id}/events") as stream:
            reading.set()
            kinds.extend([kind async for _, kind, _ in stream.events() if kind])

    reading = asyncio.Event()
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        server = Server(running)
        following = asyncio.create_task(follow(server))
        await reading.wait()
    await following
    assert kinds == ["leaving"]
    with pytest.raises(OSError, match="Connect"):
        await connect(server.address)
    model.signal("go")
    assert (await message.result()).text == "done"


@fault("N2")
@pytest.mark.parametrize("last", ["x", "-1", "1e3", "99", "\x00", "1" * 30, "1.0", "٣"])
async def test_impossible_last_event_id_is_400(server: Server, begin: Begin, last: str) -> None:
    _, session = await begin()
    path = f"/sessions/{session.id}/events"
    async with server.dial(path, last_event_id=last.encode().decode("latin-1")) as raw:
        assert raw.status == 400


@fault("N5")
async def test_idle_stream_shows_signs_of_life(
    server: Server, begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.streams.HEARTBEAT_S", 0.02)
    _, session = await begin()
    async with server.dial(f"/sessions/{session.id}/events") as raw:
        assert raw.headers["x-accel-buffering"] == "no"
        seen = b""
        while seen.count(b": still here") < 3:
            seen += await raw.reader.read(1_000)
        assert b": here" in seen
    for route in server.routes:
        path = route.path.replace("{session}", session.id)
        async with dial(server.address, path, "HEAD", **server.key) as raw:
            assert raw.status == 405


@pytest.fixture
async def silent(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a server with little patience."""
    monkeypatch.setattr("midflight.host.http.connection.IDLE_TIMEOUT_S", 0.3)


@fault("N6", "N10")
@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\nhost: x\r\n",
        HALF_A_BODY,
    ],
    ids=["nothing", "half a head", "half a body"],
)
async def test_half_requests_are_closed(server: Server, silent: None, half: bytes) -> None:
    pairs = [await connect(server.address) for _ in range(50)]
    for _, writer in pairs:
        writer.write(half.replace(b"%s", server.address.encode()))
    assert (await server.call("/sessions"))[0] == 200
    for reader, writer in pairs:
        await _ended(reader)
        writer.transport.abort()


async def _ended(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        await reader.read()


@fault("N6")
async def test_drip_of_a_request_is_cut_off(server: Server, silent: None) -> None:
    reader, writer = await connect(server.address)
    writer.write(b"GET /healthz HTTP/1.1\r\n")
    ended = asyncio.create_task(_ended(reader))
    while not ended.done():
        writer.write(b"a")
        await asyncio.wait({ended}, timeout=0.02)
    writer.transport.abort()
    assert (await server.call("/sessions"))[0] == 200


@fault("N3")
async def test_reader_that_takes_nothing_is_cut_off(
    server: Server, begin: Begin, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.host.http.connection.STALLED_S", 0.2)
    _, session = await begin([Text("x" * 8_000_000)])
    async with server.dial(f"/sessions/{session.id}/events") as slow:
        await (await session.send("go")).result()
        while server.connections:
            await call(host.address(), "/healthz")
        assert slow.status == 200


@fault("N4")
async def test_many_streams_leave_nothing_behind(server: Server, begin: Begin, host: Host) -> None:
    _, session = await begin(Text("one"))
    await (await session.send("go")).result()
    path = f"/sessions/{session.id}/events"
    for _ in range(3):
        streams = [server.dial(path) for _ in range(60)]
        for stream in streams:
            await stream.__aenter__()
        for stream in streams:
            await stream.__aexit__(None, None, None)
    while server.connections or table_of(host).readers.is_read(session.id):
        await call(host.address(), "/healthz")


@fault("I2", "I3")
@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[" * 100_000 + b"]" * 100_000, b'{"a": "\xff"}', b"[]", b'"x"', b"null"],
    ids=["nothing", "no JSON", "deep", "no UTF-8", "list", "text", "null"],
)
async def test_body_that_makes_no_sense_is_422(server: Server, begin: Begin, body: bytes) -> None:
    _, session = await begin()
    posts = [route.path for route in server.routes if route.method == "POST"]
    assert len(posts) > 2
    for path in posts:
        status, _ = await server.call(path.replace("{session}", session.id), "POST", body)
        assert status in {413, 422}, path


@fault("I2")
async def test_body_that_is_too_long_is_refused_by_every_route(server: Server) -> None:
    body, told = b"x" * (17 * 2**20), {"content_length": str(10**9), **server.key}
    posts = [route.path for route in server.routes if route.method == "POST"]
    for path in posts:
        async with dial(server.address, path, "POST", body, **told) as raw:
            assert raw.status == 413, path


@fault("S4", "S12")
async def test_agent_and_host_are_started_without_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from midflight.agents.shared.environment import inherited
    from midflight.client.spawn import host_environment

    monkeypatch.setenv("MIDFLIGHT_TOKEN", TOKEN)
    assert TOKEN not in {*inherited(()).values(), *host_environment().values()}

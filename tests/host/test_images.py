"""Images of messages that wait: kept in the journal, until the agent has read them."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import read
from tests.support.host import have, journal_of
from tests.support.journal import rows, sql
from tests.support.raw_http import call

from midflight import events as e
from midflight.client.client import connect
from midflight.host import Host
from midflight.testing import FakeModel, Text, Wait
from midflight.testing.conformance.rows.options import PIXEL

SENT = [("image/png", PIXEL)]
WIRE_FORM = {"data": base64.b64encode(PIXEL).decode(), "name": "a.png"}

Models = Callable[..., Awaitable[FakeModel]]
Hosts = Callable[..., Awaitable[Host]]


def kept(state: Path) -> dict[str, bool]:
    """Return the messages in the journal, and whether there are images with them."""
    found = rows(state, "SELECT id, images IS NOT NULL FROM messages ORDER BY said")
    return {message: bool(there) for message, there in found}


async def left_with_an_image(state: Path, model: FakeModel, tmp_path: Path) -> str:
    """Have a host end while a message with an image waits; return the session."""
    async with Host(state) as host:
        session = await host.dispatch(
            "first", images=[PIXEL], agent="fake", cwd=tmp_path, env=model.env(tmp_path)
        )
        await model.reached("go")
        await session.send("second", delivery="queue", id="m2", images=[PIXEL])
        assert kept(state) == {session.first.id if session.first else "": False, "m2": True}
    return session.id


async def test_image_of_a_message_that_waits_outlives_its_host(
    state: Path,
    fake_model: Models,
    open_host: Hosts,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = await fake_model([Wait("go"), Text("never")], Text("second"), Text("third"))
    kept_session = await left_with_an_image(state, model, tmp_path)
    have(monkeypatch, model.env(tmp_path))
    host = await open_host()
    assert [*(await journal_of(host).past(kept_session)).images] == ["m2"]
    session = await host.session(kept_session)
    await (await session.send("third", delivery="queue")).result()
    assert model.requests[1].last_user_text.endswith("second")
    assert model.requests[1].images[-1:] == SENT
    assert not any(kept(state).values())
    told = await journal_of(host).events(kept_session)
    said = [event for event in told if isinstance(event, e.MessageAccepted)]
    assert [[image.bytes for image in event.images] for event in said] == [
        [len(PIXEL)],
        [len(PIXEL)],
        [],
    ]
    assert base64.b64encode(PIXEL).decode() not in str(rows(state, "SELECT data FROM events"))


@pytest.fixture(params=[None, "[{", '[{"data": ""}]'])
def damage(
    request: pytest.FixtureRequest, state: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[FakeModel], None]:
    """Return what leaves nothing of the images in the journal that could be read."""

    def change(model: FakeModel) -> None:
        have(monkeypatch, model.env(state))
        statement = "UPDATE messages SET images = :images WHERE id = 'm2'"
        sql(state, statement, images=request.param)

    return change


async def test_message_whose_image_is_lost_fails_and_says_so(
    state: Path,
    fake_model: Models,
    damage: Callable[[FakeModel], None],
    tmp_path: Path,
    open_host: Hosts,
) -> None:
    model = await fake_model([Wait("go"), Text("never")], Text("third"))
    kept_session = await left_with_an_image(state, model, tmp_path)
    damage(model)
    session = await (await open_host()).session(kept_session)
    third = await session.send("third", delivery="queue")
    assert (await third.result()).text == "third"
    events = await read(session)
    failed = [event for event in events if isinstance(event, e.MessageFailed)]
    assert [(event.message, event.reason) for event in failed] == [("m2", "agent_error")]
    notices = [event.text for event in events if isinstance(event, e.Notice)]
    assert "send failed: the images of this message are lost (send it again)" in notices


async def test_images_come_over_http_as_base64_and_never_as_a_path(
    host: Host, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model(Text("one"), Text("two"))
    options: dict[str, Any] = {"agent": "fake", "cwd": str(tmp_path), "env": model.env(tmp_path)}
    task = {**options, "task": "look", "id": "mine", "images": [WIRE_FORM]}
    status, info = await call(host.address(), "/sessions", "POST", task)
    assert status == 201
    assert (await call(host.address(), "/sessions", "POST", task))[0] == 200
    assert (await call(host.address(), "/sessions", "POST", {**task, "images": []}))[0] == 422
    await model.request(1)  # what is sent before would be read with the task, in one request
    send = {"type": "send", "text": "again", "images": [WIRE_FORM]}
    assert (await call(host.address(), f"/sessions/{info['id']}/commands", "POST", send))[0] == 202
    assert (await model.request(2)).images == SENT * 2
    assert model.requests[0].images == SENT
    for image in ("/etc/passwd", {"path": "/etc/passwd"}, {"data": "!"}, {"data": ""}):
        for path, body in (
            ("/sessions", {**options, "task": "look"}),
            (f"/sessions/{info['id']}/commands", {"type": "send", "text": "look"}),
        ):
            status, error = await call(host.address(), path, "POST", {**body, "images": [image]})
            assert (status, error["code"]) == (422, "invalid_input")


async def test_images_reach_a_session_of_another_process(
    host: Host, state: Path, fake_model: Models, tmp_path: Path
) -> None:
    model = await fake_model(Text("one"), Text("two"))
    (tmp_path / "a.png").write_bytes(PIXEL)
    session = await host.dispatch(
        "look", agent="fake", cwd=tmp_path, env=model.env(tmp_path), images=[tmp_path / "a.png"]
    )
    await model.request(1)
    async with connect(state) as client, await client.session(session.id) as remote:
        message = await remote.send("again", images=[tmp_path / "a.png"])
        assert (await message.result()).text == "two"
        assert model.requests[1].images == SENT * 2

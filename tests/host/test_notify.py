"""News of sessions to an address of apprise, here a server of the test that takes JSON."""

from __future__ import annotations

import asyncio
import json
import os
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from midflight import events as e
from midflight.cli.foreground import hosted
from midflight.client.client import connect
from midflight.client.spawn import NOTIFY_VARIABLE
from midflight.errors import InvalidOption, StoreFailed
from midflight.host import Host
from midflight.host.http.logins import Logins
from midflight.journal import JournalLocation
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, HttpError, Text, ToolCall

with warnings.catch_warnings(action="ignore"):
    pytest.importorskip("apprise", reason="the extra `notify` is not installed")

from midflight.host.notify import Notifier

# apprise imports a module that Python 3.13 has no more, where it is there.
pytestmark = [pytest.mark.anyio, pytest.mark.filterwarnings("ignore:'imghdr' is deprecated")]

WRITE = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
ASK = ToolCall(
    "AskUserQuestion",
    {"questions": [{"question": "Which?", "header": "W", "options": [{"label": "A"}]}]},
)

Hosts = Callable[..., Awaitable[Host]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


class Receiver:
    """Takes what is told by HTTP, and answers with a status."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.status = 200
        self.port = 0

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1])
            for line in head.lower().splitlines()
            if b"content-length" in line
        )
        body: dict[str, Any] = json.loads(await reader.readexactly(length))
        self.told.put_nowait((body["title"], body["message"]))
        writer.write(
            b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % self.status
        )
        writer.close()
        await writer.wait_closed()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.take, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    yield receiver
    server.close()


@pytest.fixture
async def host(open_host: Hosts, receiver: Receiver, state: Path) -> AsyncIterator[Host]:
    """Return a host that notifies the receiver."""
    notifier = Notifier(f"json://127.0.0.1:{receiver.port}", JournalLocation(state))
    host = await open_host(on_session=notifier.follow)
    yield host
    for session in host.live():
        await session.close()
    await notifier.close()


async def test_user_is_notified_of_requests_and_ended_turns(
    begin: Begin, receiver: Receiver
) -> None:
    _, session = await begin(WRITE, ASK, Text("All is done.\n\nReally."), task="go", name="here")
    assert await receiver.told.get() == ("here waits for you", "Write new")
    await session.answer(session.pending[0])
    assert await receiver.told.get() == ("here asks you", "Which?")
    await session.answer(session.pending[0], answers={"Which?": "A"})
    assert await receiver.told.get() == ("here is done", "All is done. Really.")


async def test_notification_leads_to_its_request_on_the_page_that_is_served(
    begin: Begin, receiver: Receiver, state: Path
) -> None:
    logins = Logins(JournalLocation(state))
    logins.serve(["https://my.name", "http://127.0.0.1:7433"])
    _, session = await begin(WRITE, Text("Done."), task="go", name="here")
    _, told = await receiver.told.get()
    asked = session.pending[0].request
    assert told == f"Write new\nhttps://my.name/#/s/{session.id}?request={asked}"
    logins.serve([])  # it has ended
    await session.answer(asked)
    assert await receiver.told.get() == ("here is done", "Done.")


async def test_request_that_is_answered_at_once_is_not_notified(
    begin: Begin, receiver: Receiver
) -> None:
    _, session = await begin(WRITE, Text("Done."), attended=False, task="go", name="here")
    assert await receiver.told.get() == ("here is done", "Done.")
    assert session.status == "idle"


async def test_failure_is_notified(begin: Begin, receiver: Receiver) -> None:
    await begin(HttpError(402), task="go", name="here")
    title, _ = await receiver.told.get()
    assert title == "here has failed: api_error"


async def test_notification_that_cannot_be_sent_is_one_notice(
    begin: Begin, receiver: Receiver
) -> None:
    receiver.status = 500
    _, session = await begin(Text("one"), Text("two"), task="go")
    await receiver.told.get()
    await session.send("more")
    await receiver.told.get()
    notices = 0
    async for event in session.events():
        notices += isinstance(event, e.Notice) and event.text == "a notification could not be sent"
        if notices and isinstance(event, e.Notice):
            break
    await session.close()
    assert notices == 1


@pytest.mark.parametrize("url", ["", "nonsense", "nosuch://secret@host"])
async def test_unusable_address_is_an_error_that_does_not_repeat_it(url: str, state: Path) -> None:
    with pytest.raises(InvalidOption, match="notify") as caught:
        Notifier(url, JournalLocation(state))
    assert "secret" not in str(caught.value)


async def test_address_reaches_a_host_that_is_started_in_the_background(
    state: Path, tmp_path: Path
) -> None:
    async with connect(state, notify="nosuch://secret@host") as client:
        with pytest.raises(StoreFailed, match=r"notify: .* no address") as failed:
            await client.dispatch("do it", agent="fake", cwd=tmp_path)
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("how", ["parameter", "variable"])
async def test_run_takes_the_address_and_hides_it_from_its_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv(NOTIFY_VARIABLE, "nosuch://host")
    options = Options.build(agent="fake", cwd=tmp_path)
    address = "nosuch://another" if how == "parameter" else None
    with pytest.raises(InvalidOption, match="notify"):
        async with hosted("do it", options, door="command", notify=address):
            pass
    assert NOTIFY_VARIABLE not in os.environ

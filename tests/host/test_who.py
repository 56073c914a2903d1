"""Events tell who has sent a message or given an answer, as the host has looked it up."""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.host.test_peers import WRITE, ask, family
from tests.support.events import so_far, until
from tests.support.raw_http import call

from midflight import events as e
from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.values import Who

__all__ = ["family"]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Family = tuple[Session, Session, Session]


async def senders(session: Session) -> list[Who | None]:
    return [event.who async for event in so_far(session) if isinstance(event, e.MessageAccepted)]


async def test_message_tells_by_which_door_it_came(
    host: Host, begin: Begin, attach: Callable[..., Any]
) -> None:
    _, session = await begin(lambda request: Text("done"), task="first")
    await session.send("second", delivery="queue")
    remote = await attach(session)
    await remote.redirect("third")
    path = f"/sessions/{session.id}/commands"
    body = {"type": "send", "text": "fourth"}
    assert (await call(host.address(), path, "POST", body))[0] == 202
    named = {"midflight-door": "terminal"}
    assert (await call(host.address(), path, "POST", body, **named))[0] == 202
    assert [who and (who.role, who.door, who.device) for who in await senders(session)] == [
        ("program", "library", platform.node()),
        ("program", "library", platform.node()),
        ("program", "library", platform.node()),
        ("program", "json", platform.node()),
        ("user", "terminal", platform.node()),
    ]


async def test_agent_cannot_pass_for_its_user(host: Host, family: Family) -> None:
    """Whatever door it names, and whatever it writes into its command."""
    _, second, third = family
    path = f"/sessions/{third.id}/commands"
    claim = {"role": "user", "door": "terminal", "terminal": "/dev/tty1"}
    status, told = await ask(host, second.id, path, {"type": "send", "text": "x", "who": claim})
    assert (status, told["code"]) == (422, "invalid_input")
    assert "send has no field 'who'" in told["message"]
    named = {"midflight-door": "terminal", "midflight-may-answer": "everything"}
    assert (await ask(host, second.id, path, {"type": "send", "text": "x"}, **named))[0] == 202
    asked = await until(third, e.PermissionRequested)
    answer = {"type": "answer", "request": asked.request}
    assert (await ask(host, second.id, path, answer, **named))[0] == 202
    resolved = await until(third, e.PermissionResolved)
    for who in (*await senders(third), resolved.who):
        assert who is not None
        assert (who.role, who.session, who.terminal) == ("agent", second.id, "")


async def test_task_of_a_session_tells_who_dispatched_it(
    host: Host, family: Family, tmp_path: Path
) -> None:
    _, second, _ = family
    body = {"agent": "fake", "cwd": str(tmp_path), "env": second.options.env, "task": "do it"}
    status, info = await ask(host, second.id, "/sessions", body)
    assert status == 201
    (who,) = await senders(await host.session(info["id"]))
    assert who is not None
    assert (who.role, who.session) == ("agent", second.id)


async def test_what_nobody_answered_names_nobody(begin: Begin) -> None:
    _, session = await begin(WRITE, Text("done"), attended=False)
    await session.send("write")
    resolved = await until(session, e.PermissionResolved)
    assert (resolved.by, resolved.who) == ("policy", None)

"""Two people with a role each: the verbs work, on whatever machine and whosever session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.conftest import ELSEWHERE, HERE, Hosts
from tests.cluster.test_surface import (
    open_,
    test_second_answer_is_a_conflict_that_names_the_first,
    test_steer_is_read_by_the_running_turn,
)
from tests.journal.conftest import Become, Role, role
from tests.support.events import of
from tests.support.host import journal_of

from midflight import commands as c
from midflight import events as e
from midflight.client.client import Client, connect
from midflight.errors import MidflightError, NotAllowed
from midflight.host import Host
from midflight.host.answers import Answers
from midflight.journal.inbox import InboxEntry
from midflight.questions import DoWorktree
from midflight.session.session import Session
from midflight.testing import FakeModel, Text
from midflight.who import here, in_words
from midflight.worktrees import WorktreeOutcome

__all__ = [
    "open_",
    "role",
    "test_second_answer_is_a_conflict_that_names_the_first",
    "test_steer_is_read_by_the_running_turn",
]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


@pytest.fixture
async def open_host(role: Role, become: Become, no_agent_left: None) -> AsyncIterator[Hosts]:
    """Return a function that makes hosts of one person, on another machine if not told otherwise.

    Nobody dials in, though those of another role on this machine have a socket here.
    """
    async with AsyncExitStack() as stack:

        async def start(machine: str = ELSEWHERE, person: str = "ada", **options: Any) -> Host:
            become(machine)
            host = await stack.enter_async_context(Host(role(person), **options))
            await asyncio.to_thread(Path(host.address()).unlink)
            become(HERE)
            return host

        yield start


@pytest.fixture
async def client(host: Host, role: Role) -> AsyncIterator[Client]:
    """Return a client of another person."""
    async with connect(role("bob"), door="command") as client:
        yield client


async def test_sender_is_whom_the_database_names(begin: Begin, client: Client) -> None:
    _, session = await begin(Text("done"))
    await client.carry_out(session.id, c.Send(text="go", id="m1"))

    (accepted,) = of(e.MessageAccepted, await client.history(session.id))
    assert accepted.who is not None
    assert accepted.who.person == "bob"
    assert (accepted.who.door, accepted.who.device) == ("command", here("command").device)
    assert in_words(accepted.who).startswith("bob")


async def test_session_of_a_colleague_that_runs_is_closed(begin: Begin, client: Client) -> None:
    """Its host says so although it has the session no more, and may write nothing of it."""
    _, session = await begin()
    await client.carry_out(session.id, c.Close())
    assert (await client.info(session.id)).status == "closed"


async def test_host_of_another_role_on_this_machine_is_not_dialled(
    open_host: Hosts, role: Role
) -> None:
    await open_host(HERE)
    async with connect(role("bob"), door="command") as client:
        (known,) = await client.hosts()
        assert (known.alive, known.far) == (True, True)


async def test_session_of_a_colleague_at_rest_stays_as_it_is(
    begin: Begin, host: Host, role: Role
) -> None:
    """A message would have it run as another user, who pays for it."""
    _, session = await begin()
    await session.close("parked")
    async with connect(role("bob"), door="command") as client:
        for attempt in (
            client.carry_out(session.id, c.Send(text="go")),
            client.remove(session.id),
        ):
            with pytest.raises(NotAllowed, match="is ada's") as refused:
                await attempt
            assert "ada" in refused.value.hint


async def test_worktree_of_a_colleague_at_rest_is_left_alone(begin: Begin, client: Client) -> None:
    _, session = await begin()
    await session.close("parked")
    await session.over()
    for action in ("merge", "branch", "discard"):
        question = DoWorktree(action=action)
        with pytest.raises(NotAllowed, match="another person's, and at rest"):
            await client.ask(session.id, question, WorktreeOutcome)


async def test_host_of_its_person_answers_for_a_session_at_rest(
    begin: Begin, host: Host, open_host: Hosts, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no other one, which may say that it is on that machine."""
    _, session = await begin()
    await session.close("parked")
    await session.over()
    await open_host(person="bob")
    answer, asked = Answers.answer, list[str | None]()

    async def note(answers: Answers, entry: InboxEntry, *more: Any) -> Any:
        asked.append(answers._journal.host.id)  # noqa: SLF001 - which one it is
        return await answer(answers, entry, *more)

    monkeypatch.setattr(Answers, "answer", note)
    for person in ("ada", "bob"):
        async with connect(role(person), door="command") as client:
            with pytest.raises(MidflightError, match="git"):
                await client.diff(session.id)
    assert asked == [journal_of(host).host.id] * 2

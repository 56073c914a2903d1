"""The conformance suite for journals: one check for each promise that a journal keeps.

@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_my_journal(check, tmp_path):
    await check(MyRig(tmp_path))
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Protocol

from midflight import events as e
from midflight.errors import Conflict, LeaseHeld, LeaseLost, MidflightError, NotFound, StoreFailed
from midflight.info import RepositoryInfo
from midflight.journal.base import Past, Record, Summary
from midflight.journal.rows import SessionRow
from midflight.options import Options
from midflight.state.search import Found
from midflight.state.session import State

__all__ = ["CHECKS", "Check", "HostUnderTest", "JournalRig", "JournalUnderTest"]

PATIENCE_S = 60.0
"""How long anything may take."""


class HostUnderTest(Protocol):
    """This process as a host of a journal; see `midflight.journal.own_host.OwnHost`."""

    id: str | None

    async def beat(self) -> None: ...  # noqa: D102 - see above

    async def leave(self) -> None: ...  # noqa: D102


class JournalUnderTest(Protocol):
    """What a host asks of a journal; see `midflight.journal.Journal`."""

    @property
    def host(self) -> HostUnderTest: ...  # noqa: D102 - see above

    async def search(  # noqa: D102
        self, session: str, text: str, before: int | None, limit: int
    ) -> Found: ...

    async def create(  # noqa: D102
        self, name: str, options: Options, *, id: str | None = None, parent: str = ""
    ) -> tuple[SessionRow, Record]: ...

    async def take(self, session: str) -> tuple[SessionRow, Record, Past]: ...  # noqa: D102

    async def remove(self, session: str) -> None: ...  # noqa: D102

    async def sessions(self) -> list[SessionRow]: ...  # noqa: D102

    async def orphaned(self) -> list[str]: ...  # noqa: D102

    async def past(self, session: str) -> Past: ...  # noqa: D102

    async def past_of(self, record: Record) -> Past: ...  # noqa: D102

    async def events(  # noqa: D102
        self, session: str, after: int = 0, limit: int | None = 1000
    ) -> list[e.Event]: ...

    async def tail(self, session: str, count: int) -> list[e.Event]: ...  # noqa: D102


class JournalRig(Protocol):
    """One empty journal, and what a check needs around it."""

    def open(self, address: str) -> AbstractAsyncContextManager[JournalUnderTest]:
        """Open the journal as one more host, which answers at this address."""
        ...

    def stored(self, session: str) -> list[int]:
        """Return the numbers of a session's events that would outlive this process, in order."""
        ...

    def silence(self, host: str) -> None:
        """Let a host look as if it had not beaten for longer than it may."""
        ...


Check = Callable[[JournalRig], Awaitable[None]]
"""Asserts one promise."""

FIRST, SECOND = "/first.sock", "/second.sock"


class _Owner:
    """Writes to a session as its owner does: it numbers the events, and hears of their fate."""

    def __init__(self, record: Record, seq: int = 0) -> None:
        self.record = record
        self.id = record.session
        self.seq = seq
        self.shown: list[int] = []
        self.failures: list[Exception] = []
        record.begin(self.shown.append, self.failures.append)

    def add(self, *events: e.Event) -> None:
        for event in events:
            self.seq += 1
            stamped = e.stamp(event, seq=self.seq, session=self.id, turn=event.turn, time=1.0)
            self.record.append(stamped)

    async def write(self, *events: e.Event) -> None:
        """Add events, and wait until they are on disk."""
        self.add(*events)
        async with asyncio.timeout(PATIENCE_S):
            await self.record.written()


async def _begin(journal: JournalUnderTest, name: str = "fix", **more: Any) -> _Owner:
    """Make a session with one event, which says hello."""
    _, record = await journal.create(name, _options(), **more)
    owner = _Owner(record)
    await owner.write(e.Text(text="hello"))
    return owner


async def _take(journal: JournalUnderTest, session: str) -> tuple[_Owner, Past]:
    row, record, past = await journal.take(session)
    return _Owner(record, row.seq), past


def _options(**more: Any) -> Options:
    return Options.build(**{"agent": "fake", "cwd": Path("/"), **more})


def _texts(events: Sequence[e.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, e.Text)]


async def _error_of(call: Awaitable[object]) -> MidflightError | None:
    try:
        await call
    except MidflightError as error:
        return error
    return None


def _host(journal: JournalUnderTest) -> str:
    assert journal.host.id is not None
    return journal.host.id


# Events -------------------------------------------------------------------------------------


async def an_event_is_stored_before_it_is_shown(rig: JournalRig) -> None:
    """What ``shown`` reports is on disk by then, and each number comes once."""
    async with rig.open(FIRST) as journal:
        owner = _Owner((await journal.create("fix", _options()))[1])
        stored: list[tuple[int, list[int]]] = []
        owner.record.begin(
            lambda seq: stored.append((seq, rig.stored(owner.id))), owner.failures.append
        )
        await owner.write(e.Text(text="one"), e.Text(text="two"))
        await owner.write(e.Text(text="three"))
        assert [seq for seq, _ in stored] == sorted({seq for seq, _ in stored})
        assert stored[-1][0] == 3  # noqa: PLR2004 - as many as were written
        assert all(list(range(1, seq + 1)) == found[:seq] for seq, found in stored)


async def what_is_written_is_there_for_another_host(rig: JournalRig) -> None:
    """``written`` returns when all that was appended is on disk."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        for number in range(2, 12):
            await owner.write(e.Text(text="more"))
            assert rig.stored(owner.id) == list(range(1, number + 1))
        assert _texts(await other.events(owner.id)) == ["hello", *["more"] * 10]


async def events_come_back_in_order_and_as_they_were(rig: JournalRig) -> None:
    """Every field of an event is there again, with odd characters and deep values."""
    said: list[e.Event] = [
        e.SessionStarted(agent="fake", tools=("Bash",)),
        e.MessageAccepted(message="m", text="do\0it \U0001f600", delivery="steer"),
        e.TurnStarted(origin="message", messages=("m",), turn=1),
        e.MessageStarted(message="m", turn=1),
        e.ToolStarted(call="c", name="Bash", kind="execute", input={"command": "ls"}, turn=1),
        e.Raw(data={"deep": [1, 2.5, None, {"x": "y"}]}, turn=1),
    ]
    async with rig.open(FIRST) as journal:
        owner = _Owner((await journal.create("fix", _options()))[1])
        await owner.write(*said)
        assert await journal.events(owner.id) == [
            e.stamp(event, seq=seq, session=owner.id, turn=event.turn, time=1.0)
            for seq, event in enumerate(said, 1)
        ]


async def a_text_is_found_wherever_it_was_said(rig: JournalRig) -> None:
    """In whatever case and alphabet, the newest first, and nothing is found that nobody said."""
    async with rig.open(FIRST) as journal:
        owner, other = await _begin(journal), await _begin(journal)
        await owner.write(
            e.Thinking(text="HELLO, quoted"),
            e.Text(text='a "quoted" word, Ærø 100%'),
            e.ToolStarted(call="c", name="Bash", kind="execute", input={"command": "say héllo"}),
        )
        await other.write(e.Text(text="quoted elsewhere"))

        async def found(text: str, before: int | None = None, limit: int = 9) -> list[int]:
            async with asyncio.timeout(PATIENCE_S):
                hits = (await journal.search(owner.id, text, before, limit)).hits
            return [hit.seq for hit in hits]

        assert await found("hello") == [2, 1]
        assert await found("QUOTED") == [3, 2]
        assert await found('"quoted"') == await found("ærø") == await found("0%") == [3]
        assert await found("HÉLLO") == [4]
        assert await found("Thinking") == await found("0_") == await found("command") == []
        assert (await found("hello", before=2), await found("hello", limit=1)) == ([1], [2])
        assert await found("h" * 60_000) == []
        assert (await journal.search(owner.id, "hello", None, 1)).more
        assert not (await journal.search(owner.id, "hello", None, 2)).more


async def an_event_that_does_not_follow_is_refused(rig: JournalRig) -> None:
    """The numbers of a session's events have no gap, and no number comes twice."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        for seq in (None, 1, 3):
            try:
                owner.record.append(e.Text(text="x", seq=seq))
            except ValueError:
                continue
            raise AssertionError(seq)
        await owner.write(e.Text(text="next"))
        assert _texts(await journal.events(owner.id)) == ["hello", "next"]


async def a_reader_gets_exactly_what_it_missed(rig: JournalRig) -> None:
    """A page begins behind a number, a tail ends with the newest event."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        await owner.write(*(e.Text(text=str(n)) for n in range(9)))
        assert _texts(await journal.events(owner.id, after=3, limit=2)) == ["2", "3"]
        assert _texts(await journal.events(owner.id, after=8, limit=None)) == ["7", "8"]
        assert _texts(await journal.tail(owner.id, 2)) == ["7", "8"]
        assert await journal.events(owner.id, after=10) == []
        assert await journal.events("nobody") == []


async def many_sessions_that_write_at_once_stay_gapless(rig: JournalRig) -> None:
    """In one host and in two, nothing is lost and nothing comes between."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owners = [await _begin(host) for host in (journal, other) for _ in range(10)]
        for number in range(50):
            for owner in owners:
                owner.add(e.Text(text=str(number)))
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(owner.record.written() for owner in owners))
        for owner in owners:
            events = await journal.events(owner.id)
            assert [event.seq for event in events] == list(range(1, 52))
            assert _texts(events)[1:] == [str(number) for number in range(50)]


async def a_closed_record_has_written_what_it_had(rig: JournalRig) -> None:
    """Closing writes the rest, and closing again does nothing."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        owner.add(e.Text(text="last"))
        await owner.record.close()
        await owner.record.close()
        assert _texts(await journal.events(owner.id)) == ["hello", "last"]


async def a_record_that_was_given_up_writes_nothing_more(rig: JournalRig) -> None:
    """After ``fail`` every wait ends with the error, and nothing that comes later is stored."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        owner.record.fail(ValueError("given up"))
        owner.add(e.Text(text="comes later"))
        error = await _error_of(owner.record.written())
        assert isinstance(error, StoreFailed)
        assert "given up" in str(error)
        assert owner.failures == [error]
        await owner.record.close()
        assert _texts(await journal.events(owner.id)) == ["hello"]


# Leases -------------------------------------------------------------------------------------


async def a_lease_excludes_a_second_owner(rig: JournalRig) -> None:
    """Another host is refused, and told who has the session."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        error = await _error_of(other.take(owner.id))
        assert isinstance(error, LeaseHeld)
        assert FIRST in str(error)
        assert _host(journal) in error.owner


async def a_session_is_taken_once_at_a_time(rig: JournalRig) -> None:
    """Also within one host, and the second is refused at once."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        assert isinstance(await _error_of(journal.take(owner.id)), LeaseHeld)
        await owner.record.close()
        taken = await asyncio.gather(*(_error_of(journal.take(owner.id)) for _ in range(3)))
        assert sorted(isinstance(error, LeaseHeld) for error in taken) == [False, True, True]


async def a_closed_record_gives_the_lease_back(rig: JournalRig) -> None:
    """Any host may take the session then, and goes on with the next number."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        await owner.record.close()
        again, past = await _take(other, owner.id)
        await again.write(e.Text(text="more"))
        assert _texts(past.events) == ["hello"]
        assert again.seq == len(past.events) + 1
        assert [event.seq for event in await journal.events(owner.id)] == [1, 2]
        (row,) = await journal.sessions()
        assert (row.host, row.address) == (other.host.id, SECOND)


async def a_host_that_leaves_gives_every_lease_back(rig: JournalRig) -> None:
    """Its sessions are free at once, whatever was open in them."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owners = [await _begin(journal), await _begin(journal)]
        await journal.host.leave()
        for owner in owners:
            await other.take(owner.id)


async def a_stale_owner_can_write_nothing_more(rig: JournalRig) -> None:
    """A host that hung too long is fenced off; its other sessions and the new owner are not."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        stale, kept = await _begin(journal), await _begin(journal)
        rig.silence(_host(journal))
        new, _ = await _take(other, stale.id)
        stale.add(e.Text(text="too late"))
        await kept.write(e.Text(text="still mine"))
        await new.write(e.Text(text="the new owner's"))
        lost = await _error_of(stale.record.written())
        assert isinstance(lost, LeaseLost)
        assert SECOND in str(lost)
        assert stale.failures == [lost]
        assert _texts(await other.events(stale.id)) == ["hello", "the new owner's"]
        await stale.record.close()  # gives back nothing that is not its own
        held = await _error_of(journal.take(stale.id))
        assert isinstance(held, LeaseHeld)
        assert SECOND in str(held)


async def a_stale_owner_does_not_resume_with_what_others_wrote(rig: JournalRig) -> None:
    """It stood still between taking a session and reading it, and was taken for dead."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        stale = await _begin(journal)
        rig.silence(_host(journal))
        new, _ = await _take(other, stale.id)
        await new.write(e.Text(text="the new owner's"))
        assert (await other.past_of(new.record)).events[-1].seq == new.record.last_seq
        assert isinstance(await _error_of(journal.past_of(stale.record)), LeaseLost)


async def an_idle_stale_owner_learns_of_it_by_its_beat(rig: JournalRig) -> None:
    """What has nothing to write would not hear of its loss otherwise."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        stale, kept = await _begin(journal), await _begin(journal)
        rig.silence(_host(journal))
        await other.take(stale.id)
        await journal.host.beat()
        (lost,) = stale.failures
        assert isinstance(lost, LeaseLost)
        assert SECOND in lost.message
        await kept.write(e.Text(text="still mine"))
        assert kept.failures == []


async def what_an_agent_remembers_is_there_for_the_next_owner(rig: JournalRig) -> None:
    """In order and part by part; a stale owner adds nothing. A journal may keep none of it."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        if await owner.record.recall() is None:
            return
        owner.record.remember("a", ["1", "\ud83d\0"])
        owner.record.remember("b", ["x"])
        owner.record.remember("gone", ["x"])
        owner.record.remember("b", ["y", "z"], anew=True)
        owner.record.remember("a", ["3"])
        owner.record.remember("gone", [], anew=True)
        await owner.write(e.Text(text="said"))
        known = {"a": ("1", "?\N{REPLACEMENT CHARACTER}", "3"), "b": ("y", "z")}
        assert await owner.record.recall() == known
        rig.silence(_host(journal))
        new, _ = await _take(other, owner.id)
        assert await new.record.recall() == known
        owner.record.remember("a", ["too late"])
        assert isinstance(await _error_of(owner.record.written()), LeaseLost)
        new.record.remember("a", ["4"])
        await new.record.written()
        assert await new.record.recall() == {**known, "a": (*known["a"], "4")}


async def a_host_that_beats_keeps_its_sessions(rig: JournalRig) -> None:
    """A beat in time is enough, however long there was none."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        rig.silence(_host(journal))
        await journal.host.beat()
        assert isinstance(await _error_of(other.take(owner.id)), LeaseHeld)


async def a_session_that_was_cut_is_found(rig: JournalRig) -> None:
    """``orphaned`` names the sessions of a dead host, until each has been taken."""
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = await _begin(journal)
        recovered = await _begin(journal)
        recovered.record.note(Summary(status="idle"))
        await recovered.record.close()
        assert await other.orphaned() == []
        rig.silence(_host(journal))
        assert await other.orphaned() == [owner.id]
        await other.take(owner.id)
        assert await other.orphaned() == []


# Sessions -----------------------------------------------------------------------------------


async def the_past_brings_the_state_back(rig: JournalRig) -> None:
    """Its events fold to the same state, and it tells which messages the agent may have read."""
    accepted = [
        e.MessageAccepted(message="a", text="first", delivery="steer"),
        e.MessageAccepted(message="b", text="second", delivery="queue"),
        e.MessageAccepted(message="c", text="third", delivery="queue"),
    ]
    started: list[e.Event] = [
        e.TurnStarted(origin="message", messages=("a",), turn=1),
        e.MessageStarted(message="a", turn=1),
        e.PermissionRequested(request="p", call="c", name="Bash", input={}, turn=1),
    ]
    async with rig.open(FIRST) as journal, rig.open(SECOND) as other:
        owner = _Owner((await journal.create("fix", _options()))[1])
        owner.add(*accepted)
        for message in ("a", "b", "c"):
            owner.record.handed(message)
        owner.record.handed("c", back=True)
        await owner.write()
        assert (await journal.past(owner.id)).handed == {"a", "b"}
        await owner.write(*started)
        await owner.record.close()
        again, past = await _take(other, owner.id)
        assert past.handed == {"b"}
        assert [event.seq for event in past.recent] == list(
            range(past.whole_after + 1, again.seq + 1)
        )
        state = State()
        for event in past.events:
            state.apply(event)
        assert [entry.id for entry in state.outbox.waiting()] == ["b", "c"]
        assert list(state.requests.pending) == ["p"]
        assert (state.status, state.turns) == ("waiting", 1)


async def the_same_id_is_no_second_session(rig: JournalRig) -> None:
    """While there is an owner the lease is held; afterwards the session itself is in the way."""
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal, id="the-id")
        again = journal.create("fix", _options(), id="the-id")
        assert isinstance(await _error_of(again), LeaseHeld)
        await owner.record.close()
        again = journal.create("fix", _options(), id="the-id")
        error = await _error_of(again)
        assert isinstance(error, Conflict)
        assert "the-id" in str(error)
        assert [(row.id, row.name) for row in await journal.sessions()] == [("the-id", "fix")]


async def a_session_without_an_event_is_not_there(rig: JournalRig) -> None:
    """It is in no list when its owner has gone, and its id and its name are free."""
    async with rig.open(FIRST) as journal:
        _, record = await journal.create("fix", _options(model="old"), id="the-id")
        await record.close()
        assert await journal.sessions() == []
        row, _ = await journal.create("fix", _options(model="new"), id="the-id")
        assert (row.name, row.model, row.seq) == ("fix", "new", 0)


async def lists_show_the_newest_summary(rig: JournalRig) -> None:
    """Only the last of the notes counts, and it is there when ``written`` returns."""
    newest = Summary(
        status="waiting",
        turns=2,
        total_cost_usd=None,
        known_usd=0.25,
        model="sonnet",
        permission_mode="plan",
        agent_session="conversation",
        last="asks you",
        pending=("p",),
        turn_started=7.5,
        kept=True,
        cwd="/srv/shop",
        repository=RepositoryInfo(remote="git@host.example:shop.git", commit="5e" * 20),
    )
    async with rig.open(FIRST) as journal:
        owner = await _begin(journal)
        owner.record.note(Summary(status="running", turns=1))
        owner.record.note(newest)
        await owner.write()
        (row,) = await journal.sessions()
        fields = {n: getattr(row, n) for n in Summary.__struct_fields__ if n != "kept"}
        assert Summary(**fields, kept=row.kept_on is not None) == newest
        owner.record.note(Summary(status="idle"))
        await owner.write()
        assert (await journal.sessions())[0].kept_on == row.kept_on
        owner.record.note(Summary(status="idle", kept=False))
        await owner.write()
        assert (await journal.sessions())[0].kept_on is None


async def a_removed_session_is_gone(rig: JournalRig) -> None:
    """With all its events, but not while it has an owner; and no other session with it."""
    async with rig.open(FIRST) as journal:
        owner, kept = await _begin(journal), await _begin(journal)
        assert isinstance(await _error_of(journal.remove(owner.id)), LeaseHeld)
        await owner.record.close()
        await journal.remove(owner.id)
        assert await journal.events(owner.id) == []
        assert [row.id for row in await journal.sessions()] == [kept.id]
        assert isinstance(await _error_of(journal.remove(owner.id)), NotFound)
        assert isinstance(await _error_of(journal.take(owner.id)), NotFound)


CHECKS: tuple[Check, ...] = (
    an_event_is_stored_before_it_is_shown,
    what_is_written_is_there_for_another_host,
    events_come_back_in_order_and_as_they_were,
    a_text_is_found_wherever_it_was_said,
    an_event_that_does_not_follow_is_refused,
    a_reader_gets_exactly_what_it_missed,
    many_sessions_that_write_at_once_stay_gapless,
    a_closed_record_has_written_what_it_had,
    a_record_that_was_given_up_writes_nothing_more,
    a_lease_excludes_a_second_owner,
    a_session_is_taken_once_at_a_time,
    a_closed_record_gives_the_lease_back,
    a_host_that_leaves_gives_every_lease_back,
    a_stale_owner_can_write_nothing_more,
    a_stale_owner_does_not_resume_with_what_others_wrote,
    an_idle_stale_owner_learns_of_it_by_its_beat,
    what_an_agent_remembers_is_there_for_the_next_owner,
    a_host_that_beats_keeps_its_sessions,
    a_session_that_was_cut_is_found,
    the_past_brings_the_state_back,
    the_same_id_is_no_second_session,
    a_session_without_an_event_is_not_there,
    lists_show_the_newest_summary,
    a_removed_session_is_gone,
)
"""Every promise; each check wants a rig of its own."""

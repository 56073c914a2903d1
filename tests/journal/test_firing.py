"""Schedules in the journal: each run is begun once, and what was not begun is said."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.journal.conftest import Hosts
from tests.support.journal import Program, add, options, rows, silence, text
from tests.support.schedules import DAY, DUE, Begins, Clock, daily

from midflight import events as e
from midflight.client.client import connect
from midflight.client.scheduled import RunStarter
from midflight.errors import AgentUnavailable, Conflict, HostGone, InvalidInput, NotFound
from midflight.info import RunInfo
from midflight.journal import Journal
from midflight.schedules.cron import next_run
from midflight.schedules.firing import Firing
from midflight.schedules.making import pause, resume
from midflight.schedules.rules import LATE_S


async def history(journal: Journal, name: str = "morning") -> list[tuple[str, int, float]]:
    """Return what has become of the runs: the state, how many were missed, and when it was due."""
    found = await journal.schedules.find(name)
    return [(run.state, run.missed, run.due) for run in await journal.schedules.runs(found.id, 9)]


async def look(firing: Firing) -> None:
    """Have it begin what is due, and wait until it has."""
    await firing.look()
    await firing.settled()


async def test_run_is_begun_once_by_all_who_fire(where: str, open_host: Hosts) -> None:
    journals = await asyncio.gather(*(open_host(where, "") for _ in range(4)))
    await journals[0].schedules.add(daily())
    begins = Begins()
    firings = [Firing(journal, begins, Clock()) for journal in journals]

    await asyncio.gather(*(look(firing) for firing in firings))
    await asyncio.gather(*(look(firing) for firing in firings))

    assert len(begins.runs) == 1
    assert await history(journals[0]) == [("begun", 0, DUE)]
    assert (await journals[1].schedules.find("morning")).next == DUE + DAY


async def test_machine_whose_clock_is_ahead_fires_nothing_early(
    server: str, open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server's clock is the one on which all machines agree."""
    journal, right, begins = await open_host(server), time.time, Begins()
    await journal.schedules.add(daily(next=right() + 1800))
    monkeypatch.setattr("time.time", lambda: right() + 3600)

    await look(Firing(journal, begins))
    assert (begins.runs, await history(journal)) == ([], [])


async def test_runs_that_nobody_fired_are_said_and_not_made_up_for(journal: Journal) -> None:
    await journal.schedules.add(daily())
    begins, clock = Begins(), Clock(DUE + 2 * DAY + 3600)

    await look(Firing(journal, begins, clock))

    assert (begins.runs, await history(journal)) == ([], [("missed", 3, DUE)])
    clock.now = DUE + 3 * DAY
    await look(Firing(journal, begins, clock))
    assert await history(journal) == [("begun", 0, DUE + 3 * DAY), ("missed", 3, DUE)]


async def test_begin_that_fails_is_said_and_the_next_run_comes(journal: Journal) -> None:
    await journal.schedules.add(daily())
    clock = Clock()

    await look(Firing(journal, Begins(AgentUnavailable("it is gone", "install it")), clock))
    found = await journal.schedules.find("morning")
    assert found.last is not None
    assert (found.last.state, found.last.note) == ("failed", "it is gone (install it)")

    clock.now += DAY
    await look(Firing(journal, Begins(RuntimeError("s3cret\0")), clock))
    [last, _] = await journal.schedules.runs(found.id, 9)
    assert (last.state, last.note) == ("failed", "unexpected RuntimeError")


async def test_schedule_that_cannot_be_read_here_keeps_no_other_one(journal: Journal) -> None:
    await journal.schedules.add(daily("mars", zone="Mars/Olympus"))
    await journal.schedules.add(daily())
    begins = Begins()

    await look(Firing(journal, begins, Clock()))

    mars = await journal.schedules.find("mars")
    assert (mars.next, await history(journal)) == (None, [("begun", 0, DUE)])
    assert mars.last is not None
    assert "'Mars/Olympus' is no time zone that is known here" in mars.last.note
    with pytest.raises(InvalidInput):
        await resume(journal.schedules, mars)


async def test_schedule_with_what_a_newer_midflight_knows_says_so(tmp_path: Path) -> None:
    newer = daily(options={"agent": "fake", "cwd": "/", "telepathy": 7})
    run = RunInfo(id="r", schedule=newer.id, due=DUE, state="starting")
    with pytest.raises(Conflict, match=r"a newer midflight has begun it.*: telepathy"):
        await RunStarter(connect(tmp_path))(newer, run)


async def test_run_is_skipped_while_the_one_before_is_at_work(journal: Journal) -> None:
    """Also where its begin got no answer."""
    await journal.schedules.add(daily())
    begins, clock = Begins(HostGone("it does not answer")), Clock()
    await look(Firing(journal, begins, clock))
    _, record = await journal.create("morning-1", options(), id=begins.runs[0])
    record.begin(lambda seq: None, lambda error: None)
    add(record, text(record))
    await record.written()

    for _ in range(2):
        clock.now += DAY
        await look(Firing(journal, begins, clock))

    found = await journal.schedules.find("morning")
    assert found.last is not None
    assert (found.last.state, found.last.note) == ("skipped", "morning-1 is still starting")
    assert [state for state, *_ in await history(journal)] == ["skipped", "skipped", "begun"]
    assert len(begins.runs) == 1


async def test_history_tells_what_the_session_has_come_to(journal: Journal) -> None:
    """Also of a run whose begin got no answer: if its session is there, it has begun."""
    await journal.schedules.add(daily())
    begins = Begins(HostGone("it does not answer"))
    await look(Firing(journal, begins, Clock()))
    _, record = await journal.create("morning-1", options(), id=begins.runs[0])
    record.begin(lambda seq: None, lambda error: None)
    add(record, e.TurnEnded(turn=1, status="completed", reason="end_turn"))
    add(record, e.TurnEnded(turn=2, status="limit", reason="max_turns"), e.Text(text="more"))
    await record.written()

    found = await journal.schedules.find("morning")
    assert found.last is not None
    assert (found.last.state, found.last.note) == ("begun", "")
    assert (found.last.session, found.last.outcome) == ("morning-1", "limit")
    assert (found.last.reason, found.last.total_cost_usd) == ("max_turns", 0.0)
    await record.close()
    await journal.remove(begins.runs[0])
    [run] = await journal.schedules.runs(found.id, 9)
    assert (run.state, run.session, run.status) == ("failed", "", None)


async def test_paused_schedule_rests_and_misses_nothing(journal: Journal) -> None:
    store = journal.schedules
    await store.add(daily(cron="0 7 29 2 *", next=time.time() - 1))  # a leap day is not today
    await pause(store, await store.find("morning"))
    begins = Begins()

    await look(Firing(journal, begins))
    await resume(store, await store.find("morning"))
    await look(Firing(journal, begins))

    found = await store.find("morning")
    assert found.next == next_run(found.cron, "UTC", time.time())
    assert (found.paused, begins.runs, await history(journal)) == (False, [], [])


async def test_schedule_that_is_removed_takes_its_history_along(
    where: str, journal: Journal
) -> None:
    await journal.schedules.add(daily())
    await journal.schedules.add(daily("evening"))
    begins = Begins()
    await look(Firing(journal, begins, Clock()))

    await journal.schedules.remove((await journal.schedules.find("morning")).id)

    assert [each.name for each in await journal.schedules.all()] == ["evening"]
    assert len(begins.runs) == 2
    assert len(rows(where, "SELECT id FROM schedule_runs")) == 1


async def test_history_keeps_the_newest_runs(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.schedules.KEPT_RUNS", 2)
    await journal.schedules.add(daily())
    clock = Clock()
    for _ in range(4):
        await look(Firing(journal, Begins(), clock))
        clock.now += DAY
    assert [due for *_, due in await history(journal)] == [DUE + 3 * DAY, DUE + 2 * DAY]


async def test_name_is_found_by_its_beginning_and_taken_once(journal: Journal) -> None:
    store = journal.schedules
    for name in ("morning", "mor", "100%"):
        await store.add(daily(name))
    with pytest.raises(Conflict, match="there is a schedule morning"):
        await store.add(daily())
    assert (await store.find("mor")).name == "mor"
    assert (await store.find("morn")).name == "morning"
    assert (await store.find("100")).name == "100%"
    with pytest.raises(Conflict, match="mor, morning"):
        await store.find("mo")
    for nothing in ("", "%", "evening"):
        with pytest.raises(NotFound):
            await store.find(nothing)


# A process that ends in the middle ----------------------------------------------------------


async def cut(where: str, open_host: Hosts) -> tuple[Journal, RunInfo]:
    """Have a host claim a run and hang; return the journal of another one, and the run."""
    hung, other = await open_host(where, ""), await open_host(where, "")
    await hung.schedules.add(daily())

    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    firing = Firing(hung, hang, Clock())
    await firing.look()
    [run] = await other.schedules.runs((await other.schedules.find("morning")).id, 9)
    assert run.state == "starting"
    silence(where, hung.host.id)
    return other, run


async def test_run_of_a_host_that_hangs_is_begun_by_another(where: str, open_host: Hosts) -> None:
    other, run = await cut(where, open_host)
    begins = Begins()
    await look(Firing(other, begins, Clock(DUE + LATE_S)))
    assert (begins.runs, await history(other)) == ([run.id], [("begun", 0, DUE)])


async def test_run_that_was_cut_is_said_when_it_is_too_late(where: str, open_host: Hosts) -> None:
    other, _ = await cut(where, open_host)
    begins = Begins()
    await look(Firing(other, begins, Clock(DUE + LATE_S + 1)))
    assert (begins.runs, await history(other)) == ([], [("failed", 0, DUE)])


async def test_host_that_wakes_up_does_not_overrule_the_other(where: str, open_host: Hosts) -> None:
    hung, other = await open_host(where, ""), await open_host(where, "")
    await hung.schedules.add(daily())
    woken = asyncio.Event()

    async def wake(*_: object) -> None:
        await woken.wait()
        raise AgentUnavailable("too late")

    firing, taken, goes_on = Firing(hung, wake, Clock()), asyncio.Event(), asyncio.Event()

    async def take(*_: object) -> None:
        taken.set()
        await goes_on.wait()

    await firing.look()
    silence(where, hung.host.id)
    taking = Firing(other, take, Clock())
    await taking.look()
    await taken.wait()
    woken.set()
    await firing.settled()
    assert await history(other) == [("starting", 0, DUE)]
    goes_on.set()
    await taking.settled()
    assert await history(other) == [("begun", 0, DUE)]


async def test_run_of_a_host_that_lives_is_left_to_it(where: str, open_host: Hosts) -> None:
    one, other = await open_host(where, ""), await open_host(where, "")
    await one.schedules.add(daily())
    go, begins = asyncio.Event(), Begins()

    async def wait(*_: object) -> None:
        await go.wait()

    firing = Firing(one, wait, Clock())
    await firing.look()
    await firing.look()
    await look(Firing(other, begins, Clock()))
    go.set()
    await firing.settled()
    assert (begins.runs, await history(other)) == ([], [("begun", 0, DUE)])


async def test_run_is_begun_once_though_who_began_it_was_killed(
    tmp_path: Path, open_host: Hosts
) -> None:
    journal = await open_host(tmp_path / "state", "")
    await journal.schedules.add(daily())
    program = await Program.start("firing.py", tmp_path / "state", str(DUE))
    begun = await program.line()
    assert begun
    await program.kill()

    begins = Begins()
    await look(Firing(journal, begins, Clock(DUE + 5)))

    assert (begins.runs, await history(journal)) == ([begun], [("begun", 0, DUE)])


# While it runs ------------------------------------------------------------------------------


async def test_schedule_is_fired_when_its_time_comes(tmp_path: Path, open_host: Hosts) -> None:
    journal = await open_host(tmp_path / "state", "")
    begins = Begins()
    firing = Firing(journal, begins)
    await journal.schedules.add(daily(next=time.time() + 0.3))
    running = asyncio.create_task(firing.run())
    async with asyncio.timeout(30):
        await begins.called.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert len(begins.runs) == 1


async def test_journal_tells_whether_anybody_fires(where: str, open_host: Hosts) -> None:
    journal = await open_host(where)
    assert not await journal.schedules.is_fired()
    async with Journal(where, state=Path(journal.socket_path()).parent) as serving:
        await serving.host.register("", fires=True)
        assert await journal.schedules.is_fired()
        silence(where, serving.host.id)
        assert not await journal.schedules.is_fired()

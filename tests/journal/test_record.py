from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.events import texts
from tests.support.journal import add, begin, options, rows, sql, text

from midflight import events as e
from midflight.errors import Conflict, InvalidInput, InvalidOption, LeaseHeld, NotFound, StoreFailed
from midflight.journal import Journal
from midflight.journal.base import Record, Summary


async def test_journal_record_is_a_record(journal: Journal) -> None:
    row, record = await journal.create("fix", options())

    port: Record = record

    assert port.session == row.id


async def test_written_returns_at_once_when_nothing_is_outstanding(journal: Journal) -> None:
    record = await begin(journal)

    waiting = record.written()
    with pytest.raises(StopIteration):
        waiting.send(None)


async def test_written_waits_for_every_group(
    where: str, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.writer.GROUP", 1)  # each in a transaction of its own
    record = await begin(journal)

    for n in range(2, 12):
        add(record, e.Text(text="x"), e.Text(text="y"))
        await record.written()
        assert rows(where, "SELECT max(seq) FROM events") == [(2 * n - 1,)]


async def test_gap_on_disk_stops_only_its_own_session(where: str, journal: Journal) -> None:
    broken, sound = await begin(journal), await begin(journal)
    add(broken, e.Text(text="lost"))
    await broken.written()
    sql(where, "DELETE FROM events WHERE seq = 2")
    sql(where, "UPDATE sessions SET seq = 1 WHERE seq = 2")

    add(broken, e.Text(text="x"))
    add(sound, e.Text(text="y"))

    await sound.written()
    with pytest.raises(StoreFailed, match="number 3 cannot follow"):
        await broken.written()
    assert len(await journal.events(broken.session)) == 1


async def test_event_that_no_database_takes_does_not_spoil_the_group(journal: Journal) -> None:
    broken, sound = await begin(journal), await begin(journal)
    failures: list[Exception] = []
    broken.begin(lambda seq: None, failures.append)

    broken.handed("\ud800")
    add(broken, e.Text(text="never"))
    add(sound, e.Text(text="there"))

    await sound.written()
    with pytest.raises(StoreFailed):
        await broken.written()
    assert texts(await journal.events(sound.session)) == ["hello", "there"]
    assert texts(await journal.events(broken.session)) == ["hello"]
    assert [type(failure) for failure in failures] == [StoreFailed]


async def test_half_a_character_is_written_as_a_question_mark(journal: Journal) -> None:
    record = await begin(journal)

    add(record, e.Text(text="half \ud83d of it \N{GRINNING FACE}"))
    record.note(Summary(status="idle", last="half \ud83d of\0 it"))
    await record.written()

    assert texts(await journal.events(record.session))[1:] == ["half ? of it \N{GRINNING FACE}"]
    (row,) = await journal.sessions()
    assert row.last == "half ? of\ufffd it"


async def test_callback_that_raises_does_not_stop_the_others(
    journal: Journal,
) -> None:
    loop = asyncio.get_running_loop()
    told: list[object] = []
    loop.set_exception_handler(lambda loop, context: told.append(context["exception"]))
    first, second = await begin(journal), await begin(journal)

    def fail(seq: int) -> None:
        raise RuntimeError

    first.begin(fail, lambda error: None)
    second.begin(told.append, lambda error: None)
    add(first, e.Text(text="x"))
    add(second, e.Text(text="y"))
    async with asyncio.timeout(60):
        await second.written()

    assert any(isinstance(one, RuntimeError) for one in told)
    assert 2 in told


async def test_message_row_follows_the_message_to_its_end(where: str, journal: Journal) -> None:
    _, record = await journal.create("fix", options())
    add(
        record,
        e.MessageAccepted(message="a", text="first", delivery="steer"),
        e.MessageAccepted(message="b", text="second", delivery="queue"),
        e.MessageAccepted(message="c", text="third", delivery="queue"),
        e.MessageChanged(message="b", text="better", delivery="steer"),
    )
    record.handed("a")
    record.handed("b")
    record.handed("c")
    record.handed("c", back=True)
    await record.written()

    past = await journal.past(record.session)
    assert past.handed == {"a", "b"}

    add(
        record,
        e.MessageStarted(message="a", turn=1),
        e.MessageSteered(message="b", turn=1),
        e.MessageAnswered(message="a", turn=1),
        e.MessageCancelled(message="c", reason="interrupted"),
    )
    await record.written()

    query = "SELECT id, state, turn, reason, delivery, said FROM messages ORDER BY id"
    assert rows(where, query) == [
        ("a", "answered", 1, "", "steer", 1),
        ("b", "steered", 1, "", "steer", 4),
        ("c", "cancelled", None, "interrupted", "queue", 3),
    ]
    assert (await journal.past(record.session)).handed == set()


async def test_past_leaves_out_old_events_without_state(journal: Journal) -> None:
    _, record = await journal.create("fix", options())
    started = e.TurnStarted(turn=1, origin="message", messages=("a",))
    add(record, e.MessageAccepted(message="a", text="x", delivery="steer"), started)
    add(record, *(e.Text(turn=1, text=str(n)) for n in range(2500)))
    add(record, e.TurnEnded(turn=1, status="completed", reason="end_turn"))
    add(record, e.TurnStarted(turn=2, origin="background"))
    add(record, *(e.Text(turn=2, text=str(n)) for n in range(10)))
    await record.written()

    past = await journal.past(record.session)

    assert past.whole_after == 2514 - 2000
    assert [event.type for event in past.events[:2]] == ["message.accepted", "turn.started"]
    assert [event.seq for event in past.events[2:]] == list(range(515, 2515))


async def test_past_has_the_whole_turn_that_was_cut(journal: Journal) -> None:
    _, record = await journal.create("fix", options())
    add(record, *(e.Text(turn=1, text=str(n)) for n in range(2500)))
    await record.written()

    assert len((await journal.past(record.session)).events) == 2500


async def test_request_row_holds_the_answer_that_stands(where: str, journal: Journal) -> None:
    _, record = await journal.create("fix", options())
    add(
        record,
        e.PermissionRequested(request="p", call="c", name="Bash", input={}),
        e.QuestionRequested(request="q", questions=()),
        e.PermissionRequested(request="w", call="d", name="Bash", input={}),
        e.PermissionResolved(request="p", decision="deny", by="deadline"),
        e.QuestionResolved(request="q", answers={"which?": "B"}, by="user"),
    )
    await record.written()

    assert rows(where, "SELECT id, state, by, asked FROM requests ORDER BY asked") == [
        ("p", "deny", "deadline", 1),
        ("q", "answered", "user", 2),
        ("w", "pending", "", 3),
    ]


async def test_id_of_an_ended_message_may_come_again(where: str, journal: Journal) -> None:
    _, record = await journal.create("fix", options())
    accepted = e.MessageAccepted(message="a", text="x", delivery="steer")
    add(record, accepted, e.MessageFailed(message="a", reason="agent_died"))
    await record.written()

    add(record, accepted)
    await record.written()

    assert rows(where, "SELECT state, said FROM messages") == [("accepted", 3)]


@pytest.mark.parametrize("id", ["", "a/b", "../x", "a b", "x" * 65, "ä", "a\0"])
async def test_session_id_that_could_be_a_path_is_refused(
    tmp_path: Path, open_host: Hosts, id: str
) -> None:
    journal = await open_host(tmp_path / "state")

    with pytest.raises(InvalidInput, match="cannot be the id"):
        await journal.create("fix", options(), id=id)


async def test_removed_session_leaves_no_row(where: str, journal: Journal) -> None:
    record, kept = await begin(journal), await begin(journal)
    add(
        record,
        e.MessageAccepted(message="a", text="x", delivery="steer"),
        e.PermissionRequested(request="p", call="c", name="Bash", input={}),
    )
    with pytest.raises(LeaseHeld):
        await journal.remove(record.session)
    await record.close()

    await journal.remove(record.session)

    for query in (
        "SELECT session FROM events",
        "SELECT session FROM messages",
        "SELECT session FROM requests",
        "SELECT session FROM leases",
    ):
        assert (record.session,) not in rows(where, query)
    assert [row.id for row in await journal.sessions()] == [kept.session]
    with pytest.raises(NotFound):
        await journal.remove(record.session)


async def test_closed_journal_fails_instead_of_hanging(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "state")
    await journal.open()
    await journal.host.register("")
    record = await begin(journal)
    failed = asyncio.get_running_loop().create_future()
    record.begin(lambda seq: None, failed.set_result)
    add(record, e.Text(text="in time"))
    await journal.close()
    await journal.close()

    record.append(text(record))

    async with asyncio.timeout(60):
        assert isinstance(await failed, StoreFailed)
        with pytest.raises(StoreFailed, match="closed"):
            await record.written()
        with pytest.raises(StoreFailed, match="closed"):
            await journal.host.beat()
        await record.close()
    connection = sqlite3.connect(tmp_path / "state" / "journal.sqlite")
    assert connection.execute("SELECT count(*) FROM events").fetchone() == (2,)
    connection.close()


async def test_journal_whose_disk_hangs_closes_after_a_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.writer.CLOSE_S", 0.1)
    journal = Journal(tmp_path / "state")
    await journal.open()
    await journal.host.register("")
    record = await begin(journal)
    blocker = sqlite3.connect(tmp_path / "state" / "journal.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    add(record, e.Text(text="waits"))

    async with asyncio.timeout(60):
        with pytest.raises(StoreFailed, match="has not answered"):
            await journal.close()

    blocker.execute("ROLLBACK")
    blocker.close()
    async with asyncio.timeout(60):
        await record.written()  # the thread goes on when it can, and ends
    monkeypatch.undo()
    await journal.close()


async def test_session_that_was_given_up_does_not_write_what_waits(
    tmp_path: Path, open_host: Hosts
) -> None:
    journal = await open_host(tmp_path / "state")
    record = await begin(journal)
    blocker = sqlite3.connect(tmp_path / "state" / "journal.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    blocking = asyncio.ensure_future(journal.host.beat())  # it has the writer wait for the file
    add(record, e.Text(text="waits"))

    record.fail(ValueError("given up"))
    add(record, e.Text(text="comes later"))

    with pytest.raises(StoreFailed, match="given up"):
        await record.written()
    blocker.close()
    await blocking
    await record.close()
    assert texts(await journal.events(record.session)) == ["hello"]


async def test_hanging_disk_is_not_waited_for_to_give_a_session_back(
    tmp_path: Path, open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.journal.lease.GIVE_BACK_S", 0.1)
    journal = await open_host(tmp_path / "state")
    record = await begin(journal)
    blocker = sqlite3.connect(tmp_path / "state" / "journal.sqlite", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")

    async with asyncio.timeout(60):
        await record.close()
        await journal.host.leave()

    blocker.close()


async def test_cancelled_wait_disturbs_no_other(journal: Journal) -> None:
    record = await begin(journal)
    add(record, e.Text(text="x"))
    waiting = [
        asyncio.ensure_future(record.written()),
        asyncio.ensure_future(journal.host.beat()),
        asyncio.ensure_future(journal.sessions()),
    ]
    await asyncio.wait(waiting, timeout=0)
    for one in waiting:
        one.cancel()
    await asyncio.wait(waiting)

    add(record, e.Text(text="y"))
    await record.written()
    await journal.host.beat()
    assert len(await journal.events(record.session)) == 3


async def test_server_that_cuts_its_connections_is_asked_again(
    where: str, journal: Journal
) -> None:
    if not where.startswith("postgresql"):
        pytest.skip("a file has no server")
    record = await begin(journal)
    rows(
        where,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND query ~ 'leases'",
    )

    add(record, e.Text(text="on"))
    await record.written()

    assert texts(await journal.events(record.session)) == ["hello", "on"]


async def test_only_a_host_can_own_sessions(tmp_path: Path) -> None:
    async with Journal(tmp_path / "state") as journal:
        with pytest.raises(Conflict, match="register"):
            await journal.create("fix", options())


@fault("S4")
async def test_password_of_a_server_is_in_no_error(tmp_path: Path) -> None:
    url = f"postgresql://me:very-secret@/db?host={tmp_path}/nowhere"

    with pytest.raises(StoreFailed, match="me@") as failed:
        await Journal(url, state=tmp_path / "state").open()

    assert "very-secret" not in str(failed.value)


@pytest.mark.parametrize("url", ["mysql://x/y", "sqlite:///x", "no-such://x", "://"])
async def test_address_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidOption, match="journal: "):
        await Journal(url, state=tmp_path / "state").open()


@fault("S4")
async def test_secret_values_are_never_on_disk(tmp_path: Path, open_host: Hosts) -> None:
    folder = tmp_path / "state"
    journal = await open_host(folder)
    await begin(
        journal,
        env={"TOKEN": "very-secret"},
        mcp_servers={
            "a": {"command": "x", "env": {"KEY": "very-secret"}},
            "b": {"type": "http", "url": "http://x", "headers": {"Authorization": "very-secret"}},
        },
    )
    await journal.close()

    assert b"TOKEN" in (folder / "journal.sqlite").read_bytes()
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert [path for path in files if b"very-secret" in path.read_bytes()] == []

from __future__ import annotations

from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.journal import add, begin, options, sql

from midflight import events as e
from midflight.errors import Conflict, NotFound
from midflight.journal import Journal, SessionRow
from midflight.journal.base import Summary
from midflight.journal.history import LONG_CHARS, PAGE_CHARS
from midflight.values import SessionStatus


def _names(rows: list[SessionRow]) -> list[str]:
    return [row.name for row in rows]


async def test_newest_session_comes_first(where: str, journal: Journal) -> None:
    for name in ("a", "b", "c"):
        await begin(journal, name)
    sql(where, "UPDATE sessions SET created = 99999999999 WHERE name LIKE '%b'")

    assert _names(await journal.sessions(limit=1)) == ["b"]
    assert sorted(_names(await journal.sessions())) == ["a", "b", "c"]


async def test_list_can_be_of_one_status_folder_or_parent(journal: Journal, tmp_path: Path) -> None:
    here = await begin(journal, "here", cwd=tmp_path)
    there = await begin(journal, "there")
    _, child = await journal.create("child", options(), parent=here.session)
    here.note(Summary(status="running"))
    there.note(Summary(status="waiting"))
    await there.written()

    assert _names(await journal.sessions(status="running")) == ["here"]
    assert _names(await journal.sessions(cwd=str(tmp_path))) == ["here"]
    assert [row.id for row in await journal.sessions(parent=here.session)] == [child.session]
    assert _names(await journal.sessions(status="closed")) == []


async def test_messages_of_a_folder_come_before_those_of_others(
    journal: Journal, tmp_path: Path
) -> None:
    there, here = await begin(journal, "there"), await begin(journal, "here", cwd=tmp_path)
    for record, texts in ((there, ["there"]), (here, ["here", "x" * LONG_CHARS, "changed"])):
        for text in texts:
            add(record, e.MessageAccepted(message=text, text=text, delivery="queue"))
    add(here, e.MessageChanged(message="changed", text="now", delivery="queue"))
    await here.written()

    assert [event.text for event in await journal.said(str(tmp_path), 9)] == ["here", "there"]
    assert [event.text for event in await journal.said("/", 1)] == ["there"]


async def test_sessions_with_a_parent_or_a_child_are_related(journal: Journal) -> None:
    alone, boss = await begin(journal, "alone"), await begin(journal, "boss")
    child, record = await journal.create("child", options(), parent=boss.session)
    await record.close()
    every = [alone.session, boss.session, child.id]
    assert await journal.related(every) == {boss.session, child.id}
    assert await journal.related([alone.session, child.id]) == {child.id}
    assert await journal.related([]) == set()


async def test_list_does_not_show_the_status_that_a_dead_host_wrote(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    running, closed = await begin(journal, "a"), await begin(journal, "b")
    running.note(Summary(status="waiting", pending=("p",)))
    closed.note(Summary(status="closed"))
    await running.written()
    await closed.written()
    other = await open_host(where)
    row = await other.find("a")
    assert (row.status, row.pending, row.address) == ("waiting", ("p",), "/a.sock")

    sql(where, "UPDATE hosts SET boot = 'earlier', seen = 0 WHERE id = :host", host=journal.host.id)

    row = await other.find("a")
    assert (row.status, row.pending, row.host, row.address) == ("idle", (), None, None)
    assert (await other.find("b")).status == "closed"
    assert _names(await other.sessions(status="waiting")) == []
    assert _names(await other.sessions(status="idle")) == ["a"]


@pytest.mark.parametrize(
    ("said", "shown"), [("starting", "idle"), ("running", "idle"), ("waiting", "waiting")]
)
async def test_session_without_an_owner_does_not_run(
    journal: Journal, said: SessionStatus, shown: str
) -> None:
    record = await begin(journal, "a")
    record.note(Summary(status=said))
    await record.close()  # as one whose end could not be written

    assert (await journal.find("a")).status == shown
    assert _names(await journal.sessions(status="running")) == []
    assert await journal.orphaned() == [record.session]


async def test_name_that_is_taken_gets_a_number(journal: Journal) -> None:
    rows = [
        (await journal.create(name, options()))[0] for name in ("fix", "fix", "fix-2", "fix_", "f%")
    ]

    assert _names(rows) == ["fix", "fix-2", "fix-2-2", "fix_", "f%"]


async def test_session_is_found_by_id_name_or_the_beginning_of_one(journal: Journal) -> None:
    first, second = await begin(journal, "fix-tests"), await begin(journal, "add-docs")

    for text in (first.session, first.session[:12], "fix-tests", "fix"):
        assert (await journal.find(text)).id == first.session
    assert (await journal.find("add")).id == second.session
    assert (await journal.find(first.session, exact=True)).id == first.session
    with pytest.raises(NotFound):
        await journal.find("fix-tests", exact=True)


async def test_id_wins_over_a_session_with_that_name(journal: Journal) -> None:
    meant = await begin(journal, "first")
    await begin(journal, meant.session)

    assert (await journal.find(meant.session)).id == meant.session


async def test_whole_name_wins_over_a_longer_one(journal: Journal) -> None:
    first = await begin(journal, "fix")
    await begin(journal, "fix-more")

    assert (await journal.find("fix")).id == first.session


async def test_beginning_that_fits_several_names_them(journal: Journal, tmp_path: Path) -> None:
    await begin(journal, "fix-a")
    here = await begin(journal, "fix-b", cwd=tmp_path)

    with pytest.raises(Conflict) as ambiguous:
        await journal.find("fix")

    assert ambiguous.value.hint == "fix-a, fix-b"
    assert (await journal.find("fix", cwd=str(tmp_path))).id == here.session


async def test_name_that_is_nearly_right_is_suggested(journal: Journal) -> None:
    await begin(journal, "fix-tests")

    with pytest.raises(NotFound) as missing:
        await journal.find("fox-tests")

    assert missing.value.hint == "did you mean fix-tests?"


async def test_newest_session_of_the_folder_is_found_without_a_name(
    where: str, journal: Journal, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="no session"):
        await journal.find()
    here = await begin(journal, "here", cwd=tmp_path)
    there = await begin(journal, "there")
    sql(where, "UPDATE sessions SET created = created + 10 WHERE name LIKE '%there'")

    assert (await journal.find()).id == there.session
    assert (await journal.find(cwd=str(tmp_path))).id == here.session
    with pytest.raises(NotFound, match="/nowhere"):
        await journal.find(cwd="/nowhere")


async def test_session_is_shown_with_its_limits_and_pending_requests(
    journal: Journal,
) -> None:
    record = await begin(journal, max_turns=5, max_budget_usd=1.5)
    asked = e.PermissionRequested(request="p", call="c", name="Bash", input={"command": "ls"})
    add(record, asked, e.QuestionRequested(request="q", questions=()))
    record.note(Summary(status="waiting", pending=("p",), last="Bash ls"))
    await record.written()

    (info,) = await journal.infos(await journal.sessions())

    assert (info.id, info.status, info.last, info.host) == (
        record.session,
        "waiting",
        "Bash ls",
        "/a.sock",
    )
    assert info.limits == {"max_turns": 5, "max_budget_usd": 1.5}
    assert [(one.request, one.seq) for one in info.pending] == [("p", 2)]
    assert info.parent is None


# Pages --------------------------------------------------------------------------------------


@fault("N9")
async def test_page_of_long_events_is_short(journal: Journal) -> None:
    """And the pages that follow have the rest; a single event may be longer than a page."""
    record = await begin(journal, "long")
    lengths = [PAGE_CHARS // 3] * 7 + [2 * PAGE_CHARS] + [10] * 5
    add(record, *(e.Text(text="x" * length) for length in lengths))
    await record.written()
    every = await journal.events(record.session, limit=None)
    seen: list[e.Event] = []
    sizes = []
    while page := await journal.events(record.session, len(seen)):
        seen += page
        chars = sum(len(e.encode(event)) for event in page)
        assert chars <= PAGE_CHARS or len(page) == 1
        sizes.append(len(page))
    assert seen == every
    assert max(sizes) > 2
    assert len(await journal.events(record.session, limit=1)) == 1


@fault("N9")
async def test_tail_of_long_events_is_short(journal: Journal) -> None:
    record = await begin(journal, "long")
    add(record, *(e.Text(text="x" * (PAGE_CHARS // 3)) for _ in range(7)))
    await record.written()
    every = await journal.events(record.session, limit=None)
    assert await journal.tail(record.session, 100) == every[-2:]
    add(record, e.Text(text="x" * 2 * PAGE_CHARS))
    await record.written()
    assert len(await journal.tail(record.session, 100)) == 1

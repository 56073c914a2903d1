"""Which session a worker claims, and that what it has no label for costs nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.journal.conftest import Become, Hosts
from tests.support.journal import options, rows, sql, text

from midflight.errors import Conflict, HostGone
from midflight.journal import Journal, Offer
from midflight.journal.base import Summary
from midflight.journal.schema import sessions
from midflight.wire import WIRE

MANY = 10_000


def _offer(*labels: str, **names: tuple[str, ...]) -> Offer:
    return Offer(labels=labels, capacity=1, version="", work="", **names)


async def _waiting(
    journal: Journal, name: str, label: str = "gpu", *, kept: bool | None = None, **given: Any
) -> str:
    """Make a session that waits for a worker."""
    row, record = await journal.create(name, options(**given), label=label)
    record.begin(lambda seq: None, lambda error: None)
    record.append(text(record))
    record.note(Summary(status="idle", waiting_since=time.time(), kept=kept))
    await record.written()
    await record.close()
    return row.id


async def _claimed(journal: Journal, *labels: str) -> str:
    """Return the name of the session that is claimed, nothing if none is."""
    claimed = await journal.claim(_offer(*labels))
    return "" if claimed is None else claimed[0].name


async def test_session_that_has_waited_longest_is_claimed_first(journal: Journal) -> None:
    for name, label in (("a", "gpu"), ("b", "cpu"), ("c", "gpu"), ("d", "other")):
        await _waiting(journal, name, label)

    assert [await _claimed(journal, "cpu", "gpu") for _ in range(4)] == ["a", "b", "c", ""]


async def test_session_whose_claim_came_to_nothing_keeps_its_turn(journal: Journal) -> None:
    for name in ("a", "b"):
        await _waiting(journal, name)
    claimed = await journal.claim(_offer("gpu"))
    assert claimed is not None
    await claimed[1].close()

    assert await _claimed(journal, "gpu") == "a"


async def test_session_is_claimed_by_who_offers_what_it_needs(journal: Journal) -> None:
    """Whatever number of those that need more waits before it."""
    servers = {"db": {"type": "http", "url": "http://x"}}
    wanted: dict[str, dict[str, Any]] = {"a": {"env": {"A": ""}}, "b": {"mcp_servers": servers}}
    for name, needs in (wanted | {"c": {}}).items():
        await _waiting(journal, name, **needs)

    offers: list[dict[str, tuple[str, ...]]] = [
        {},
        {"servers": ("db",)},
        {"variables": ("B",)},
        {"variables": ("A", "B")},
    ]
    claimed = [await journal.claim(_offer("gpu", **names)) for names in offers]

    assert [claim and claim[0].name for claim in claimed] == ["c", "b", None, "a"]


async def test_needs_that_nobody_meets_are_many_and_cost_little(
    where: str, journal: Journal
) -> None:
    row = await _waiting(journal, "a")
    copied = [name for name in [*sessions.c.keys()] if name not in {"id", "name", "needs"}]
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)"
    of = ", ".join(copied)
    sql(
        where,
        f"INSERT INTO sessions (id, name, needs, {of}) {numbers}"  # noqa: S608 - our own
        f" SELECT 'i' || i, 'n' || i, '{{\"env\"\\:[\"' || i || '\"],\"mcp_servers\"\\:{{}}}}',"
        f" {of}"
        f" FROM sessions, n",
    )
    sql(where, "INSERT INTO leases SELECT id, NULL, 0 FROM sessions WHERE needs IS NOT NULL")
    sql(where, "UPDATE sessions SET waiting_since = 9e9 WHERE id = :row", row=row)
    began = time.process_time()

    assert await _claimed(journal, "gpu") == "a"

    assert time.process_time() - began < 2


async def test_session_of_a_newer_midflight_is_not_claimed(where: str, journal: Journal) -> None:
    """Whoever has begun it, or told it more; what an older one has begun is anybody's."""
    ids = {name: await _waiting(journal, name) for name in ("newer", "same", "older", "before")}
    for name, wire in (("newer", WIRE + 1), ("older", WIRE - 1), ("before", None)):
        sql(where, "UPDATE sessions SET wire = :wire WHERE id = :id", wire=wire, id=ids[name])

    claimed = [await _claimed(journal, "gpu") for _ in range(4)]

    assert claimed == ["same", "older", "before", ""]


async def test_what_is_told_to_a_session_that_waits_is_for_a_worker_as_new(
    where: str, journal: Journal
) -> None:
    for begun_with, needed in ((None, WIRE), (WIRE - 1, WIRE), (WIRE + 1, WIRE + 1)):
        told = await _waiting(journal, "a")
        sql(where, "UPDATE sessions SET wire = :wire WHERE id = :id", wire=begun_with, id=told)
        _, record, _ = await journal.take(told)
        await record.close()
        assert (await journal.find(told, exact=True)).wire == begun_with

        _, record, _ = await journal.take(told, to_tell=True)
        await record.close()

        assert (await journal.find(told, exact=True)).wire == needed


async def test_session_that_is_kept_is_claimed_on_its_machine_alone(
    server: str, open_host: Hosts, become: Become
) -> None:
    become("one")
    near = await open_host(server, "/a.sock")
    become("two")
    far = await open_host(server, "/b.sock")
    kept = await _waiting(near, "a", kept=True)
    await _waiting(near, "b", kept=False)

    assert [await _claimed(far, "gpu") for _ in range(2)] == ["b", ""]
    with pytest.raises(HostGone, match="stays on one"):
        await far.take(kept, to_resume=True)
    become("one")
    another = await open_host(server, "/c.sock")
    assert await _claimed(another, "gpu") == "a"


async def test_session_that_is_kept_does_not_move(
    server: str, open_host: Hosts, become: Become
) -> None:
    become("one")
    journal = await open_host(server, "/a.sock")
    kept = await _waiting(journal, "a", kept=True)

    with pytest.raises(Conflict, match="stays on one, which alone has what its agent remembers"):
        await journal.relocate(kept, "cpu")

    assert await _claimed(journal, "cpu", "gpu") == "a"
    assert rows(server, "SELECT label FROM sessions") == [("gpu",)]


async def test_two_workers_have_no_session_together(where: str, open_host: Hosts) -> None:
    workers = [await open_host(where, f"/{n}.sock") for n in range(3)]
    made = {await _waiting(workers[0], f"{n}") for n in range(12)}

    claims = await asyncio.gather(*(worker.claim(_offer("gpu")) for worker in workers * 4))

    claimed = [claim[0].id for claim in claims if claim is not None]
    assert sorted(claimed) == sorted(made)


async def test_session_that_waits_is_nobody_s_to_recover(journal: Journal) -> None:
    """Else each host that starts would take all of them, one after the other."""
    _, record = await journal.create("a", options(), label="gpu")
    record.begin(lambda seq: None, lambda error: None)
    record.append(text(record))
    record.note(Summary(status="waiting", waiting_since=1.0))
    await record.written()

    await record.close()

    assert await journal.orphaned() == []


async def test_worker_that_is_draining_claims_nothing(
    where: str, journal: Journal, open_host: Hosts
) -> None:
    await _waiting(journal, "a")
    sql(where, "UPDATE hosts SET draining = true WHERE id = :id", id=journal.host.id)

    assert await _claimed(journal, "gpu") == ""
    assert await _claimed(await open_host(where, "/b.sock"), "gpu") == "a"


@pytest.mark.parametrize(("within", "left"), [(0, 0.0), (float("inf"), None), (1e12, None)])
async def test_drain_in_a_time_that_never_comes_stops_nothing(
    server: str, open_host: Hosts, within: float, left: float | None
) -> None:
    journal = await open_host(server)
    await journal.drain(journal.host.id or "", within)

    (worker,) = await journal.hosts()
    assert (worker.draining, worker.drain_s) == (True, left)


async def test_worker_is_known_with_what_it_offers(where: str, open_host: Hosts) -> None:
    journal = await open_host(where, "/a.sock")
    offer = Offer(labels=("a", "b"), capacity=3, version="1.2", work="/w")
    other = Journal(where)
    async with other:
        await other.host.register("/b.sock", offer=offer)
        _, worker = await journal.hosts()
        await other.host.leave()

    assert (worker.labels, worker.capacity, worker.version) == (("a", "b"), 3, "1.2")
    assert not worker.draining


async def test_sessions_of_a_label_that_nobody_has_are_not_looked_at(
    server: str, open_host: Hosts
) -> None:
    journal = await open_host(server, "/a.sock")
    await _waiting(journal, "a", "other")
    columns = ", ".join(
        name for (name,) in rows(server, _COLUMNS) if name not in {"id", "name", "waiting_since"}
    )
    numbers = f"generate_series(1, {MANY}) n"
    many = f"SELECT 'x' || n, 'x' || n, n, {columns} FROM sessions, {numbers}"  # noqa: S608
    sql(server, f"INSERT INTO sessions (id, name, waiting_since, {columns}) {many}")
    sql(server, "INSERT INTO leases SELECT id, NULL, 0 FROM sessions WHERE id LIKE 'x%'")
    sql(server, "ANALYZE")

    plan = rows(server, f"EXPLAIN ANALYZE {_OLDEST}")

    said = "\n".join(line for (line,) in plan)
    assert "sessions_waiting" in said
    assert "Seq Scan on sessions" not in said
    assert await _claimed(journal, "gpu") == ""


_COLUMNS = """
    SELECT column_name FROM information_schema.columns
    WHERE table_name = 'sessions' AND table_schema = current_schema()
"""
_OLDEST = """
    SELECT sessions.id FROM sessions JOIN leases ON leases.session = sessions.id
    WHERE sessions.label IN ('gpu', 'cpu') AND sessions.label IS NOT NULL
    AND sessions.waiting_since IS NOT NULL AND leases.host IS NULL
    ORDER BY sessions.waiting_since, sessions.id LIMIT 1
"""

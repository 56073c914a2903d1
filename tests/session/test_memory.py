"""What the agent of a session remembers, and how much of it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tests.journal.conftest import Hosts, open_host, server
from tests.support.journal import begin, rows

from midflight.agents.base import Remembered
from midflight.errors import AgentFailed, StoreFailed
from midflight.journal import JournalRecord
from midflight.session.memory import TOO_LARGE, MemoryKeeper

__all__ = ["open_host", "server"]

pytestmark = pytest.mark.anyio


@pytest.fixture
async def record(server: str, open_host: Hosts) -> JournalRecord:
    return await begin(await open_host(server))


async def test_what_is_too_much_is_not_kept_at_all(
    record: JournalRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midflight.session.memory.MEMORY_BYTES", 4)
    told: list[tuple[str, str]] = []

    def tell(level: str, text: str) -> None:
        told.append((level, text))

    keeper = MemoryKeeper(record, tell)
    assert await keeper.recall() == {}
    keeper.take(Remembered("a", ("12",)))
    keeper.take(Remembered("b", ("34",)))
    keeper.take(Remembered("b", ("56",), anew=True))
    assert (told, await record.recall()) == ([], {"a": ("12",), "b": ("56",)})

    keeper = MemoryKeeper(record, tell)
    await keeper.recall()
    keeper.take(Remembered("b", ("7",)))
    keeper.take(Remembered("b", ("8",)))

    assert (told, await record.recall()) == ([("warning", TOO_LARGE)], {})


async def test_memory_that_cannot_be_read_fails_the_start(
    record: JournalRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: JournalRecord) -> Mapping[str, Sequence[str]] | None:
        raise StoreFailed("the server is gone", "look")

    monkeypatch.setattr(JournalRecord, "recall", fail)
    with pytest.raises(AgentFailed, match="could not be read: the server is gone"):
        await MemoryKeeper(record, lambda *_: None).recall()


async def test_memory_goes_with_its_session(server: str, open_host: Hosts) -> None:
    journal = await open_host(server)
    record = await begin(journal)
    record.remember("a", ["1"])
    await record.close()

    await journal.remove(record.session)

    assert rows(server, "SELECT * FROM memory") == []


async def test_journal_in_a_file_keeps_nothing_of_it(tmp_path: Path, open_host: Hosts) -> None:
    record = await begin(await open_host(tmp_path / "state"))
    assert await MemoryKeeper(record, lambda *_: None).recall() is None

"""The journal keeps every promise of the conformance suite, in a file and on a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.journal import rows, silence

from midflight.journal import Journal
from midflight.testing.conformance.journal import CHECKS, Check


class Rig:
    """A journal of ours."""

    def __init__(self, where: str, state: Path) -> None:
        self._where = where
        self._state = state

    @asynccontextmanager
    async def open(self, address: str) -> AsyncIterator[Journal]:
        """Open it, and register as a host."""
        async with Journal(self._where, state=self._state) as journal:
            await journal.host.register(address)
            yield journal

    def stored(self, session: str) -> list[int]:
        """Return the numbers of the events on disk."""
        found = rows(self._where, "SELECT session, seq FROM events ORDER BY seq")
        return [seq for owner, seq in found if owner == session]

    def silence(self, host: str) -> None:
        """Let a host look as if it had hung for a while."""
        silence(self._where, host)


@fault("D4")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_journal_keeps_the_promise(where: str, tmp_path: Path, check: Check) -> None:
    await check(Rig(where, tmp_path / "sockets"))

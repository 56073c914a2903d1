"""A process's own connection to the server, by which others see that it lives."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from tests.journal.conftest import Hosts
from tests.support.events import PATIENCE_S

from midflight.journal import presence as rules
from midflight.journal.presence import key

_WAITS = b"SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


async def test_who_leaves_waits_for_a_connection_that_ends_just_now(
    server: str, open_host: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits for the server, which has to be told first that it need not answer any more."""
    import psycopg

    presence = (await open_host(server)).presence
    assert presence is not None
    monkeypatch.setattr(rules, "LINGER_S", 0)
    before = asyncio.all_tasks()
    with contextlib.closing(psycopg.connect(server, autocommit=True)) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [key(presence.id)])
        async with presence.kept(), asyncio.timeout(PATIENCE_S):
            while not other.execute(_WAITS).fetchone():  # noqa: ASYNC110 - only asking tells
                await asyncio.sleep(0.01)  # noqa: TID251 - the server tells nobody that it waits
        ended = asyncio.Event()
        asyncio.get_running_loop().call_later(0, ended.set)
        await ended.wait()

        await presence.leave()

        assert asyncio.all_tasks() == before

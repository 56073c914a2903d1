"""Which host gets a session, and what to do when that host has ended meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from midflight.address import Address
from midflight.client.http import call
from midflight.client.spawn import start_host
from midflight.errors import Conflict, HostGone, LeaseHeld, NotFound
from midflight.journal import Journal

KNOWS_S = 2.0
"""How long a host may take to answer whether it has had a session."""

TRIES = 3
"""How often a command looks for the session's host, which may have ended meanwhile."""


class Placement:
    """Finds the host of a session by the journal, or a host for it: on this machine, or a new one.

    ``headers`` go with everything that changes something.
    """

    def __init__(
        self, journal: Journal, where: Path | str | None, notify: str, headers: Mapping[str, str]
    ) -> None:
        """``where`` and ``notify`` are for the hosts that are started; see `start_host`."""
        self._journal = journal
        self._where = where
        self._notify = notify
        self._headers = headers
        self._spare: Address | None = None

    async def begin(self, session: str, body: bytes) -> bytes:
        """Begin a session in a host that has an agent ready for it, or else in a new one.

        Its id makes it harmless to ask twice. Raises the error that the host answers.
        """
        return await self._begin_warm(body) or await self._begin(session, body)

    async def _begin_warm(self, body: bytes) -> bytes | None:
        for address in await self._hosts():
            with contextlib.suppress(Conflict, HostGone):
                return await self._post(Address.parse(address), "/sessions?warm", body)
        return None

    async def _begin(self, session: str, body: bytes) -> bytes:
        for tries_left in reversed(range(TRIES)):
            try:
                address = await self._address(session) or await self._start()
                return await self._post(address, "/sessions", body)
            except HostGone:
                if not tries_left:
                    raise
        raise AssertionError

    async def command(self, session: str, body: bytes) -> bytes:
        """Give a session's host a command; one at rest gets a host.

        Where the host has ended meanwhile, the next one gets it. Raises the error that it answers.
        """
        for tries_left in reversed(range(TRIES)):
            try:
                address = await self.host_of(session)
                return await self._post(address, f"/sessions/{session}/commands", body)
            except (LeaseHeld, HostGone):
                if not tries_left:
                    raise
                await self._journal.host_gone(session)
        raise AssertionError

    async def remove(self, session: str) -> None:
        """Have a session's host remove it; one at rest is removed by this process itself."""
        address = await self._address(session)
        if address is not None:
            await call(address, "DELETE", f"/sessions/{session}", None, self._headers)
            return
        await self._journal.register("")  # for as long as it takes
        try:
            await self._journal.remove(session)
        finally:
            await self._journal.leave()

    async def recover(self) -> None:
        """Have everything ended that hosts which died have left open."""
        self._spare = await self._start()

    async def host_of(self, session: str) -> Address:
        """Return the address of the host that has a session, or of one that will.

        That is one that has had it, and knows the values that are never stored, or a new one.
        """
        row = await self._journal.find(session, exact=True)
        if row.address is not None:
            return Address.parse(row.address)
        spare, self._spare = self._spare, None
        return await self._knowing(session) or spare or await self._start()

    async def _knowing(self, session: str) -> Address | None:
        """Return the address of a host that has had a session, if one lives and answers soon."""
        for text in await self._hosts():
            with contextlib.suppress(HostGone, TimeoutError):
                address = Address.parse(text)
                async with asyncio.timeout(KNOWS_S):
                    body = await call(address, "GET", f"/healthz?knows={session}")
                if msgspec.json.decode(body, type=dict[str, Any]).get("knows"):
                    return address
        return None

    async def _address(self, session: str) -> Address | None:
        """Return where a session is; None if it is at rest, or there is none."""
        with contextlib.suppress(NotFound):
            row = await self._journal.find(session, exact=True)
            return None if row.address is None else Address.parse(row.address)
        return None

    async def _hosts(self) -> list[str]:
        """Return where the hosts that live answer."""
        return [host.address for host in await self._journal.hosts() if host.alive]

    async def _start(self) -> Address:
        return await start_host(self._where, notify=self._notify)

    async def _post(self, address: Address, path: str, body: bytes) -> bytes:
        return await call(address, "POST", path, body, self._headers)

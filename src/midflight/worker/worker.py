"""A worker: a host with labels and places, for sessions that wait for a machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from midflight._util.own_variables import is_own
from midflight.agents import create
from midflight.authorization import Authorizer
from midflight.client.client import Client
from midflight.client.scheduled import RunStarter
from midflight.errors import InvalidOption
from midflight.git.location import work_root
from midflight.host import Host
from midflight.host.host import PARK_AFTER_S
from midflight.host.secrets import servers_of_environment
from midflight.host.sessions import OnSession, Rationing
from midflight.host.warm_pool import AgentFactory
from midflight.journal import Offer
from midflight.journal.waiting import check_label, check_shared
from midflight.schedules.firing import Firing
from midflight.worker.places import Places

CAPACITY = 4
"""How many turns a worker runs at a time if it is not told."""

MOST_PLACES = 1_000


class Worker(Host):
    """A host that claims the sessions which wait for one of its labels. A context manager too.

    Leaving it, no more is claimed, and every session is parked: what waits is claimed elsewhere,
    and what was cut waits for the next message.
    """

    def __init__(
        self,
        journal: str | None = None,
        *,
        labels: Iterable[str],
        capacity: int = CAPACITY,
        variables: Iterable[str] = (),
        park_after: float | None = PARK_AFTER_S,
        agent: AgentFactory = create,
        on_session: OnSession | None = None,
        work: Path | None = None,
        setup: str | None = None,
    ) -> None:
        """``capacity`` is how many turns run at a time. The rest is as for a `Host`.

        ``variables`` names those of this process's environment that a session gets which was
        begun elsewhere with one of that name: its value is never stored. All servers of
        ``MIDFLIGHT_MCP_SERVERS`` are given in the same way.

        Entering it raises `Conflict` where another worker of one of these labels has its checkouts
        elsewhere. Raises `InvalidOption`, and `NotAllowed` inside an agent.
        """
        offer = Offer(
            labels=tuple(dict.fromkeys(check_label(each, "label") for each in labels)),
            capacity=capacity,
            version=version("midflight"),
            work=str(work or work_root()),
            variables=tuple(dict.fromkeys(map(_check_variable, variables))),
            servers=tuple(servers_of_environment()),
        )
        if not offer.labels:
            raise InvalidOption("label", "a worker has one at least", "such as --label linux")
        if not 1 <= capacity <= MOST_PLACES:
            raise InvalidOption("capacity", f"expected 1 to {MOST_PLACES}, got {capacity}")
        changed = asyncio.Event()
        self.labels, self.capacity = offer.labels, offer.capacity
        super().__init__(
            journal,
            park_after=park_after,
            agent=agent,
            on_session=on_session,
            rationing=Rationing(offer, changed.set),
            work=work,
            setup=setup,
        )
        check_shared(
            shared=self._journal.address.url is not None,
            option="journal",
            hint="name a postgresql:// URL; on one machine: midflight run -d",
        )
        Authorizer.of_this_process(self._journal).check_working()
        self._journal.work_waits = changed
        self._ends = contextlib.AsyncExitStack()
        self._places = Places(
            self._journal, self._sessions, offer, changed, self._sessions.readers.is_read
        )

    @property
    def drained(self) -> asyncio.Event:
        """Set when it claims nothing more, and has given back all that it had."""
        return self._places.drained

    async def drain(self, within: float) -> None:
        """Claim nothing more, and give each session back when its turn has ended.

        What still runs after ``within`` seconds is ended. Raises `StoreFailed`.
        """
        await self._journal.drain(self._journal.host.id or "", within)

    @property
    def machine(self) -> str:
        """The name of the machine, as others know it."""
        return self._journal.machine

    async def serve(self) -> None:
        """Do what every host does, claim, and fire this person's schedules that are for workers."""
        await super().serve()
        client = await self._ends.enter_async_context(Client(self._journal.address))
        fires = Firing(self._journal, RunStarter(client), for_workers=True)
        self._tasks.start(self._places.serve())
        self._tasks.start(fires.run())

    async def _close(self) -> None:
        await super()._close()
        await self._ends.aclose()


def _check_variable(name: str) -> str:
    if is_own(name):
        raise InvalidOption(
            "env", f"{name} is midflight's own, and no agent gets it", "leave it out"
        )
    if name not in os.environ:
        raise InvalidOption("env", f"there is no variable {name} here", "export it first")
    return name

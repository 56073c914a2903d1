"""The other sessions that wait for the person, and the way to one of them and back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from midflight._util.sanitize import one_line, one_name
from midflight.cli.output import DIM, write
from midflight.cli.terminal.notifications import Notifications
from midflight.errors import MidflightError

if TYPE_CHECKING:
    from midflight.client.client import Client
    from midflight.client.session import RemoteSession
    from midflight.info import SessionInfo

LOOK_S = 2.0
"""How often the journal is looked at."""

NAME_WIDTH = 24

Show = Callable[["Client", "RemoteSession", Notifications, "OtherSessions"], Awaitable[object]]
"""Shows a session, which has been entered, at this terminal until the person leaves it."""


class OtherSessions:
    """What waits elsewhere for an answer. The journal tells it; no host is asked.

    ``home`` is the name of the session that the person has come from, or nothing.
    """

    def __init__(
        self, here: str, show: Show, known: Callable[[str], bool] = lambda session: False
    ) -> None:
        """``here`` is the session that the terminal shows; ``known`` are those that it asks for."""
        self.home = ""
        self._here = here
        self._show = show
        self._known = known
        self._client: Client | None = None
        self._found: list[SessionInfo] = []

    async def watch(self, changed: Callable[[], None]) -> None:
        """Look for them without end; ``changed`` is called where there are others than before."""
        await asyncio.sleep(LOOK_S)  # what comes first is the first word of the agent
        connect = await asyncio.to_thread(_load)
        async with contextlib.AsyncExitStack() as stack:
            while True:
                with contextlib.suppress(MidflightError):  # which may pass
                    if self._client is None:
                        client = await stack.enter_async_context(connect(door="terminal"))
                        self._client = client
                    found = await self._client.sessions(status="waiting")
                    if found != self._found:
                        self._found = found
                        changed()
                await asyncio.sleep(LOOK_S)

    @property
    def waiting(self) -> list[SessionInfo]:
        """Those that wait for an answer, the longest first."""
        asking = (each for each in self._found if each.pending and each.id != self._here)
        unknown = (each for each in asking if not self._known(each.id))
        return sorted(unknown, key=lambda info: info.pending[0].time)

    @property
    def line(self) -> str:
        """What there is to go to, or nothing."""
        waiting = self.waiting
        if self.home:
            back = f"F2: back to {one_name(self.home, NAME_WIDTH)}"
            return f"{back} · {len(waiting)} others wait" if len(waiting) > 1 else back
        if len(waiting) > 1:
            return f"{len(waiting)} others wait: F2"
        return "".join(f"{one_name(info.name, NAME_WIDTH)} waits: F2" for info in waiting)

    async def go(self, home: str, notifications: Notifications) -> None:
        """Show the session that has waited longest, until the person comes back."""
        if self._client is None or not self.waiting:
            return
        info = self.waiting[0]
        here, self._here, self.home = self._here, info.id, home
        write([(DIM, f"\n── {one_name(info.name)} · F2: back to {one_name(home)} ──\n")])
        try:
            async with await self._client.session(info.id) as session:
                await self._show(self._client, session, notifications, self)
        except MidflightError as error:  # it may have been removed just now
            write(f"  {one_line(str(error))}\n")
        finally:
            self._here, self.home = here, ""
        write([(DIM, f"\n── {one_name(home)} ──\n")])


def _load() -> Callable[..., Client]:
    """Import in a thread of its own: keys are answered meanwhile."""
    from midflight.client.client import connect

    return connect

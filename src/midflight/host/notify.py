"""Notifies the user who is not looking: a request waits, a turn has ended or has failed."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import quote

from midflight import events as e
from midflight._util.aio import TaskSet
from midflight.errors import EventsExpired, InvalidOption, MidflightError, StoreFailed
from midflight.host.http.logins import Logins
from midflight.journal import JournalLocation
from midflight.session.session import Session
from midflight.state.news import news

PATIENCE_S = 1.0
"""How long a request waits before it is sent: most are answered by a policy at once."""

TIMEOUT_S = 15.0
"""How long sending one notification may take."""

_EXTRA = "pip install 'midflight[notify]'"


class Notifier:
    """Sends news of sessions to one address, by ``apprise``."""

    def __init__(self, url: str, location: JournalLocation) -> None:
        """``url`` is an address of apprise, ``location`` that of the sessions' journal.

        Raises `InvalidOption`, which does not repeat the address.
        """
        try:
            import apprise  # type: ignore[import-not-found,unused-ignore]  # an extra
        except ImportError as error:
            raise InvalidOption("notify", "needs the package apprise", _EXTRA) from error
        self._apprise = apprise.Apprise()
        if not self._apprise.add(url):
            raise InvalidOption(
                "notify", "this is no address that apprise knows", "for example ntfy://my-topic"
            )
        self._logins = Logins(location)
        self._tasks = TaskSet()

    def follow(self, session: Session) -> None:
        """Notify of a session until it ends; a failure to send is a notice in it, once."""
        self._tasks.start(self._follow(session))

    async def close(self) -> None:
        """Wait until everything is sent, for a while."""
        await self._tasks.join(TIMEOUT_S)
        self._tasks.cancel()

    async def _follow(self, session: Session) -> None:
        after, failed, cwd = session.last_seq, False, str(session.options.cwd)
        while True:
            try:
                async for event in session.events(after):
                    after = event.seq or after
                    if isinstance(event, (e.PermissionRequested, e.QuestionRequested)):
                        await asyncio.sleep(PATIENCE_S)
                    answered = isinstance(event, e.Request) and event not in session.pending
                    told = None if answered else news(event, session.name, cwd)
                    sent = told is None or await self._send(*told, _place(session, event))
                    if not sent and not failed:
                        failed = True
                        session.notice("warning", "a notification could not be sent")
            except EventsExpired as expired:
                after = expired.oldest - 1
                continue
            except StoreFailed:
                pass  # the session reports it itself; nothing more happens here
            return

    async def _send(self, title: str, body: str, place: str) -> bool:
        with contextlib.suppress(Exception):  # of whatever service is behind the address
            async with asyncio.timeout(TIMEOUT_S):
                return bool(await asyncio.to_thread(self._send_now, title, body, place))
        return False

    def _send_now(self, title: str, body: str, place: str) -> bool:
        """Send it with a link to the page, where a server runs that has one. It opens nothing."""
        with contextlib.suppress(MidflightError):
            body = f"{body}\n{self._logins.urls()[0]}/#/{place}"
        return bool(self._apprise.notify(body, title))


def _place(session: Session, event: e.Event) -> str:
    """Return where the page shows what an event is about."""
    asked = f"?request={quote(event.request, safe='')}" if isinstance(event, e.Request) else ""
    return f"s/{session.id}{asked}"

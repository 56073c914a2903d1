"""The prompts of a session that a server of OpenCode 2 has got, and what becomes of them there.

Stable 2.x has an inbox: what it has not delivered to the model can be taken back, or made a steer.
The preview has none. What is taken back there stays with it, and is run with its next prompt; if it
runs alone, it is interrupted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from midflight.agents.base import Dropped, Kept, Signal
from midflight.agents.opencode.ids import Ids
from midflight.agents.opencode.v2.events import EventTranslator, is_delivery
from midflight.agents.opencode.v2.feed import Feed, wake
from midflight.errors import AgentFailed

LOST_AFTER_S = 5.0
"""A server at rest that has not run a prompt after so long will never run it by itself."""


class Prompt(NamedTuple):
    """A prompt as the server has got it, by our id."""

    known: str
    text: str
    delivery: str


class Prompts:
    """Sends a session's prompts, takes them back, and wakes those that are parked."""

    def __init__(
        self,
        feed: Feed,
        session: str,
        translate: EventTranslator,
        report: Callable[[Signal], None],
    ) -> None:
        """Begin with none; ``translate`` knows which of them the model has not got."""
        self._feed = feed
        self._path = f"/api/session/{session}"
        self._session = session
        self._translate = translate
        self._report = report
        self._ids = Ids()
        self._newest_at = 0.0
        self._sent: dict[str, Prompt] = {}
        self._kept: dict[str, Prompt] = {}
        self._woken: set[str] = set()

    async def send(self, message: str, text: str, *, steer: bool) -> None:
        """Send one: for the next step, or for a run of its own. Raises `AgentFailed`."""
        kept = self._kept.pop(message, None)
        if kept is not None and kept.text == text:
            prompt = kept  # It has never left the server: the same again wakes it.
        else:
            # What the preview has queued cannot be taken back, and would run by itself.
            delivery = "queue" if self._feed.names.inbox and not steer else "steer"
            prompt = Prompt(self._ids.after(""), text, delivery)
        self._sent[prompt.known] = prompt
        self._translate.unread[prompt.known] = message
        self._newest_at = time.monotonic()
        try:
            await self._post(prompt)
        except AgentFailed:
            self._translate.unread.pop(prompt.known, None)
            raise

    async def _post(self, prompt: Prompt) -> None:
        body = self._feed.names.prompt(prompt.known, prompt.text, prompt.delivery)
        await self._feed.client.post(f"{self._path}/prompt", body)

    # Taking back --------------------------------------------------------------------------

    async def cancel(self, message: str) -> None:
        """Take back one that the model has not got; the preview does not give it back."""
        for known in [k for k, unread in self._translate.unread.items() if unread == message]:
            if not (self._feed.names.inbox and await self._take_back(known)):
                self._report(Kept(message))

    async def cancel_all(self) -> None:
        """Take back all that the model has not got: its run is stopped."""
        for known in list(self._translate.unread):
            if self._feed.names.inbox:
                await self._take_back(known)
            else:
                self._kept[self._translate.unread[known]] = self._sent[known]
                self._drop(known)

    async def _take_back(self, known: str) -> bool:
        """Delete a prompt from the inbox; False if it was delivered before.

        The answer is the same for both: the session's log tells.
        """
        client = self._feed.client
        await client.delete(f"{self._path}/inbox/{known}")
        log = await client.log(self._feed.names, self._session, self._translate.seq)
        if any(is_delivery(frame, known) for frame in log):
            return False
        self._drop(known)
        return True

    def _drop(self, known: str) -> None:
        if (message := self._translate.withdraw(known)) is not None:
            self._report(Dropped(message))

    # Waking -------------------------------------------------------------------------------

    @property
    def overdue(self) -> bool:
        """A server at rest should have run one by now."""
        waits = time.monotonic() - self._newest_at
        return bool(self._translate.unread) and waits > LOST_AFTER_S

    async def wake(self) -> list[Signal]:
        """Have one run that is parked, or take it back: it would run at another time."""
        for known in list(self._translate.unread):
            if known not in self._woken and await self._wakes(known):
                self._woken.add(known)
                self._newest_at = time.monotonic()
                return []
            if self._feed.names.inbox:
                await self._feed.client.delete(f"{self._path}/inbox/{known}")
        return list(self._translate.lose())

    async def _wakes(self, known: str) -> bool:
        """Have one run that is still there; the preview does so when it is sent again."""
        if self._feed.names.inbox:
            return await wake(self._feed, self._session, known)
        await self._post(self._sent[known])
        return True

    def forget(self) -> None:
        """Forget those that the model has got: a turn has ended."""
        self._sent = {known: self._sent[known] for known in self._translate.unread}

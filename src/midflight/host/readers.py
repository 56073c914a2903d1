"""Who reads the sessions of a host, and whether one of them answers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping

from midflight.session.session import Session


class Readers:
    """Counts the readers of each session, and tells the live ones whether somebody attends them."""

    def __init__(self, live: Mapping[str, Session], changed: asyncio.Event) -> None:
        """``live`` has the sessions here by their ids; ``changed`` is set when a reader leaves."""
        self._live = live
        self._changed = changed
        self._readers: Counter[str] = Counter()
        self._attending: Counter[str] = Counter()

    def is_read(self, id: str) -> bool:
        """Tell whether a session has a reader."""
        return self._readers[id] > 0

    def is_attended(self, id: str) -> bool:
        """Tell whether a reader answers what a session asks, or its own program does."""
        session = self._live.get(id)
        at_its_own = session is not None and session.options.attended is True
        return at_its_own or self._attending[id] > 0

    @contextlib.contextmanager
    def reading(self, id: str, *, attends: bool) -> Iterator[None]:
        """Know of a reader, who answers requests if it ``attends``, until the block is left."""
        self._readers[id] += 1
        self._attending[id] += attends
        self.tell(id)
        try:
            yield
        finally:
            self._readers[id] -= 1
            self._attending[id] -= attends
            self.tell(id)
            self._readers, self._attending = +self._readers, +self._attending
            self._changed.set()

    def tell(self, id: str) -> None:
        """Tell a session, if it is live, whether it is attended."""
        session = self._live.get(id)
        if session is not None and session.options.attended is not True:
            session.attend(True if self._attending[id] else session.options.attended)

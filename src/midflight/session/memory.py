"""What the agent of a session remembers: into the journal, and to the agent that starts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from midflight.agents.base import MEMORY_BYTES, Memory, Remembered
from midflight.errors import AgentFailed, StoreFailed
from midflight.events import Level
from midflight.journal.base import Record

TOO_LARGE = (
    f"the agent remembers more than {MEMORY_BYTES >> 20} MB, which is not kept in the journal:"
    " on another machine it would know nothing of this conversation"
)


class MemoryKeeper:
    """Keeps it where other machines have the journal, as long as it is not too large."""

    def __init__(self, record: Record | None, tell: Callable[[Level, str], None]) -> None:
        """``tell`` is called with a level and a sentence when it cannot be kept any more."""
        self._record = record
        self._tell = tell
        self._bytes: dict[str, int] = {}
        self._full = False

    async def recall(self) -> Memory | None:
        """Return what an agent is to start with, None if it need not remember.

        Raises `AgentFailed`.
        """
        try:
            memory = None if self._record is None else await self._record.recall()
        except StoreFailed as error:
            raise AgentFailed(
                f"what it remembers could not be read: {error.message}", error.hint
            ) from error
        self._full = False
        self._bytes = {part: _size(lines) for part, lines in (memory or {}).items()}
        return memory

    def take(self, new: Remembered) -> None:
        """Keep what an agent reports; where it is too much, keep nothing of it."""
        if self._record is None or self._full:
            return
        before = 0 if new.anew else self._bytes.get(new.part, 0)
        self._bytes[new.part] = before + _size(new.lines)
        if sum(self._bytes.values()) <= MEMORY_BYTES:
            self._record.remember(new.part, new.lines, anew=new.anew)
            return
        self._full = True
        for part in self._bytes:
            self._record.remember(part, (), anew=True)
        self._tell("warning", TOO_LARGE)


def _size(lines: Sequence[str]) -> int:
    return sum(map(len, lines))

"""What was typed before: in this terminal, and in sessions of the journal."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

from prompt_toolkit.history import History

from midflight import events as e
from midflight.cli.terminal.slash_commands import COMMANDS, split
from midflight.errors import MidflightError

MOST = 1_000
"""How many messages of the journal are looked at."""


class LineHistory(History):
    """The lines that the arrow keys and Ctrl-R find; nothing is written for it.

    First come the lines of this terminal, then messages that people have sent in sessions of this
    folder, then in others. ``is_read`` is set once they are all there.
    """

    def __init__(self, folder: Path | None, is_answer: Callable[[], bool]) -> None:
        """Without a ``folder`` the journal is not read.

        ``is_answer`` tells whether the line that is being sent off answers a request: it is not
        kept.
        """
        super().__init__()
        self._folder = folder
        self._is_answer = is_answer
        self._reading = asyncio.Lock()
        self.is_read = asyncio.Event()

    async def load(self) -> AsyncGenerator[str, None]:
        """Yield the lines, the newest first."""
        async with self._reading:
            if not self._loaded:
                earlier = [] if self._folder is None else await _messages(self._folder)
                known = {*self._loaded_strings}
                self._loaded_strings += [text for text in earlier if text not in known]
                self._loaded = True
        for text in self._loaded_strings:
            yield text
        self.is_read.set()

    def append_string(self, string: str) -> None:
        """Keep a line of this terminal."""
        if not self._is_answer():
            super().append_string(string)

    def load_history_strings(self) -> Iterable[str]:
        """Yield nothing: `load` knows all."""
        return ()

    def store_string(self, string: str) -> None:
        """Write nothing: what was sent stands in the journal."""


async def _messages(folder: Path) -> list[str]:
    """Return the messages of people, the newest first, those of a folder before all others."""
    from midflight.authorization import Authorizer
    from midflight.journal import Journal

    with contextlib.suppress(MidflightError):
        async with Journal() as journal:
            said = await journal.said(str(folder), MOST)
            readable = await Authorizer.of_this_process(journal).readable(
                {event.session for event in said}
            )
            typed = [
                event.text for event in said if event.session in readable and _by_person(event)
            ]
            return list(dict.fromkeys(map(_as_typed, typed)))
    return []


def _as_typed(text: str) -> str:
    """Return the line that sends a text: one that would be a command here has a slash more."""
    return f"/{text}" if text.startswith("//") or split(text)[0] in COMMANDS else text


def _by_person(event: e.MessageAccepted) -> bool:
    return event.who is not None and event.who.role == "user"

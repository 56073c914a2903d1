"""Notifies the person who looks elsewhere: something waits here, or has ended."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys

from midflight.cli.output import name_window, notify, report_focus

FOCUS_IN, FOCUS_OUT = Keys.F23, Keys.F24
"""prompt_toolkit has no keys for these; no keyboard has the keys that stand for them."""

ANSI_SEQUENCES.update({"\x1b[I": FOCUS_IN, "\x1b[O": FOCUS_OUT})

IDLE_S = 10.0
"""After how long without a key nobody is there, on a terminal that does not tell."""

PATIENCE_S = 1.0
"""How long something must last: most requests are answered by a policy, most ends by a message."""


class Notifications:
    """Where the person looks, and what has to be told them.

    A terminal that reports focus is believed from its first report on; on another one a person
    who has pressed no key for a while looks elsewhere.
    """

    def __init__(self, *, wanted: bool) -> None:
        """``wanted`` is the user's choice."""
        self._wanted = wanted
        self._focused: bool | None = None
        self._key_at = time.monotonic()
        self._named = False

    @contextlib.contextmanager
    def listening(self, *, to_focus: bool = True) -> Iterator[None]:
        """Have the terminal report focus during the block, or do not while another one reads it."""
        if self._wanted:
            report_focus(wanted=to_focus)
        try:
            yield
        finally:
            if self._wanted:
                report_focus(wanted=not to_focus)
            self._looks()

    def bind(self, keys: KeyBindings) -> None:
        """Take the terminal's reports from the keys of an application."""

        @keys.add(FOCUS_IN, eager=True)
        def _(event: KeyPressEvent) -> None:
            self._focused = True
            self._looks()

        @keys.add(FOCUS_OUT, eager=True)
        def _(event: KeyPressEvent) -> None:
            self._focused = False

    def key(self, _: object = None) -> None:
        """A key was pressed."""
        self._key_at = time.monotonic()
        if self._focused is None:
            self._looks()

    def _looks(self) -> None:
        """The person has seen what there was."""
        if self._named:
            self._named = False
            name_window(None)

    async def tell(self, news: tuple[str, str], lasts: Callable[[], bool]) -> None:
        """Notify the person unless they look here, or it does not last."""
        if not self._wanted:
            return
        since = time.monotonic()
        await asyncio.sleep(PATIENCE_S)
        if self._focused is None:
            await asyncio.sleep(max(0.0, self._key_at + IDLE_S - time.monotonic()))
        looks = self._key_at > since if self._focused is None else self._focused
        if looks or not lasts():
            return
        self._looks()  # of two pieces of news the window is named for the later one
        title, text = news
        name_window(title)
        self._named = True
        notify(title, text)

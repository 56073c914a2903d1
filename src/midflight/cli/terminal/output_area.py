"""What is written above the input line, and what has to wait for that."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from prompt_toolkit import Application

from midflight.cli.output import Fragment, write
from midflight.cli.terminal.wrap import wrapped


class OutputArea:
    """The screen above the input line of an application.

    ``away`` is set while another program has the terminal: then all waits.
    """

    def __init__(
        self,
        app: Application[str],
        asking: Callable[[], bool],
        unfinished: Callable[[], list[Fragment]],
        redraw: Callable[[], None],
    ) -> None:
        """``asking`` tells whether a request is open.

        ``unfinished`` returns what of a text still stands at the line, and is to be written;
        ``redraw`` draws the line again, soon.
        """
        self._redraw = redraw
        self.away = False
        self._app = app
        self._asking = asking
        self._unfinished = unfinished
        self._held: list[Fragment] = []

    def show(self, what: list[Fragment]) -> None:
        """Write once nothing is asked any more.

        While a request is open nothing stands below it but its prompt: text that looks like a
        request cannot be taken for it.
        """
        if self._asking():
            self._held += what
        else:
            self.say(what)

    def release(self) -> None:
        """Write what came while something was asked."""
        held, self._held = self._held, []
        self.say(held)

    def say(self, what: str | list[Fragment]) -> None:
        """Write at once: what the person asked for, or is told of a line, which is text alone.

        Such a line stands below what was written before it.

        The line is taken away, and drawn again by the program's next redraw. prompt_toolkit's own
        way to do this gives the keyboard back to the terminal meanwhile, which then echoes keys
        and takes Ctrl-C and Ctrl-D for itself.
        """
        if isinstance(what, str):
            before = [] if self._asking() else self._unfinished()
            what = [*before, *wrapped([("", what)], shutil.get_terminal_size().columns)]
        if not what:
            return
        if self.away:
            self._held += what
            return
        if self._app.is_running:
            self._app.renderer.erase()
        write(what)
        if self._app.is_running:
            self._app.renderer.request_absolute_cursor_position()
            self._redraw()

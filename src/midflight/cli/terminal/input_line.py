"""The input line: a message, or while something is asked an answer; each keeps its own text."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple, cast

from prompt_toolkit import Application, PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_done, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.layout import ConditionalContainer, FormattedTextControl, HSplit, Window
from prompt_toolkit.utils import is_dumb_terminal

from midflight._util.aio import TaskSet
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import did_you_mean
from midflight.cli.answers import is_answer
from midflight.cli.output import Fragment
from midflight.cli.terminal import reflow
from midflight.cli.terminal.completer import LineCompleter, Values
from midflight.cli.terminal.history import LineHistory
from midflight.cli.terminal.notifications import Notifications
from midflight.cli.terminal.output_area import OutputArea
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.slash_commands import COMMANDS, split
from midflight.events import Request

READ_S = 0.7
"""How long a request must have been on the screen before a line answers it.

Longer than two strokes on a keyboard are apart, so that what was typed for something else is no
answer; shorter than anybody takes to read what is asked.
"""


DRAW_S = 0.1
"""How long it takes at least from one drawing of what others write to the next."""


class Line(NamedTuple):
    """What was sent off, and the request that it answers if it is no command."""

    text: str
    answers: Request | None


class InputLine:
    """The line at the bottom of the terminal, its keys, and what is put aside of it.

    ``output`` is the screen above it. ``answered`` is the request whose answer is on its way.
    """

    def __init__(
        self,
        requests: PendingRequests,
        notifications: Notifications,
        *,
        folder: Path,
        journal: bool,
        values: Values,
        unfinished: Callable[[], list[Fragment]],
        above: Callable[[], StyleAndTextTuples],
        below: Callable[[], str],
        stop: Callable[[], object],
        stop_or_quit: Callable[[], None],
        why_not: Callable[[str, str], str],
        switch: Callable[[], None],
    ) -> None:
        """``folder`` is the session's: of its files, and of what was said there before.

        ``journal`` says whether earlier sessions are looked through for that, ``values`` what a
        command can take. ``above`` stands over the line while nothing is asked, ``below`` under it
        always. ``stop`` is what Esc does, ``stop_or_quit`` what Ctrl-C does, ``switch`` what F2
        does. ``why_not`` returns why a command, with what is behind it, cannot be carried out as it
        was typed, or nothing.
        """
        self._requests = requests
        self._notifications = notifications
        self._above = above
        self._stop = stop
        self._stop_or_quit = stop_or_quit
        self._why_not = why_not
        self._switch = switch
        self._draft = ""
        self._kept = ""
        self._to_message = False
        self._answers: Request | None = None
        self._shown_at = float("-inf")
        self._later = TaskSet()
        self.answered: Request | None = None
        self._completer = LineCompleter(folder, values)
        self._history = LineHistory(folder if journal else None, lambda: self._answers is not None)
        self._above_now: StyleAndTextTuples | None = None
        self._prompt: PromptSession[str] = PromptSession(
            self._words,
            completer=self._completer,
            complete_while_typing=Condition(self._offers),
            history=self._history,
            bottom_toolbar=below,
            key_bindings=self._keys(),
            refresh_interval=0.5,
            erase_when_done=True,
            prompt_continuation="  ",
        )
        app = self._prompt.app
        self._add_above(app)
        app.ttimeoutlen = 0.05  # a lone Esc is known as such soon, …
        app.timeoutlen = 0.3  # … also where it could begin a longer key
        reflow.follow(app)
        app.key_processor.before_key_press += notifications.key
        self._drawn_at = float("-inf")
        self._drawing: asyncio.TimerHandle | None = None
        self.output = OutputArea(app, lambda: requests.current is not None, unfinished, self.redraw)

    # What is read -------------------------------------------------------------------------

    def keyboard(self) -> AbstractContextManager[None]:
        """Return what keeps the keyboard ours, also between two lines.

        The terminal would take keys for itself there, and Ctrl-U would forget those typed before
        it.
        """
        return self._prompt.input.raw_mode()

    async def read(self) -> Line:
        """Return the next line that is sent off. Raises `EOFError` for Ctrl-D."""
        line = await self._prompt.prompt_async(
            default=self._take_draft(),
            handle_sigint=False,
            pre_run=self._begin_reading,  # what was typed before is for something else
        )
        return Line(line.strip(), self._answers)

    @property
    def _buffer(self) -> Buffer:
        return self._prompt.default_buffer

    @property
    def _editing(self) -> bool:
        return self._prompt.app.is_running and not self._prompt.app.is_done

    def redraw(self) -> None:
        """Draw the line soon, and what stands over and under it: `DRAW_S` after the last time.

        What is typed is drawn at once, by prompt_toolkit itself.
        """
        if self._drawing is None:
            loop = asyncio.get_running_loop()
            self._drawing = loop.call_at(self._drawn_at + DRAW_S, self._draw)

    def _draw(self) -> None:
        self._drawing, self._drawn_at = None, asyncio.get_running_loop().time()
        self._prompt.app.invalidate()

    def clear(self) -> bool:
        """Drop what is typed; return whether there was anything."""
        typed = bool(self._buffer.text)
        if typed:
            self._buffer.reset()
        return typed

    # What is put aside --------------------------------------------------------------------

    def keep(self, text: str) -> None:
        """Have the next line begin with a text that was not sent."""
        self._kept = text

    def put_back(self, text: str) -> None:
        """Put a text into the message's line, above what stands there."""
        if self._editing and (self._requests.current is None or self._to_message):
            self._buffer.document = Document("\n".join(filter(None, (text, self._buffer.text))))
        else:
            self._draft = "\n".join(filter(None, (text, self._draft)))

    def _take_draft(self) -> str:
        """Return what the line begins with: a line that was not sent, or a draft."""
        if kept := self._kept:
            self._kept = ""
            return kept
        if self._requests.current is not None and not self._to_message:
            return ""
        draft, self._draft = self._draft, ""
        return draft

    def _turn(self) -> None:
        """Go from the answer's line to the message's, or back; each keeps its text."""
        other, self._draft = self._draft, self._buffer.text
        self._buffer.document = Document(other)
        self._to_message = not self._to_message

    # What is asked ------------------------------------------------------------------------

    def ask(self) -> None:
        """Show the request that is now the first, with an empty line for its answer."""
        if self._editing and not self._to_message:
            self._draft, self._buffer.text = self._draft or self._buffer.text, ""
        elif self._editing:
            self._turn()
        self._to_message = False
        self.show_request()

    def show_request(self) -> None:
        """Show what is asked, whole; a dumb terminal cannot show the words before the input."""
        if self.output.away:
            return  # once the person is back
        size = shutil.get_terminal_size()
        shown = self._requests.shown(size.columns, size.lines)
        if shown and is_dumb_terminal():
            shown = [*shown, ("", f"{self._requests.prompt}:\n")]
        self.output.say(shown)
        self._begin_reading()

    def _begin_reading(self) -> None:
        """The request can be read from now on, and the keys for it be pressed."""
        self._shown_at = time.monotonic()

    def resolved(self) -> None:
        """The first request has its answer: ask the next, or give back what was put aside."""
        self.answered = None
        if self._requests.current is not None:
            self.ask()
        elif self._to_message:
            self._to_message, self._draft = False, ""  # its answer's line is of no use any more
        elif self._editing and not self._buffer.text:
            self._buffer.document = Document(self._take_draft())

    def message_sent(self) -> None:
        """What is asked has the line again."""
        self._to_message = False

    # What the person sees and presses -----------------------------------------------------

    def _add_above(self, app: Application[str]) -> None:
        """Have what stands over the line drawn in a place of its own.

        As a part of the prompt, which may have several lines too, it would be cut into characters,
        a dozen times for each drawing.
        """

        def forget(_: object) -> None:
            self._above_now = None

        def above() -> StyleAndTextTuples:
            if self._above_now is None:
                # Nothing that others write stands below a request.
                self._above_now = [] if self._requests.current is not None else self._above()
            return self._above_now

        app.before_render += forget
        app.after_render += forget
        window = Window(FormattedTextControl(above), dont_extend_height=True)
        shown = Condition(lambda: bool(above())) & ~is_done
        cast("HSplit", app.layout.container).children.insert(0, ConditionalContainer(window, shown))

    def _words(self) -> StyleAndTextTuples:
        """Return what stands in front of the line."""
        if self._requests.current is None:
            return [("bold", "> ")]
        if self._to_message:
            return [("bold", "Message to the agent (Tab: back to the answer) > ")]
        return [("bold", f"{self._requests.prompt} > ")]

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        self._add_line_keys(keys)
        self._add_session_keys(keys)
        self._notifications.bind(keys)
        return keys

    def _add_line_keys(self, keys: KeyBindings) -> None:
        """Add what changes the line, or sends it off; while it is searched for they differ."""
        typing = ~is_searching

        # Eager, because on a dumb terminal the keys of prompt_toolkit itself would come first.
        @keys.add("enter", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            if self._took_offer(event.current_buffer):
                return
            if event.current_buffer.document.text_before_cursor.endswith("\\"):
                event.current_buffer.delete_before_cursor()
                event.current_buffer.insert_text("\n")
                return
            # What the line answers is what was asked when it was sent off, and nothing later.
            if why := self._why_kept(event.current_buffer.text.strip()):
                self.output.say(f"  {why}\n")
                return
            self._answers = None if self._to_message else self._requests.current
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter", filter=typing, eager=True)
        @keys.add("c-j", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-g", filter=typing, eager=True)
        @keys.add("c-x", "c-e", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            self._later.start(self._edit(event.current_buffer))

        @keys.add("up", filter=typing & ~Condition(self._history.is_read.is_set))
        def _(event: KeyPressEvent) -> None:
            self._later.start(self._go_up(event.current_buffer))

        @keys.add("tab", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            if _is_offered(event.current_buffer):
                event.current_buffer.complete_next()
            elif self._requests.current is not None:
                self._turn()
            else:
                event.current_buffer.start_completion(insert_common_part=True)

    def _add_session_keys(self, keys: KeyBindings) -> None:
        """Add what stops the session's turn, or leaves it."""
        typing = ~is_searching

        @keys.add("f2", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            self._switch()

        @keys.add("escape", filter=typing)
        def _(event: KeyPressEvent) -> None:
            if _is_offered(event.current_buffer):
                event.current_buffer.cancel_completion()
            else:
                self._stop()

        @keys.add("c-c", filter=typing, eager=True)
        def _(event: KeyPressEvent) -> None:
            self._stop_or_quit()

        @keys.add("c-z", eager=True)
        def _(event: KeyPressEvent) -> None:
            # Other hosts take over what a program has that stands still.
            self.output.say("  Ctrl-Z would hold up the session too: work on in another terminal\n")

    async def _go_up(self, buffer: Buffer) -> None:
        """Go to the line before, once what was typed before has been read."""
        await self._history.is_read.wait()
        buffer.auto_up()

    def _offers(self) -> bool:
        return self._completer.offers(self._buffer.document.text_before_cursor)

    def _took_offer(self, buffer: Buffer) -> bool:
        """Take what was chosen of what was offered; return whether the line goes on after it."""
        chosen = buffer.complete_state and buffer.complete_state.current_completion
        buffer.complete_state = None
        if not chosen or not self._completer.goes_on(buffer.document.text_before_cursor):
            return False
        buffer.insert_text(" ")
        return True

    def _why_kept(self, line: str) -> str:
        """Return why a line is neither an answer nor a message yet, or nothing."""
        name, text = split(line)
        if name in COMMANDS:
            return self._why_not(name, text)
        slip = name.rfind("/") == 0  # and not the path of a file
        if slip and (near := did_you_mean(name, COMMANDS, "")):
            return f"there is no {one_name(name, 40)} here; {near} /{name} sends it to the agent"
        asked = self._requests.current
        if asked is None or self._to_message:
            if not is_answer(line):
                return ""
            back = "Tab goes back to the answer" if asked else "nothing is asked"
            return f'"{one_line(line, 40)}" answers, and is not sent as a message: {back}'
        if asked is self.answered:
            return "your answer is on its way"
        if time.monotonic() - self._shown_at < READ_S:
            return "that came too soon to be an answer to this: read it, then press Enter"
        return ""

    def leave(self) -> None:
        """Have `read` return nothing; what is typed stays for the next time."""
        self._kept, self._answers = self._buffer.text, None
        self._prompt.app.exit(result="")

    async def _edit(self, buffer: Buffer) -> None:
        """Have the line edited in the person's editor, which has the terminal meanwhile."""
        self._kept = buffer.text
        with self.elsewhere():
            await buffer.open_in_editor()
            self._kept = buffer.text
        buffer.text, self._kept = self._kept, ""

    @contextmanager
    def elsewhere(self) -> Iterator[None]:
        """Have the block use the terminal; what comes meanwhile is shown when it ends.

        The text that was kept was not written for what is asked meanwhile.
        """
        asked, is_message = self._requests.current, self._to_message
        self.output.away, self._shown_at = True, float("inf")  # nothing is read on this screen
        try:
            with self._notifications.listening(to_focus=False):
                yield
        finally:
            self.output.away = False
            self._begin_reading()
            if self._requests.current not in (None, asked):
                line, self._kept = self._kept, ""
                self._draft = line if asked is None or is_message else self._draft
            if self._requests.current is not None:
                self.show_request()
            else:
                self.output.release()


def _is_offered(buffer: Buffer) -> bool:
    """Tell whether something is offered that can be chosen."""
    return buffer.complete_state is not None and bool(buffer.complete_state.completions)

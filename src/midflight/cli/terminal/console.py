"""The terminal: output streams above a live input line, and what is typed reaches the agent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.utils import is_dumb_terminal

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.sanitize import one_line, one_name
from midflight._util.text import did_you_mean
from midflight.cli.answers import is_answer
from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.output import Fragment, write
from midflight.cli.terminal.output_area import OutputArea
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.slash_commands import COMMANDS, SlashCommands, split, tried
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.transcript import ExitOutcome
from midflight.errors import InvalidInput
from midflight.events import Request
from midflight.session import BaseSession
from midflight.state.session import AT_REST

if TYPE_CHECKING:
    from midflight.cli.terminal.tree import Tree


TWICE_S = 2.0
"""How soon a second Ctrl-C must come to mean: quit."""

LOOK_AGAIN_S = 0.5
"""How often an attached terminal looks whether a parked session was resumed."""

OWN_LINES = 6
"""How many lines the input, the status line and a little of what came before are left."""

READ_S = 0.7
"""How long a request must have been on the screen before a line answers it.

Longer than two strokes on a keyboard are apart, so that what was typed for something else is no
answer; shorter than anybody takes to read what is asked.
"""


class Console:
    """One session at one terminal, until the person quits."""

    def __init__(
        self,
        session: BaseSession,
        cwd: Path,
        then: Sequence[str] = (),
        *,
        attached: bool = False,
        tree: Tree | None = None,
    ) -> None:
        """``then`` are messages that are queued behind the task.

        ``attached`` says that the session continues when the person quits. ``tree`` are the
        sessions below it; what they ask is asked here.
        """
        self._tree = tree
        if tree is not None:
            tree.children.followers.append(lambda _, event: self._show_child(event))
        self._session = session
        self._then = then
        self._attached = attached
        self._shown = 0
        self._screen = Screen(cwd)
        self._status = StatusLine()
        self._requests = PendingRequests(cwd)
        self._outcome = ExitOutcome()
        self._quit = asyncio.Event()
        self._idle_key_at = float("-inf")
        self._draft = ""
        self._kept = ""
        self._to_message = False
        self._answering: Request | None = None
        self._answered: Request | None = None
        self._shown_at = float("-inf")
        self._stopping = False
        self._commands = TaskSet()
        self._prompt: PromptSession[str] = PromptSession(
            self._message,
            bottom_toolbar=self._toolbar,
            key_bindings=self._keys(),
            refresh_interval=0.5,
            erase_when_done=True,
            prompt_continuation="  ",
        )
        self._prompt.app.ttimeoutlen = 0.05  # a lone Esc is known as such soon, …
        self._prompt.app.timeoutlen = 0.3  # … also where it could begin a longer key
        self._prompt.app.min_redraw_interval = 0.05
        self._output = OutputArea(self._prompt.app, lambda: self._requests.current is not None)
        self._slash = SlashCommands(
            session, self._status, self._output.say, self._quit, attached=attached
        )

    async def run(self) -> int:
        """Run until the person quits; return the exit code of the last message."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop_or_quit)
        for text in self._then:
            await self._session.send(text, delivery="queue")
        tasks = [asyncio.create_task(work) for work in (self._watch(), self._read(), self._end())]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            working = self._status.running
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._output.release()
        for task in done:
            task.result()
        return INTERRUPTED if working else self._outcome.code

    async def _end(self) -> None:
        await self._quit.wait()

    # What the agent does ------------------------------------------------------------------

    def replay(self, events: Sequence[e.Event], model: str) -> None:
        """Show what has happened before, all at once, and what still waits for an answer."""
        shown: list[Fragment] = []
        for event in events:
            self._shown = event.seq or self._shown
            self._status.take(event, time.monotonic() - (time.time() - event.time))
            shown += self._screen.take(event, self._width)
        write(shown)
        self._status.model = model
        if not any(isinstance(event, (e.TurnStarted, e.TurnEnded)) for event in events):
            self._status.running = self._runs
        for request in self._session.pending:
            self._ask(request)

    async def _watch(self) -> None:
        """Show the events until the session has ended; a parked one can be resumed at any time."""
        while True:
            async for event in self._session.events(self._shown):
                self._shown = event.seq or self._shown
                self._show(event)
                if isinstance(event, e.SessionEnded) and event.reason not in AT_REST:
                    return
            if not self._attached:
                return
            await asyncio.sleep(LOOK_AGAIN_S)

    def _show(self, event: e.Event) -> None:
        self._outcome.take(event)
        self._status.take(event, time.monotonic())
        shown = self._screen.take(event, self._width)
        match event:
            case e.SessionStarted(model=model):
                self._status.model = model
                self._output.show(shown)
            case e.TurnEnded():
                self._stopping = False
                self._output.show(shown)
            case e.PermissionRequested() | e.QuestionRequested():
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                self._resolved(event.session, request, shown)
            case _:
                self._output.show(shown)
        if not self._screen.running:
            self._give_back()
        self._prompt.app.invalidate()

    def _give_back(self) -> None:
        """Put what was not sent into the message's line again, above what stands there."""
        unsent = "\n".join(self._screen.take_unsent())
        if not unsent:
            return
        if self._editing and (self._requests.current is None or self._to_message):
            buffer = self._prompt.default_buffer
            buffer.document = Document("\n".join(filter(None, (unsent, buffer.text))))
        else:
            self._draft = "\n".join(filter(None, (unsent, self._draft)))

    def _show_child(self, event: e.Event) -> None:
        """Show what a child asks, and how that was answered; the tree shows the rest."""
        match event:
            case e.PermissionRequested() | e.QuestionRequested():
                self._screen.take(event, self._width)
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                asker = self._tree.asker(event.session) if self._tree else ""
                shown = self._screen.take(event, self._width)
                self._resolved(event.session, request, [("", f"  {asker}:"), *shown])
        self._prompt.app.invalidate()

    def _ask(self, request: Request) -> None:
        """Show a request; what was being typed is not an answer to it, so it is put aside."""
        first = self._requests.current is None
        tree, session = self._tree, request.session
        if tree is None:
            self._requests.add(request)
        else:
            self._requests.add(request, tree.asker(session), tree.folder(session))
        if first:
            self._show_next()

    def _resolved(self, session: str, request: str, shown: list[Fragment]) -> None:
        """A request has its answer: show it, what came meanwhile, and the next request, if any."""
        if not self._requests.remove(session, request):
            self._output.show(shown)
            return
        self._answered = None
        self._output.say(shown)
        self._output.release()
        if self._requests.current is not None:
            self._show_next()
        elif self._to_message:
            self._to_message, self._draft = False, ""  # its answer's line is of no use any more
        elif self._editing and not self._prompt.default_buffer.text:
            self._prompt.default_buffer.document = Document(self._take_draft())

    @property
    def _editing(self) -> bool:
        return self._prompt.app.is_running and not self._prompt.app.is_done

    def _show_next(self) -> None:
        """Show the request that is now the first, with an empty line for its answer."""
        if self._editing and not self._to_message:
            buffer = self._prompt.default_buffer
            self._draft, buffer.text = self._draft or buffer.text, ""
        elif self._editing:
            self._turn_line()
        self._to_message = False
        self._show_request()

    def _turn_line(self) -> None:
        """Go from the answer's line to the message's, or back; each keeps its text."""
        buffer = self._prompt.default_buffer
        other, self._draft = self._draft, buffer.text
        buffer.document = Document(other)
        self._to_message = not self._to_message

    def _take_draft(self) -> str:
        """Return what the input line begins with: a line that was not sent, or a draft."""
        if kept := self._kept:
            self._kept = ""
            return kept
        if self._requests.current is not None and not self._to_message:
            return ""
        draft, self._draft = self._draft, ""
        return draft

    def _show_request(self) -> None:
        """Show what is asked, whole; a dumb terminal cannot show the words before the input."""
        if self._output.away:
            return  # once the person is back
        size = shutil.get_terminal_size()
        shown = self._requests.shown(size.columns, size.lines)
        if shown and is_dumb_terminal():
            shown = [*shown, ("", f"{self._requests.prompt}:\n")]
        self._output.say(shown)
        self._begin_reading()

    def _begin_reading(self) -> None:
        """The request can be read from now on, and the keys for it be pressed."""
        self._shown_at = time.monotonic()

    # What the person sees at the bottom ---------------------------------------------------

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns

    def _message(self) -> StyleAndTextTuples:
        if self._requests.current is not None:  # and nothing that others write stands below it
            if self._to_message:
                return [("bold", "Message to the agent (Tab: back to the answer) > ")]
            return [("bold", f"{self._requests.prompt} > ")]
        tree = self._tree.lines(self._width - 1) if self._tree is not None else []
        rows = shutil.get_terminal_size().lines - len(tree) - OWN_LINES
        live = [("", line) for line in self._screen.live(self._width, rows)]
        return [*((style, f"{line}\n") for style, line in (*live, *tree)), ("bold", "> ")]

    def _toolbar(self) -> str:
        return self._status.line(
            time.monotonic(),
            self._width,
            asking=self._requests.current is not None,
            queued=len(self._session.queued),
        )

    # What the person does -----------------------------------------------------------------

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        # Eager, because on a dumb terminal the keys of prompt_toolkit itself would come first.
        @keys.add("enter", eager=True)
        def _(event: KeyPressEvent) -> None:
            if event.current_buffer.document.text_before_cursor.endswith("\\"):
                event.current_buffer.delete_before_cursor()
                event.current_buffer.insert_text("\n")
                return
            # What the line answers is what was asked when it was sent off, and nothing later.
            if why := self._why_kept(event.current_buffer.text.strip()):
                self._output.say(f"  {why}\n")
                return
            self._answering = None if self._to_message else self._requests.current
            event.current_buffer.validate_and_handle()

        @keys.add("escape", "enter", eager=True)
        @keys.add("c-j", eager=True)
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("c-g", eager=True)
        @keys.add("c-x", "c-e", eager=True)
        def _(event: KeyPressEvent) -> None:
            self._commands.start(self._edit(event.current_buffer))

        @keys.add("tab", eager=True)
        def _(event: KeyPressEvent) -> None:
            if self._requests.current is not None:
                self._turn_line()

        @keys.add("escape")
        def _(event: KeyPressEvent) -> None:
            self._stop()

        @keys.add("c-c", eager=True)
        def _(event: KeyPressEvent) -> None:
            self._stop_or_quit()

        @keys.add("c-z", eager=True)
        def _(event: KeyPressEvent) -> None:
            # Other hosts take over what a program has that stands still.
            self._output.say(
                "  Ctrl-Z would hold up the session too: work on in another terminal\n"
            )

        return keys

    def _why_kept(self, line: str) -> str:
        """Return why a line is neither an answer nor a message yet, or nothing."""
        name, _ = split(line)
        if name in COMMANDS:
            return ""
        slip = name.rfind("/") == 0  # and not the path of a file
        if slip and (near := did_you_mean(name, COMMANDS, "")):
            return f"there is no {one_name(name, 40)} here; {near} /{name} sends it to the agent"
        asked = self._requests.current
        if asked is None or self._to_message:
            if not is_answer(line):
                return ""
            back = "Tab goes back to the answer" if asked else "nothing is asked"
            return f'"{one_line(line, 40)}" answers, and is not sent as a message: {back}'
        if asked is self._answered:
            return "your answer is on its way"
        if time.monotonic() - self._shown_at < READ_S:
            return "that came too soon to be an answer to this: read it, then press Enter"
        return ""

    def _stop(self) -> bool:
        """Stop what runs. Return whether anything does."""
        if self._runs and not self._stopping:
            self._stopping = True
            self._output.say("  [stop]\n")
            self._commands.start(self._session.submit(c.Interrupt()))
        return self._runs

    @property
    def _runs(self) -> bool:
        """Whether there is a turn to stop; before the first, leaving is all that can be done."""
        return self._session.status in ("running", "waiting")

    def _stop_or_quit(self) -> None:
        """Stop what runs, else drop what is typed; where nothing is, the second time, quit."""
        now = time.monotonic()
        if self._session.status == "starting":
            self._quit.set()
        elif self._stop():
            self._idle_key_at = float("-inf")
        elif self._prompt.default_buffer.text:
            self._prompt.default_buffer.reset()
        elif now - self._idle_key_at < TWICE_S:
            self._quit.set()
        else:
            self._idle_key_at = now
            self._output.say("  Ctrl-C once more to quit\n")

    async def _edit(self, buffer: Buffer) -> None:
        """Have the line edited in the person's editor, which has the terminal meanwhile."""
        asked, is_message = self._requests.current, self._to_message
        self._output.away, self._shown_at = True, float("inf")  # nothing is read on this screen
        try:
            await buffer.open_in_editor()
        finally:
            self._output.away = False
            self._begin_reading()
            if self._requests.current not in (None, asked):  # which nothing was written for
                line, buffer.text = buffer.text, ""
                self._draft = line if asked is None or is_message else self._draft
            if self._requests.current is not None:
                self._show_request()
            else:
                self._output.release()

    async def _read(self) -> None:
        """Read lines until the person quits.

        The keyboard is ours also between two prompts: the terminal would take keys for itself
        there, and Ctrl-U would forget those typed before it.
        """
        with contextlib.suppress(EOFError), self._prompt.input.raw_mode():
            while not self._quit.is_set():
                line = await self._prompt.prompt_async(
                    default=self._take_draft(),
                    handle_sigint=False,
                    pre_run=self._begin_reading,  # what was typed before is for something else
                )
                try:
                    await self._execute(line.strip())
                except InvalidInput as error:  # a text that no agent can take
                    self._session.notice("error", str(error))

    async def _execute(self, line: str) -> None:
        """Carry out a line: a command, an answer, or a message."""
        name, text = split(line)
        if name in COMMANDS:
            await self._slash.carry_out(name, text)
            return
        if line.startswith("//"):
            line = line[1:]
        if self._answering is not None:
            await self._answer(self._answering, line)
        elif line:
            await self._send(c.Send(text=line))

    async def _send(self, message: c.Send) -> None:
        await self._session.submit(message)
        if self._requests.current is not None:
            self._to_message = False
            self._output.say(f"  [message] {one_line(message.text)}\n")

    async def _answer(self, asked: Request, line: str) -> None:
        if asked is not self._requests.current:
            self._kept = line
            self._output.say("  that is no longer asked, so nothing was answered\n")
            return
        answer = self._requests.answer(line)
        match answer:
            case None:
                self._show_request()
            case str():
                self._output.say(f"  {answer}\n")
            case c.Send():
                await self._send(answer)
            case c.Answer():
                await self._submit(asked, answer)

    async def _submit(self, asked: Request, answer: c.Answer) -> None:
        """Send an answer; the event that it was taken shows it, and what came meanwhile."""
        self._answered = asked
        if self._tree is not None and asked.session != self._session.id:
            wrong = await self._tree.answer(asked.session, answer)
        else:
            wrong = await tried(self._session, answer)
        if wrong:
            self._answered = None
            self._output.say(f"  {wrong}\n")

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
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.utils import is_dumb_terminal

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.sanitize import one_name
from midflight.cli.output import Fragment, write
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.transcript import ExitOutcome
from midflight.errors import InvalidInput
from midflight.events import Request
from midflight.session import BaseSession
from midflight.state.session import AT_REST

if TYPE_CHECKING:
    from midflight.cli.terminal.tree import Tree


TWICE_S = 2.0
"""How soon a second Esc or Ctrl-C must come to mean: quit."""

LOOK_AGAIN_S = 0.5
"""How often an attached terminal looks whether a parked session was resumed."""

HELP = """
  text             steers the running turn, or starts one
  /queue TEXT      a turn of its own, after the running one
  /redirect TEXT   stops the running turn and starts one for this
  /model M         another model              /mode P   another permission mode
  /cost            what it has cost           /stop     stop the turn (Esc, Ctrl-C)
  /help            this                       /quit     leave (Ctrl-C twice, Ctrl-D)
  /detach          leave a session that you are attached to: it goes on, as with /quit
  //text           sends /text to the agent
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
        self._stopped_at = float("-inf")
        self._draft = ""
        self._answering: Request | None = None
        self._commands = TaskSet()
        self._prompt: PromptSession[str] = PromptSession(
            self._message,
            bottom_toolbar=self._toolbar,
            key_bindings=self._keys(),
            refresh_interval=0.5,
            erase_when_done=True,
        )
        self._prompt.app.ttimeoutlen = 0.05  # a lone Esc is known as such soon, …
        self._prompt.app.timeoutlen = 0.3  # … also where it could begin a longer key
        self._prompt.app.min_redraw_interval = 0.05

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
        for task in done:
            task.result()
        return 130 if working else self._outcome.code

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
            self._status.running = self._session.status in ("running", "waiting")
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
        self._print(self._screen.take(event, self._width))
        match event:
            case e.SessionStarted(model=model):
                self._status.model = model
            case e.PermissionRequested() | e.QuestionRequested():
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                self._resolved(event.session, request)
        self._prompt.app.invalidate()

    def _show_child(self, event: e.Event) -> None:
        """Show what a child asks, and how that was answered; the tree shows the rest."""
        match event:
            case e.PermissionRequested() | e.QuestionRequested():
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                asker = self._tree.asker(event.session) if self._tree else ""
                self._print([("", f"  {asker}:"), *self._screen.take(event, self._width)])
                self._resolved(event.session, request)
        self._prompt.app.invalidate()

    def _print(self, what: str | list[Fragment]) -> None:
        """Write above the input line.

        The line is taken away, and drawn again by the program's next redraw. prompt_toolkit's own
        way to do this gives the keyboard back to the terminal meanwhile, which then echoes keys
        and takes Ctrl-C and Ctrl-D for itself.
        """
        if not what:
            return
        app = self._prompt.app
        if app.is_running:
            app.renderer.erase()
        write(what)
        if app.is_running:
            app.renderer.request_absolute_cursor_position()
            app.invalidate()

    def _ask(self, request: Request) -> None:
        """Show a request; what was being typed is not an answer to it, so it is put aside."""
        first = self._requests.current is None
        self._requests.add(request, self._tree.asker(request.session) if self._tree else "")
        if first:
            buffer = self._prompt.default_buffer
            if self._prompt.app.is_running and not self._prompt.app.is_done:
                self._draft, buffer.text = self._draft or buffer.text, ""
            self._show_request()

    def _resolved(self, session: str, request: str) -> None:
        """A request has its answer: show the next one, or what was being typed."""
        if not self._requests.remove(session, request):
            return
        if self._requests.current is not None:
            self._show_request()
        elif self._prompt.app.is_running and not self._prompt.default_buffer.text:
            self._prompt.default_buffer.document = Document(self._take_draft())

    def _take_draft(self) -> str:
        """Return what was put aside when a request came, once it has its answer."""
        if self._requests.current is not None:
            return ""
        draft, self._draft = self._draft, ""
        return draft

    def _show_request(self) -> None:
        """Show what is asked, whole; a dumb terminal cannot show the words before the input."""
        shown = self._requests.shown()
        if shown and is_dumb_terminal():
            shown = [*shown, ("", f"{self._requests.prompt}:\n")]
        self._print(shown)

    # What the person sees at the bottom ---------------------------------------------------

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns

    def _message(self) -> StyleAndTextTuples:
        live: StyleAndTextTuples = [("", f"{line}\n") for line in self._screen.live(self._width)]
        if self._tree is not None:
            live += [(style, f"{line}\n") for style, line in self._tree.lines(self._width - 1)]
        if self._requests.current is not None:
            return [*live, ("bold", f"{self._requests.prompt} > ")]
        return [*live, ("bold", "> ")]

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
            # What the line answers is what was asked when it was sent off, and nothing later.
            self._answering = self._requests.current
            event.current_buffer.validate_and_handle()

        @keys.add("escape")
        @keys.add("c-c", eager=True)
        def _(event: KeyPressEvent) -> None:
            self._stop_or_quit()

        return keys

    def _stop_or_quit(self) -> None:
        """Stop what runs, else drop what is typed; the second time, quit."""
        now = time.monotonic()
        if now - self._stopped_at < TWICE_S or self._session.status == "starting":
            self._quit.set()
        elif self._session.status in ("running", "waiting"):
            self._stopped_at = now
            self._print("  [stop] once more to quit\n")
            self._commands.start(self._session.submit(c.Interrupt()))
        elif self._prompt.default_buffer.text:
            self._prompt.default_buffer.reset()
        else:
            self._stopped_at = now
            self._print("  once more to quit\n")

    async def _read(self) -> None:
        """Read lines until the person quits."""
        with contextlib.suppress(EOFError):
            while not self._quit.is_set():
                line = await self._prompt.prompt_async(
                    default=self._take_draft(), handle_sigint=False
                )
                try:
                    await self._execute(line.strip())
                except InvalidInput as error:  # a text that no agent can take
                    self._session.notice("error", str(error))

    async def _execute(self, line: str) -> None:
        """Carry out a line: a command, an answer, or a message."""
        if line.startswith("/") and not line.startswith("//"):
            await self._command(*_split(line))
            return
        if self._answering is not None:
            await self._answer(line)
        elif line:
            await self._session.submit(c.Send(text=line.removeprefix("/")))

    async def _answer(self, line: str) -> None:
        if self._answering is None or self._answering is not self._requests.current:
            self._print("  that is no longer asked, so nothing was answered\n")
            return
        answer = self._requests.answer(line)
        if isinstance(answer, str):
            self._print(f"  {answer}\n")
        elif answer is None:
            self._show_request()
        elif self._tree is not None and self._answering.session != self._session.id:
            session = self._answering.session
            if wrong := await self._tree.answer(session, answer):
                self._print(f"  {wrong}\n")
            else:
                self._resolved(session, answer.request)
        else:
            await self._session.submit(answer)
            if all(each.request != answer.request for each in self._session.pending):
                self._resolved(self._session.id, answer.request)

    async def _command(self, name: str, text: str) -> None:
        if name in _WITH_TEXT and not text:
            self._print(f"  {name} needs something behind it\n")
            return
        match name:
            case "/queue":
                await self._session.submit(c.Send(text=text, delivery="queue"))
            case "/redirect":
                await self._session.submit(c.Redirect(text=text))
            case "/model":
                self._status.model = ""  # which one that name means, the agent may not tell
                await self._session.submit(c.SetModel(model=text))
            case "/mode":
                await self._session.submit(c.SetPermissionMode(mode=text))
            case "/stop":
                await self._session.submit(c.Interrupt())
            case "/cost":
                self._print(f"  {self._status.cost} so far\n")
            case "/help":
                self._print(HELP)
            case "/detach" if not self._attached:
                self._print("  this session lives in this terminal; run -d starts one apart\n")
            case "/quit" | "/detach":
                self._quit.set()
            case _:
                self._print(f"  there is no {one_name(name, 40)} here; /help lists what there is\n")


_WITH_TEXT = ("/queue", "/redirect", "/model", "/mode")


def _split(line: str) -> tuple[str, str]:
    name, _, text = line.partition(" ")
    return name, text.strip()

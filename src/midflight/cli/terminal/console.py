"""The terminal: output streams above a live input line, and what is typed reaches the agent."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit.formatted_text import StyleAndTextTuples

from midflight import commands as c
from midflight import events as e
from midflight._util.aio import TaskSet
from midflight._util.sanitize import one_line
from midflight.cli.exit_codes import INTERRUPTED
from midflight.cli.output import DIM, Fragment, write
from midflight.cli.terminal import queue
from midflight.cli.terminal.input_line import InputLine, Line
from midflight.cli.terminal.notifications import Notifications
from midflight.cli.terminal.others import OtherSessions
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.slash_commands import (
    COMMANDS,
    Leave,
    SlashCommands,
    split,
    tried,
    values,
)
from midflight.cli.terminal.status_line import StatusLine
from midflight.cli.terminal.transcript import ExitOutcome
from midflight.errors import InvalidInput
from midflight.events import Request
from midflight.session import BaseSession
from midflight.state.news import news
from midflight.state.session import AT_REST

if TYPE_CHECKING:
    from midflight.cli.terminal.tree import Tree
    from midflight.orchestrate.child import Child


TWICE_S = 2.0
"""How soon a second Ctrl-C must come to mean: quit."""

LOOK_AGAIN_S = 0.5
"""How often an attached terminal looks whether a parked session was resumed."""

HOW = "  type to steer · /help for more · Esc stops · Ctrl-D leaves\n"

OWN_LINES = 6
"""How many lines the input, the status line and a little of what came before are left."""

QUEUED_LINES = 4
"""How many lines above the input are for what waits."""


class Console:
    """One session at one terminal, until the person quits."""

    def __init__(
        self,
        session: BaseSession,
        cwd: Path,
        then: Sequence[str] = (),
        *,
        notifications: Notifications | None = None,
        others: OtherSessions | None = None,
        attached: bool = False,
        journal: bool = True,
        leave: Leave | None = None,
        tree: Tree | None = None,
    ) -> None:
        """``then`` are messages that are queued behind the task.

        ``notifications`` tell the person who looks elsewhere; none do without. ``others`` are
        sessions that the terminal can go to. ``attached`` says that the session continues when the
        person quits, ``leave`` has it go on without this terminal. ``journal`` says whether what
        was typed in earlier sessions can be typed again. ``tree`` are the sessions below it; what
        they ask is asked here.
        """
        self._tree = tree
        self._notifications = notifications or Notifications(wanted=False)
        self._others = others
        self._cwd = cwd
        self._session = session
        self._then = then
        self._attached = attached
        self._shown = 0
        self._screen = Screen(cwd)
        self._status = StatusLine()
        self._status.cost = session.total_cost_usd  # what was adopted had an unknown one
        self._requests = PendingRequests(cwd)
        self._outcome = ExitOutcome()
        self._quit = asyncio.Event()
        self._idle_key_at = float("-inf")
        self._stopping = False
        self._going = False
        self._commands = TaskSet()
        self._telling = TaskSet()
        self._line = InputLine(
            self._requests,
            self._notifications,
            folder=cwd,
            journal=journal,
            values=functools.partial(values, session),
            unfinished=lambda: self._screen.cut(self._width),
            above=self._above,
            below=self._toolbar,
            stop=self._stop,
            stop_or_quit=self._stop_or_quit,
            why_not=self._why_not,
            switch=self._switch,
        )
        self._output = self._line.output
        self._slash = SlashCommands(
            session, self._status, self._output.say, self._quit, leave=leave, attached=attached
        )

    async def run(self) -> int:
        """Run until the person quits; return the exit code of the last message."""
        gc.freeze()  # looking for garbage in all that was loaded would hold a key up for 0.1 s
        followers = self._tree.children.followers if self._tree is not None else []
        followers.append(self._show_child)
        self._take_sigint()
        if self._requests.current is None:  # below which nothing stands
            self._output.say([(DIM, HOW)])
        for text in self._then:
            await self._session.send(text, delivery="queue")
        work = [self._watch(), self._read(), self._end()]
        if self._others is not None and not self._others.home:
            work.append(self._others.watch(self._line.redraw))
        tasks = [asyncio.create_task(each) for each in work]
        try:
            with self._notifications.listening():
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            followers.remove(self._show_child)
            working = self._status.running
            self._telling.cancel()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._output.release()
        for task in done:
            task.result()
        return INTERRUPTED if working else self._outcome.code

    def quit(self) -> None:
        """Leave, as the person can."""
        self._quit.set()

    def _take_sigint(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, self._stop_or_quit)

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
                self._tell(event, lambda: not self._status.running)
            case e.PermissionRequested() | e.QuestionRequested():
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                self._resolved(event.session, request, shown)
            case _:
                self._output.show(shown)
        if not self._screen.running:
            self._give_back()
        self._line.redraw()

    def _give_back(self) -> None:
        """Put what was not sent into the message's line again."""
        if unsent := "\n".join(self._screen.take_unsent()):
            self._line.put_back(unsent)

    def _show_child(self, _: Child, event: e.Event) -> None:
        """Show what a child asks, and how that was answered; the tree shows the rest."""
        match event:
            case e.PermissionRequested() | e.QuestionRequested():
                self._screen.take(event, self._width)
                self._ask(event)
            case e.PermissionResolved(request=request) | e.QuestionResolved(request=request):
                asker = self._tree.asker(event.session) if self._tree else ""
                shown = self._screen.take(event, self._width)
                self._resolved(event.session, request, [("", f"  {asker}:"), *shown])
        self._line.redraw()

    def _ask(self, request: Request) -> None:
        """Show a request; what was being typed is not an answer to it, so it is put aside."""
        first = self._requests.current is None
        if first:
            self._output.say(self._screen.cut(self._width))
        tree, session = self._tree, request.session
        if tree is None:
            self._requests.add(request)
        else:
            self._requests.add(request, tree.asker(session), tree.folder(session))
        if first:
            self._line.ask()
        self._tell(request, lambda: self._requests.has(session, request.request))

    def _tell(self, event: Request | e.TurnEnded, lasts: Callable[[], bool]) -> None:
        """Notify the person of what waits or has ended, unless they look here."""
        name, cwd = self._session.name, self._cwd
        if self._tree is not None and (child := self._tree.asker(event.session)):
            name, cwd = child, self._tree.folder(event.session) or cwd
        if (told := news(event, name, str(cwd))) is not None:
            self._telling.start(self._notifications.tell(told, lasts))

    def _resolved(self, session: str, request: str, shown: list[Fragment]) -> None:
        """A request has its answer: show it, what came meanwhile, and the next request, if any."""
        if not self._requests.remove(session, request):
            self._output.show([*self._screen.cut(self._width), *shown] if shown else [])
            return
        self._output.say(shown)
        self._output.release()
        self._line.resolved()

    # What the person sees at the bottom ---------------------------------------------------

    @property
    def _width(self) -> int:
        return shutil.get_terminal_size().columns

    def _above(self) -> StyleAndTextTuples:
        tree = self._tree.lines(self._width - 1) if self._tree is not None else []
        queued = [("ansibrightblack", line) for line in self._waiting()]
        rows = shutil.get_terminal_size().lines - len(tree) - len(queued) - OWN_LINES
        tools = self._screen.tools.lines(time.time(), self._width - 1)[: max(rows, 0)]
        running = [("ansibrightblack", line) for line in tools]
        live = [("", line) for line in self._screen.live(self._width, rows - len(tools))]
        lines: StyleAndTextTuples = [*live, *running, *tree, *queued]
        return [part for line in lines for part in (("", "\n"), line)][1:]

    def _waiting(self) -> list[str]:
        """Return the first messages that wait, and how many more there are.

        Where no turn runs, a steer is about to begin one.
        """
        running = self._status.running
        queued = [each for each in self._session.queued if running or each.delivery == "queue"]
        first = queued if len(queued) <= QUEUED_LINES else queued[: QUEUED_LINES - 1]
        lines = queue.lines(first, self._width - 1)
        more = len(queued) - len(first)
        return [*lines, f"  … {more} more: /queue"] if more else lines

    def _toolbar(self) -> str:
        return self._status.line(
            time.monotonic(),
            self._width,
            others=self._others.line if self._others is not None else "",
            asking=self._requests.current is not None,
            queued=len(self._session.queued),
        )

    # What the person does -----------------------------------------------------------------

    def _why_not(self, name: str, text: str) -> str:
        return self._slash.why_not(name, text)

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
        elif self._line.clear():
            pass
        elif now - self._idle_key_at < TWICE_S:
            self._quit.set()
        else:
            self._idle_key_at = now
            self._output.say("  Ctrl-C once more to quit\n")

    def _switch(self) -> None:
        """Leave the line for another session, or for the one that the person has come from."""
        if self._others is not None and (self._others.home or self._others.waiting):
            self._going = True
            self._line.leave()
        else:
            self._output.say("  no other session waits for you\n")

    async def _go(self) -> None:
        """Go to another session that waits, or back to the one that the person has come from."""
        self._going = False
        if self._others is None or self._others.home:
            self._quit.set()
            return
        with self._line.elsewhere():
            await self._others.go(self._session.name, self._notifications)
            self._take_sigint()

    async def _read(self) -> None:
        """Read lines until the person quits."""
        with contextlib.suppress(EOFError), self._line.keyboard():
            while not self._quit.is_set():
                line = await self._line.read()
                if self._going:
                    await self._go()
                    continue
                try:
                    await self._execute(line)
                except InvalidInput as error:  # a text that no agent can take
                    self._session.notice("error", str(error))

    async def _execute(self, line: Line) -> None:
        """Carry out a line: a command, an answer, or a message."""
        name, rest = split(line.text)
        if name in COMMANDS:
            await self._slash.carry_out(name, rest)
            return
        text = line.text[1:] if line.text.startswith("//") else line.text
        if line.answers is not None:
            await self._answer(line.answers, text)
        elif text:
            await self._send(c.Send(text=text))

    async def _send(self, message: c.Send) -> None:
        if not await self._slash.submit(message):
            self._line.keep(message.text)
        elif self._requests.current is not None:
            self._line.message_sent()
            self._output.say(f"  [message] {one_line(message.text)}\n")

    async def _answer(self, asked: Request, line: str) -> None:
        if asked is not self._requests.current:
            self._line.keep(line)
            self._output.say("  that is no longer asked, so nothing was answered\n")
            return
        answer = self._requests.answer(line)
        match answer:
            case None:
                self._line.show_request()
            case str():
                self._output.say(f"  {answer}\n")
            case c.Send():
                await self._send(answer)
            case c.Answer():
                await self._submit(asked, answer)

    async def _submit(self, asked: Request, answer: c.Answer) -> None:
        """Send an answer; the event that it was taken shows it, and what came meanwhile."""
        self._line.answered = asked
        if self._tree is not None and asked.session != self._session.id:
            wrong = await self._tree.answer(asked.session, answer)
        else:
            wrong = await tried(self._session, answer)
        if wrong:
            self._line.answered = None
            self._output.say(f"  {wrong}\n")

"""The board's screen: draws what `Board` says, and hands it the keys."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.containers import Container

from midflight._util.aio import TaskSet
from midflight._util.sanitize import one_line, one_name
from midflight.cli.board import view
from midflight.cli.board.acts import Act, CarryOut, Dispatch, Enter, Leave, Look
from midflight.cli.board.board import Board
from midflight.cli.board.boxes import Box, FilterBox
from midflight.cli.board.feed import Feed
from midflight.cli.board.groups import Row
from midflight.cli.board.reading import Reading
from midflight.cli.board.request import Asking
from midflight.cli.board.widgets import Lines, Typed
from midflight.cli.board.wrap import Line, lines_of
from midflight.cli.options import resolve_options
from midflight.cli.output import DIM
from midflight.cli.parser import make_parser
from midflight.errors import MidflightError

if TYPE_CHECKING:
    from midflight.client.client import Client

CLOCK_S = 1.0
"""How often what shows the time is drawn anew."""

LEAVES_S = 5.0
"""How long a command that is on its way is waited for."""

FRAME_S = 0.1
"""How often the screen is drawn, at most."""

BESIDE = 160
"""From so many columns on the chosen session stands beside the list, and not below it."""

LEAST_LOWER = 8
"""So many lines the lower part has on every screen."""

HIGH = 30
"""From so many lines on an empty one stands between two groups."""


class BoardApp(App[str | None]):
    """The screen. It ends with the id of a session to open, or with nothing to leave."""

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("ctrl+c", "leave", show=False),
        Binding("ctrl+z", "suspend_process", show=False),
    ]
    CSS = """
    Screen { background: ansi_default; color: ansi_default; overflow: hidden; }
    Lines, Typed, #main, #list, #lower { background: ansi_default; color: ansi_default; }
    #head, #title, #hints { height: 1; }
    #lower { height: 1fr; width: 1fr; }
    #title { display: none; }
    #main { height: 1fr; layout: vertical; overflow: hidden; }
    #main.beside { layout: horizontal; }
    #typed { height: 3; border: none; padding: 0 1; }
    """

    def __init__(self, board: Board, connect: Callable[[], Client]) -> None:
        """Show a board; what is chosen there a client carries out, see `Feed`."""
        no_colour = os.environ.get("NO_COLOR")
        super().__init__(ansi_color=True)
        if no_colour is not None:  # which Textual takes away; other programs want to know it too
            os.environ["NO_COLOR"] = no_colour
        self.theme = "ansi-dark"  # the terminal's own colours, dark or light
        self.error: Exception | None = None
        self.feed = Feed(connect, board, self.draw_soon)
        self.board = board
        self._commands = TaskSet()
        self._head = Lines("head")
        self._list = Lines("list")
        self._lower = Lines("lower")
        self._title = Lines("title")
        self._hints = Lines("hints")
        self._main = Container(self._list, self._lower, id="main")
        self._typed: Typed | None = None
        self._typed_for: Box | None = None
        self._reading: Reading | None = None
        self._read_request: Asking | None = None
        self._top = 0
        self._rows: list[Row | None] = []
        self._due = False
        self._drawn = 0.0

    def compose(self) -> ComposeResult:
        """Yield the parts, from the top."""
        yield self._head
        yield self._main
        yield self._title
        yield self._hints

    def on_mount(self) -> None:
        """Begin to read."""
        self.run_worker(self._read())
        self.set_interval(CLOCK_S, self._tick)

    async def _read(self) -> None:
        try:
            await self.feed.run()
        except MidflightError as error:
            self.error = error
            self.exit()

    def _tick(self) -> None:
        self.board.arrange(time.time())
        self.draw()

    # Drawing ------------------------------------------------------------------------------

    def draw_soon(self) -> None:
        """Draw the screen: now, or once for all that changes within a frame."""
        if self._due:
            return
        self._due = True
        rest = FRAME_S - (time.monotonic() - self._drawn)
        if rest > 0:
            self.set_timer(rest, self.draw)
        else:
            self.call_next(self.draw)

    def on_resize(self) -> None:
        """Draw it for another size."""
        self.draw_soon()

    def on_lines_resized(self) -> None:
        """Draw a part for its new size."""
        self.call_next(self.draw)

    def draw(self) -> None:
        """Draw all that has changed."""
        self._due, self._drawn = False, time.monotonic()
        board, now = self.board, time.time()
        width, height = self.size
        self._lay_out(width, height)
        self._head.show([view.header(board, width, now)])
        self._draw_list(now)
        self._draw_lower(now)
        box = board.box
        if box is not None:
            self._title.show([view.box_title(box, width)])
        reading = self._reading is not None
        hints = view.hints(board, width, self.feed.problem, reading=reading)
        self._hints.styles.height = len(hints)
        self._hints.show(hints)

    def _lay_out(self, width: int, height: int) -> None:
        """Give each part its place."""
        box = self.board.box
        if box is not self._typed_for:
            self._typed_for = box
            if self._typed is not None:
                self._typed.remove()
                self._typed = None
            if box is not None:
                self._typed = Typed(box.text, one_line=isinstance(box, FilterBox))
                self.mount(self._typed, after=self._title)
                self._typed.focus()
        self._title.display = box is not None
        beside = width >= BESIDE
        self._main.set_class(beside, "beside")
        self._list.display = self._reading is None
        if beside:
            self._list.styles.width, self._list.styles.height = width * 3 // 5, "1fr"
        else:
            room = self._main.size.height
            lower = max(self._needed(width, room), room - len(self._display_rows()))
            self._list.styles.width, self._list.styles.height = "1fr", max(1, room - lower)

    def _needed(self, width: int, room: int) -> int:
        """Return how many lines the lower part takes: what is asked, up to half of the room."""
        if self.board.asking is None:
            return max(LEAST_LOWER, room // 3)
        asked = self.board.asking.shown(width - 1)
        needed = 1 + len(asked.body) + len(asked.keys)
        return max(LEAST_LOWER, min(needed, room // 2 + 1))

    def _display_rows(self) -> list[Row | None]:
        """Return the rows, with a line between two groups where the screen is high."""
        rows: list[Row | None] = []
        for row in self.board.rows:
            if row.key is None and rows and self.size.height >= HIGH:
                rows.append(None)
            rows.append(row)
        return rows

    def _draw_list(self, now: float) -> None:
        width, height = self._list.size
        self._rows = self._display_rows()
        chosen = next(
            (at for at, row in enumerate(self._rows) if row and row.key == self.board.chosen), 0
        )
        first = 0 if chosen <= 1 else chosen  # with the heading above the first row
        self._top = max(
            min(self._top, first, max(0, len(self._rows) - height)), chosen - height + 1
        )
        shown = self._rows[max(0, self._top) :][:height]
        self.feed.visible = {row.info.id for row in shown if row and row.info}
        lines = [view.row(self.board, row, width, now) if row else [] for row in shown]
        self._list.show(lines)

    def _draw_lower(self, now: float) -> None:
        width, height = self._lower.size
        if self._reading is None:
            lower = view.lower(self.board, self.feed.tail, width, height, now)
            gap: list[Line] = [[]] * (height - len(lower.lines) - len(lower.keys))
            self._lower.show([*lower.lines, *lower.keys, *gap])
            self.board.painted(whole=lower.whole and height > 1, now=now)
            return
        asking = self.board.asking
        keys: list[Line] = []
        if self._reading.what == "request":
            if asking is None or asking is not self._read_request:
                self._reading = None  # it has been settled
                self.draw_soon()
                return
            keys = asking.shown(width).keys
        lines = self._reading.shown(width, height - len(keys))
        if keys and not self._reading.end_seen:
            keys = [[(DIM, " Read on with PgDn or j: at its end it can be answered")]]
        self._lower.show([*lines, *keys])
        if self._reading.what == "request":
            self.board.painted(whole=self._reading.end_seen, now=now)

    # Keys and the mouse -------------------------------------------------------------------

    def on_key(self, event: events.Key) -> None:
        """Hand a key to what is on the screen."""
        if self._typed is not None:
            return
        key = event.character if event.is_printable and event.character else event.key
        event.stop()
        self._press(key)

    def action_leave(self) -> None:
        """Leave, or go back from what is open."""
        self._press("ctrl+c")

    def _press(self, key: str) -> None:
        if self._reading is not None and self._press_reading(key):
            self.draw()
            return
        act = self.board.press(key, time.time())
        self.draw()
        self.do(act)

    def _press_reading(self, key: str) -> bool:
        """Take a key for what is being read; tell whether it is none for the board."""
        reading = self._reading
        if reading is None:
            return False
        asks = reading.what == "request"
        if key in ("escape", "q", "ctrl+c") or (key in ("d", "?") and not asks):
            self._reading = None
        elif not reading.press(key):
            return not asks
        return True

    def on_lines_clicked(self, event: Lines.Clicked) -> None:
        """Choose what was clicked; what is chosen already is opened."""
        if event.lines is not self._list or self._typed is not None:
            return
        at = max(0, self._top) + event.at
        row = self._rows[at] if at < len(self._rows) else None
        if row is None or row.key is None:
            return
        if row.key == self.board.chosen:
            self._press("enter")
            return
        self.board.choose(row.key)
        self.feed.follow()
        self.draw()

    def on_lines_scrolled(self, event: Lines.Scrolled) -> None:
        """Move what the wheel was turned over."""
        if self._reading is not None:
            self._reading.scroll(event.by)
        elif event.lines is self._list:
            self.board.move(1 if event.by > 0 else -1)
            self.feed.follow()
        self.draw()

    def on_typed_submitted(self) -> None:
        """Take what was typed."""
        if self._typed is not None:
            text, box = self._typed.text, self.board.box
            act = self.board.submit(text)
            self.draw()
            self.do(act, box, text)

    def on_typed_left(self) -> None:
        """Close the box; a filter goes with it."""
        box, self.board.box = self.board.box, None
        if isinstance(box, FilterBox):
            box.changed("")
        self.draw()

    def on_typed_turned(self) -> None:
        """Choose the box's next way."""
        if self.board.box is not None:
            self.board.box.tab()
            self.draw()

    def on_text_area_changed(self) -> None:
        """Filter while the words are typed."""
        if isinstance(self.board.box, FilterBox) and self._typed is not None:
            self.board.box.changed(self._typed.text)
            self.draw()

    # What is to be done -------------------------------------------------------------------

    def do(self, act: Act | None, box: Box | None = None, text: str = "") -> None:
        """Do what came of a key, or of a text in a box; one that fails is given back."""
        self.feed.follow()
        match act:
            case Leave():
                self.run_worker(self._leave(None))
            case Enter(session=session):
                self.run_worker(self._leave(session))
            case Look(what=what):
                self.run_worker(self._look(what))
            case CarryOut() | Dispatch():
                self._commands.start(self._carry_out(act, box, text))

    async def _leave(self, session: str | None) -> None:
        """End, once what was pressed before has been done; a host that hangs is not waited for."""
        await self._commands.join(LEAVES_S)
        self._commands.cancel()
        self.exit(session)

    async def _carry_out(self, act: CarryOut | Dispatch, box: Box | None, text: str) -> None:
        try:
            if isinstance(act, Dispatch):
                await self._dispatch(act)
            else:
                client = await self.feed.client()
                await client.carry_out(act.session, act.command)
                self.board.done(act, time.time())
        except MidflightError as error:
            self.board.failed(act, one_line(str(error), 1000))
            if box is not None and self.board.box is None:
                box.text = text
                self.board.box = box
        except Exception as error:  # noqa: BLE001 - it ends the board, and is reported there
            self._handle_exception(error)
            return
        self.feed.look()
        self.draw()

    async def _dispatch(self, act: Dispatch) -> None:
        """Begin a session as ``midflight run -d`` does, and choose it."""
        args = make_parser().parse_args(["run", "-d", "--cwd", str(act.folder), "--", act.task])
        options = await asyncio.to_thread(lambda: resolve_options(args).options)
        client = await self.feed.client()
        session = await client.dispatch(act.task, **options)
        self.board.begun(session.id)

    async def _look(self, what: str) -> None:
        """Show something on the whole screen."""
        board, info = self.board, self.board.session
        if what == "keys":
            self._reading = Reading(what, "Keys", lines_of(view.KEYS))
        elif what == "request" and board.asking is not None:
            self._read_request = board.asking
            body = board.asking.shown(self.size.width - 1).body
            self._reading = Reading(what, one_name(board.asking.info.name), body)
        elif what == "diff" and info is not None:
            board.said = "looking at the folder …"
            self.draw()
            try:
                diff = await (await self.feed.client()).diff(info.id)
            except MidflightError as error:
                board.said = one_line(str(error), 1000)
            else:
                board.said = "" if diff.diff else "nothing has changed in its folder"
                if diff.diff:
                    title = f"{one_name(info.name)}: changes since it began"
                    self._reading = Reading(what, title, lines_of(view.changes(diff)))
        self.draw()

    def _handle_exception(self, error: Exception) -> None:
        """End, and have the error reported as every other one: without a traceback."""
        self.error = self.error or error
        super()._handle_exception(error)

    def _fatal_error(self) -> None:
        self._close_messages_no_wait()

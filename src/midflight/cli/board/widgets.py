"""The parts of the board's screen: lines that are drawn as they are, and a box to type into."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import TextArea

from midflight._util.sanitize import inert
from midflight.cli.board.paint import strip
from midflight.cli.board.wrap import Line


class Lines(Widget):
    """Lines of text. What has not changed is not drawn again."""

    class Clicked(Message):
        """A line was clicked."""

        def __init__(self, lines: Lines, at: int) -> None:
            """``at`` is the line's place on the screen, from the top of the widget."""
            super().__init__()
            self.lines = lines
            self.at = at

    class Scrolled(Message):
        """The wheel was turned, by so many lines downwards."""

        def __init__(self, lines: Lines, by: int) -> None:
            """Of which widget."""
            super().__init__()
            self.lines = lines
            self.by = by

    class Resized(Message):
        """It has another size now."""

    def __init__(self, id: str) -> None:
        """Begin empty; ``strips`` is what is drawn."""
        super().__init__(id=id)
        self.strips: list[Strip] = []
        self._lines: list[Line] = []
        self._width = 0

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines from now on."""
        width, height = self.size
        shown = list(lines[:height]) + [[]] * (height - len(lines))
        if width != self._width or len(shown) != len(self._lines):
            self._width, self._lines = width, shown
            self.strips = [strip(line, width) for line in shown]
            self.refresh()
            return
        for at, line in enumerate(shown):
            if line != self._lines[at]:
                self._lines[at] = line
                self.strips[at] = strip(line, width)
                self.refresh(Region(0, at, width, 1))

    def render_line(self, y: int) -> Strip:
        """Return a line as Textual draws it."""
        return self.strips[y] if y < len(self.strips) else Strip.blank(self.size.width)

    def on_resize(self) -> None:
        """Tell of it."""
        self.post_message(self.Resized())

    def on_click(self, event: events.Click) -> None:
        """Tell which line it was."""
        self.post_message(self.Clicked(self, event.y))

    def on_mouse_scroll_down(self) -> None:
        """Tell of the wheel."""
        self.post_message(self.Scrolled(self, 3))

    def on_mouse_scroll_up(self) -> None:
        """Tell of the wheel."""
        self.post_message(self.Scrolled(self, -3))


class Typed(TextArea):
    """What a box takes. Enter is for the board; Alt-Enter, or a backslash and Enter, a new line."""

    class Submitted(Message):
        """Enter was pressed."""

    class Left(Message):
        """Esc was pressed."""

    class Turned(Message):
        """Tab was pressed."""

    def __init__(self, text: str, *, one_line: bool) -> None:
        """Begin with a text."""
        super().__init__(text, compact=True, highlight_cursor_line=False, id="typed")
        if one_line:
            self.styles.height = 1
        self.move_cursor(self.document.end)

    async def _on_key(self, event: events.Key) -> None:
        messages: dict[str, Callable[[], Message]] = {
            "enter": self.Submitted,
            "escape": self.Left,
            "ctrl+c": self.Left,
            "tab": self.Turned,
        }
        row, column = self.cursor_location
        if event.key == "enter" and self.document.get_line(row)[:column].endswith("\\"):
            self.action_delete_left()
            self.insert("\n")
        elif event.key in messages:
            self.post_message(messages[event.key]())
        elif event.key in ("alt+enter", "ctrl+j", "shift+enter"):
            self.insert("\n")
        else:
            await super()._on_key(event)
            return
        event.stop()
        event.prevent_default()

    async def _on_paste(self, event: events.Paste) -> None:
        event.text = inert(event.text)
        await super()._on_paste(event)

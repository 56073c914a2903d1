"""How the terminal shows Markdown, diffs, and inputs to approve."""

from __future__ import annotations

import difflib
import functools
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from midflight._util.sanitize import exact, inert
from midflight.cli.output import Fragment

if TYPE_CHECKING:
    from rich.markdown import Markdown
    from rich.style import Style


BOLD, DIM, RED, GREEN, CYAN = "1", "2", "31", "32", "36"
MAX_FILE_BYTES = 5_000_000
CONTEXT_LINES = 3
OUTPUT_LINES = 8
OUTPUT_WIDTH = 200

_FENCE = re.compile(r" {0,3}(```|~~~)")
_ITEM = re.compile(r"([-*+]|\d+[.)])\s")


# ------------------------------------------------------------------ Markdown


class Blocks:
    """Cuts streamed Markdown into blocks that can be shown on their own.

    A block ends where, after an empty line, another one begins at the left margin; code between
    fences and lists stay whole. What has not ended is ``rest``.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._lines: list[str] = []
        self._partial = ""
        self._fence = ""

    @property
    def rest(self) -> str:
        """The text that is not part of a finished block."""
        return "".join(self._lines) + self._partial

    def feed(self, text: str) -> list[str]:
        """Take in more text and return the blocks that it finishes."""
        done = []
        *lines, self._partial = (self._partial + text).split("\n")
        for line in lines:
            if self._begins_block(line):
                done.append("".join(self._lines))
                self._lines = []
            self._lines.append(line + "\n")
            fence = _FENCE.match(line)
            if self._fence:
                closed = fence and fence[1] == self._fence
                self._fence = "" if closed else self._fence
            elif fence:
                self._fence = fence[1]
        return done

    def flush(self) -> str:
        """Return what is left, and begin anew."""
        rest = self.rest
        self._lines, self._partial, self._fence = [], "", ""
        return rest

    def _begins_block(self, line: str) -> bool:
        if self._fence or not self._lines or self._lines[-1].strip() or not line.strip():
            return False
        if line[0].isspace():
            return False
        return not (_ITEM.match(line) and _ITEM.match(self._lines[0]))


def markdown(text: str, width: int) -> list[Fragment]:
    """Return Markdown laid out for a terminal of this width."""
    from rich.console import Console
    from rich.theme import Theme

    theme = Theme({"markdown.code": "bold cyan", "markdown.h1": "bold underline"})
    console = Console(width=width, force_terminal=True, color_system="standard", theme=theme)
    fragments: list[Fragment] = []
    lines = console.render_lines(_markdown_class()(inert(text)), pad=False)
    for end in (0, -1):
        while lines and not "".join(segment.text for segment in lines[end]).strip():
            del lines[end]
    for line in lines:
        fragments += [(_sgr(segment.style), segment.text) for segment in line]
        if fragments and not fragments[-1][0]:
            fragments[-1] = ("", fragments[-1][1].rstrip())
        fragments.append(("", "\n"))
    return fragments


@functools.cache
def _markdown_class() -> type[Markdown]:
    """Return rich's Markdown with plain headings, links as text, and the terminal's colours."""
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.markdown import Heading, Markdown

    class PlainHeading(Heading):
        def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
            self.text.justify = "left"
            self.text.stylize("bold")
            yield self.text

    class PlainMarkdown(Markdown):
        elements: ClassVar = {**Markdown.elements, "heading_open": PlainHeading}

        def __init__(self, markup: str) -> None:
            super().__init__(markup, code_theme="ansi_dark", hyperlinks=False)

    return PlainMarkdown


def _sgr(style: Style | None) -> str:
    """Return the parameters of the escape sequence that rich would write for a style."""
    from rich.color import ColorSystem

    if style is None:
        return ""
    match = re.match(r"\x1b\[([0-9;]+)m", style.render("x", color_system=ColorSystem.STANDARD))
    return match[1] if match else ""


# ------------------------------------------------------------------ diffs


def unified(old: str, new: str, name: str = "") -> list[Fragment]:
    """Return what changes between two texts, every character of it visible."""
    lines = list(
        difflib.unified_diff(
            old.splitlines(keepends=True), new.splitlines(keepends=True), n=CONTEXT_LINES
        )
    )[2:]
    head = [(BOLD, f"  {exact(name)}\n")] if name else []
    return [*head, *(fragment for line in lines for fragment in _diff_line(line))]


def _diff_line(line: str) -> list[Fragment]:
    style = {"+": GREEN, "-": RED, "@": CYAN}.get(line[0], "")
    if line.endswith("\n"):
        return [(style, f"  {exact(line[:-1])}\n")]
    return [(style, f"  {exact(line)}\n"), (DIM, "  \\ no newline at the end\n")]


def edit_diff(name: str, arguments: dict[str, Any], cwd: Path) -> list[Fragment] | None:
    """Return what an Edit or Write changes in its file; None if it is not one of these.

    ``None`` too when the file is not what the edit expects: then the input itself is the truth.
    """
    name, arguments = name.capitalize(), _in_claudes_words(arguments)
    path, new = arguments.get("file_path"), arguments.get("new_string", arguments.get("content"))
    if not isinstance(path, str) or not isinstance(new, str):
        return None
    before = _content(cwd / path)
    if name == "Write":
        return None if before is None else unified(before, new, path)
    old = arguments.get("old_string")
    if name != "Edit" or not isinstance(old, str) or not before or not old or old not in before:
        return None
    count = -1 if arguments.get("replace_all") else 1
    return unified(before, before.replace(old, new, count), path)


def _in_claudes_words(arguments: dict[str, Any]) -> dict[str, Any]:
    return {_OPENCODES.get(key, key): value for key, value in arguments.items()}


def _content(path: Path) -> str | None:
    """Return the text of a file; nothing if there is none, None if it cannot be shown."""
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            return None
        return path.read_bytes().decode()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError):
        return None


def output_lines(text: str) -> list[Fragment]:
    """Return the first lines of a command's output."""
    lines = text.strip("\n").splitlines()
    shown = [
        (DIM, f"    {inert(line).rstrip()[:OUTPUT_WIDTH]}\n")
        for line in lines[:OUTPUT_LINES]
        if line.strip()
    ]
    more = len(lines) - OUTPUT_LINES
    return [*shown, (DIM, f"    … {more} more lines\n")] if more > 0 else shown


# ------------------------------------------------------------------ what is to be approved

_OPENCODES = {
    "filePath": "file_path",
    "oldString": "old_string",
    "newString": "new_string",
    "replaceAll": "replace_all",
}
"""OpenCode's names of these fields for Claude's."""

_SHOWN_BY_DIFF = {"file_path", "old_string", "new_string", "content", "replace_all"}


def approval(name: str, arguments: dict[str, Any], cwd: Path) -> list[Fragment]:
    """Return the whole input of a tool, for a person to judge; nothing is hidden or cut."""
    diff = edit_diff(name, arguments, cwd)
    if diff is not None:
        arguments = _in_claudes_words(arguments)
        every = [(BOLD, "  (every occurrence)\n")] if arguments.get("replace_all") else []
        rest = {key: value for key, value in arguments.items() if key not in _SHOWN_BY_DIFF}
        return [*every, *diff, *_fields(rest)]
    return _fields(arguments)


def _fields(arguments: dict[str, Any]) -> list[Fragment]:
    """Return each field: its name, and its value in full; a command stands out."""
    fragments: list[Fragment] = []
    for key, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        style = BOLD if key == "command" else ""
        lines = exact(text).split("\n")
        head = f"  {exact(str(key))}: "
        if len(lines) == 1:
            fragments += [(DIM, head), (style, f"{lines[0]}\n")]
        else:
            fragments.append((DIM, f"{head}\n"))
            fragments += [(style, f"    {line}\n") for line in lines]
    return fragments

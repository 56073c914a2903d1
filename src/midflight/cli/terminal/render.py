"""How the terminal shows Markdown, diffs, and inputs to approve."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from midflight._util.sanitize import exact, exact_line, inert
from midflight.cli.output import BOLD, CYAN, DIM, GREEN, RED, YELLOW, Fragment
from midflight.effects import (
    CommandEffect,
    EditEffect,
    Effect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
    place,
)

if TYPE_CHECKING:
    from rich.markdown import Markdown
    from rich.style import Style


OUTPUT_LINES = 8
OUTPUT_WIDTH = 200

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
"""A line that begins or ends a block of code, as CommonMark has it, and what stands behind it."""

_MARKDOWN = frozenset({"markdown", "md", "mdx"})
"""Languages of a block of code that has blocks of code in it."""

_RULER = re.compile(r"\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?")
"""The second line of a table."""

_PLAIN_NAME = re.compile(r"[\w.$-]+", re.ASCII)
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
        self._partial: list[str] = []  # for each word would else copy what came before it
        self._fences = _Fences()

    @property
    def rest(self) -> str:
        """The text that is not part of a finished block."""
        return "".join((*self._lines, *self._partial))

    def feed(self, text: str) -> list[str]:
        """Take in more text and return the blocks that it finishes."""
        self._partial.append(text)
        if "\n" not in text:
            return []
        done = []
        *lines, partial = "".join(self._partial).split("\n")
        self._partial = [partial]
        for line in lines:
            if self._begins_block(line):
                done.append("".join(self._lines))
                self._lines = []
            self._lines.append(line + "\n")
            self._fences.take(line)
        return done

    def flush(self) -> str:
        """Return what is left, and begin anew."""
        rest = self.rest
        self._lines, self._partial, self._fences = [], [], _Fences()
        return rest

    def cut(self) -> str:
        """Return what there is up to the last whole word; what follows is a block of its own.

        A block of code, or a table, goes on with its first lines repeated.
        """
        begun = self._begun()
        if begun:
            done, self._lines = self._lines, begun
            return "".join(done) if len(done) > len(begun) else ""
        if self._fences.open:
            return ""
        words, space, partial = "".join(self._partial).rpartition(" ")
        self._partial = [partial]
        done, self._lines = self._lines, []
        return "".join(done) + words + space

    def _begun(self) -> list[str]:
        """Return the first lines of the block of code or the table that has not ended."""
        if len(self._fences.open) == 1:
            return [self._fences.first + "\n"]
        rows = list(itertools.takewhile(lambda line: "|" in line, reversed(self._lines)))[::-1]
        return rows[:2] if len(rows) > 1 and _RULER.fullmatch(rows[1].strip()) else []

    def _begins_block(self, line: str) -> bool:
        if self._fences.open or not self._lines or self._lines[-1].strip() or not line.strip():
            return False
        if line[0].isspace():
            return False
        return not (_ITEM.match(line) and _ITEM.match(self._lines[0]))


class _Fences:
    """Follows blocks of code through lines of text.

    A block ends at a fence as long as its own with nothing behind it. Agents write Markdown between
    fences that has fences as long in it; they are a block in a block there, as they are meant.
    """

    def __init__(self) -> None:
        self.open: list[str] = []
        self.first = ""
        self._of_markdown = False

    def take(self, line: str) -> None:
        """Take in a line."""
        match = _FENCE.fullmatch(line)
        if match is None:
            return
        marks, behind = match[1], match[2].strip()
        if not self.open:
            if marks[0] == "~" or "`" not in behind:  # else it is code in a line of text
                self.open, self.first = [marks], line
                self._of_markdown = behind.lower() in _MARKDOWN
        elif marks[0] == self.open[-1][0] and len(marks) >= len(self.open[-1]):
            if not behind:
                self.open.pop()
            elif self._of_markdown:
                self.open.append(marks)


def _longer_fences(text: str) -> str:
    """Return Markdown whose blocks of code with fences in them have longer ones themselves."""
    fences = _Fences()
    lines = text.split("\n")
    begun, deepest = 0, 0
    for at, line in enumerate(lines):
        before = len(fences.open)
        fences.take(line)
        if not before and fences.open:
            begun, deepest = at, 1
        deepest = max(deepest, len(fences.open))
        if before and not fences.open and deepest > 1:
            for end in (begun, at):
                match = _FENCE.fullmatch(lines[end])
                marks = match[1] if match else ""
                lines[end] = lines[end].replace(marks, marks[:1] * (len(marks) + 9), 1)
    return "\n".join(lines)


def markdown(text: str, width: int) -> list[Fragment]:
    """Return Markdown laid out for a terminal of this width."""
    from rich.console import Console
    from rich.theme import Theme

    theme = Theme({"markdown.code": "bold cyan", "markdown.h1": "bold underline"})
    console = Console(
        width=width,
        height=24,  # or else a dumb terminal counts as one of 80 columns
        force_terminal=True,
        color_system="standard",
        theme=theme,
    )
    fragments: list[Fragment] = []
    lines = console.render_lines(_markdown_class()(_longer_fences(inert(text))), pad=False)
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
            for part in (part for token in self.parsed for part in token.children or ()):
                if part.type == "softbreak":  # agents break lines where they mean it
                    part.type = "hardbreak"

    return PlainMarkdown


def _sgr(style: Style | None) -> str:
    """Return the parameters of the escape sequence that rich would write for a style."""
    from rich.color import ColorSystem

    if style is None:
        return ""
    match = re.match(r"\x1b\[([0-9;]+)m", style.render("x", color_system=ColorSystem.STANDARD))
    return match[1] if match else ""


# ------------------------------------------------------------------ diffs and output


def diff_lines(diff: str) -> list[Fragment]:
    """Return the lines of a diff, every character of them visible."""
    return [_diff_line(line) for line in diff.split("\n")] if diff else []


def _diff_line(line: str) -> Fragment:
    style = {"+": GREEN, "-": RED, "@": CYAN, "\\": DIM}.get(line[:1], "")
    return style, f"  {exact(line)}\n"


def lines_of_output(text: str) -> list[str]:
    """Return what stands in each line in the end: a program may have painted over its beginning."""
    lines = text.replace("\r\n", "\n").strip("\n").split("\n")
    return [inert(line.rstrip("\r").rpartition("\r")[2]).expandtabs().rstrip() for line in lines]


def output_lines(text: str, took: str = "") -> list[Fragment]:
    """Return the first lines of a command's output, and for how long it ran if that is known."""
    lines = lines_of_output(text)
    shown = [(DIM, f"    {line[:OUTPUT_WIDTH]}\n") for line in lines[:OUTPUT_LINES] if line]
    more = len(lines) - OUTPUT_LINES
    facts = [f"… {more} more lines" if more > 0 else "", took]
    if last := " · ".join(filter(None, facts)):
        shown.append((DIM, f"    {last}\n"))
    return shown


# ------------------------------------------------------------------ what is to be approved

SILENT = "the agent does not say what it will do"
PROTECTED = "this file decides what may run next time"


def approval(effects: Sequence[Effect], cwd: Path) -> list[Fragment]:
    """Return all that a call will do, for a person to judge; nothing is hidden or cut.

    What follows the first line of a command or of a value stands further in, so that no text can
    look like a line of ours. ``cwd`` is the session's folder: paths below it are shown from there.
    """
    if not effects:
        return [(YELLOW, f"  {SILENT}\n")]
    return [fragment for effect in effects for fragment in _effect(effect, str(cwd))]


def _effect(effect: Effect, cwd: str) -> list[Fragment]:
    match effect:
        case CommandEffect(command=command):
            first, *more = exact(command).split("\n")
            lines = [(BOLD, f"  {first}\n"), *((BOLD, f"    {line}\n") for line in more)]
            return [*lines, *_folder(effect.cwd, cwd)]
        case EditEffect():
            return [(BOLD, f"  {exact_line(place(effect, cwd))}\n"), *_edit(effect)]
        case ReadEffect():
            return [(DIM, "  reads "), (BOLD, f"{exact_line(place(effect, cwd))}\n")]
        case FetchEffect(url=url):
            return [(DIM, "  fetches "), (BOLD, f"{exact_line(url)}\n")]
        case OtherEffect(input=arguments):
            return _fields(arguments) or [(YELLOW, f"  {SILENT}\n")]


def _folder(folder: str | None, cwd: str) -> list[Fragment]:
    """Return where a command runs, if that is not the session's folder."""
    if folder is None:
        return [(YELLOW, "  in a folder that the agent does not tell\n")]
    return [] if folder == cwd else [(YELLOW, f"  in {exact_line(folder)}\n")]


def _edit(effect: EditEffect) -> list[Fragment]:
    deciding = [(YELLOW, f"  {PROTECTED}\n")] if effect.protected else []
    if not effect.lines:
        return [*deciding, (DIM, "  no line of it changes\n")]
    note = (YELLOW, f"  {effect.shown_lines} of {effect.lines} lines shown\n")
    return [*deciding, *diff_lines(effect.diff), *([note] if effect.is_cut else [])]


def _fields(arguments: Mapping[str, Any]) -> list[Fragment]:
    """Return each field of a raw input: its name in one line, and its value in full."""
    fragments: list[Fragment] = []
    for key, value in arguments.items():
        text = value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        lines = exact(text).split("\n")
        head = f"  {_name(str(key))}: "
        if len(lines) == 1:
            fragments += [(DIM, head), ("", f"{lines[0]}\n")]
        else:
            fragments.append((DIM, f"{head}\n"))
            fragments += [("", f"    {line}\n") for line in lines]
    return fragments


def _name(key: str) -> str:
    """Return the name of a field; one that is no plain word stands in quotes."""
    if _PLAIN_NAME.fullmatch(key):
        return key
    quoted = exact_line(key).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{quoted}"'

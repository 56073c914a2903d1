"""What a tool call will do if it is allowed, made from exactly the keys that the tool obeys.

A driver has a table: for each tool of its agent the keys that the tool takes. An input with any
other key, a value of another type, or a tool that is not in the table is `OtherEffect`: the raw
input, for a person to judge. Nothing else in midflight interprets the input of a tool.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from midflight._util.files import NotRegular, open_regular
from midflight.effects import (
    CommandEffect,
    EditEffect,
    Effect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
)

DIFF_BYTES = 256 * 1024
"""The longest diff; of a longer one the first lines are shown, and how many there are."""

FILE_BYTES = 4 * 1024 * 1024
"""A larger file is not read: its old content is left out of the diff, which says so."""

COMPARED_LINES = 400
"""Up to so many changed lines are compared with each other; comparing more takes too long."""

CONTEXT_LINES = 3

Input = Mapping[str, Any]
Types = type | tuple[type, ...]


class Tool(NamedTuple):
    """One tool of one version of an agent.

    ``keys`` are those that it obeys, with the types of their values; ``required`` those without
    which it does nothing. ``widening`` are keys that it takes and that make a call do more than
    its effect could say, so that a call with one of them is `OtherEffect`.
    """

    make: Callable[[Input, Path], Effect]
    keys: Mapping[str, Types]
    required: tuple[str, ...]
    widening: frozenset[str] = frozenset()


def effects_of(
    tools: Mapping[str, Tool], name: str, arguments: Input, cwd: Path
) -> tuple[Effect, ...]:
    """Return what a call of a tool will do, as far as that is known for certain.

    It may read the files that are to be changed, so it is called in a thread.
    """
    tool = tools.get(name)
    if tool is not None and _obeyed(tool, arguments):
        with contextlib.suppress(UncertainError):
            return (tool.make(arguments, cwd),)
    return (OtherEffect(input=dict(arguments)),)


def _obeyed(tool: Tool, arguments: Input) -> bool:
    """Tell whether the tool obeys each of these keys, and has all that it needs."""
    return all(key in arguments for key in tool.required) and all(
        key in tool.keys and _is(value, tool.keys[key]) for key, value in arguments.items()
    )


def _is(value: object, types: Types) -> bool:
    """Tell whether a value has one of these types; a bool is no number."""
    wanted = types if isinstance(types, tuple) else (types,)
    return isinstance(value, wanted) and (not isinstance(value, bool) or bool in wanted)


class UncertainError(Exception):
    """It is not known for certain which file a path means to the agent."""


# ------------------------------------------------------------------ the kinds of effects


def command(text: str, folder: str | None, cwd: Path) -> CommandEffect:
    """Return that a command runs, in ``folder`` or in the session's own."""
    return CommandEffect(command=text, cwd=str(cwd) if folder is None else absolute(folder, cwd))


def read(path: str, cwd: Path) -> ReadEffect:
    """Return that a file is read, or a folder, whose path ends with a slash."""
    full = absolute(path, cwd)
    target = _target(full, cwd)
    if os.path.isdir(full):  # noqa: PTH112 - any text
        full = f"{full.rstrip('/')}/"
        target = target and f"{target.rstrip('/')}/"
    return ReadEffect(path=full, target=target)


def fetch(url: str) -> FetchEffect:
    """Return that an address is fetched."""
    return FetchEffect(url=url)


def write(path: str, content: str, cwd: Path) -> EditEffect:
    """Return that a file gets this content, whatever it has now."""
    full = absolute(path, cwd)
    before, why = _content(full)
    lines = _diff(before or "", content)
    return _edit(full, cwd, [why, *lines] if why else lines)


def replace(path: str, old: str, new: str, cwd: Path, *, every: bool) -> EditEffect:
    """Return that a text in a file is replaced by another one, once or everywhere.

    Where the file does not have the text, or more than once although only one is meant, nothing
    is known of the place: the two texts are shown as they are.
    """
    full = absolute(path, cwd)
    if not old:
        return write(path, new, cwd)
    before, why = _content(full)
    if why:
        lines = _diff(old, new)
        return _edit(full, cwd, [why, *lines])
    count = (before or "").count(old)
    if count == 0 or (count > 1 and not every):
        why = f"@@ the text to replace is there {count} times @@"
        return _edit(full, cwd, [why, *_diff(old, new)])
    return _edit(full, cwd, _diff(before or "", (before or "").replace(old, new)))


def reported_edit(path: str, old: str, new: str, cwd: Path) -> EditEffect:
    """Return that a file changes as its agent reports it: from one text to another."""
    return _edit(absolute(path, cwd), cwd, _diff(old, new))


def _edit(path: str, cwd: Path, lines: list[str]) -> EditEffect:
    shown, size = 0, 0
    for line in lines:
        size += len(line.encode(errors="surrogatepass")) + 1
        if size > DIFF_BYTES:
            break
        shown += 1
    return EditEffect(
        path=path,
        target=_target(path, cwd),
        diff="\n".join(lines[:shown]),
        lines=len(lines),
        shown_lines=shown,
    )


# ------------------------------------------------------------------ paths and files


def absolute(path: str, cwd: Path) -> str:
    """Return a path as agents take it: joined to the folder, ``..`` resolved as text.

    Raises `UncertainError` where the system would take it for another file, and for what is no
    path: ``~`` may be a name or the home folder.
    """
    if not path or path.startswith("~") or "\0" in path:
        raise UncertainError
    joined = os.path.join(cwd, path)  # noqa: PTH118 - as text: a Path would hide parts of it
    full = os.path.normpath(joined)
    if ".." in path.split("/") and _real(joined) != _real(full):
        raise UncertainError
    return full


def _real(path: str | Path) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError) as error:
        raise UncertainError from error


def _target(path: str, cwd: Path) -> str | None:
    """Return where a path leads if that is elsewhere, seen from the session's folder."""
    real = _real(path)
    inside = os.path.relpath(path, cwd)
    plain = path if inside.startswith("..") else os.path.normpath(f"{_real(cwd)}/{inside}")
    return None if real == plain else real


def _content(path: str) -> tuple[str | None, str]:
    """Return the text of a file, and why it cannot be shown; no file has no text."""
    try:
        with open_regular(path) as file:
            data = file.read(FILE_BYTES + 1)
    except FileNotFoundError:
        return "", ""
    except NotRegular:
        return None, "@@ what is there now is no plain file @@"
    except (OSError, ValueError):
        return None, "@@ what is there now cannot be read @@"
    if len(data) > FILE_BYTES:
        return None, f"@@ what is there now is over {FILE_BYTES} bytes @@"
    try:
        return data.decode(), ""
    except UnicodeDecodeError:
        return None, "@@ what is there now is no text @@"


# ------------------------------------------------------------------ diffs


def _diff(before: str, after: str) -> list[str]:
    r"""Return the lines of a unified diff. A line ends at ``\n`` and nowhere else."""
    old, new = _lines(before), _lines(after)
    same = _common(old, new)
    tail = _common(old[same:][::-1], new[same:][::-1])
    first, last = max(0, same - CONTEXT_LINES), min(tail, CONTEXT_LINES)
    old_part = old[first : len(old) - tail + last]
    new_part = new[first : len(new) - tail + last]
    if max(len(old_part), len(new_part)) <= COMPARED_LINES:
        compared = difflib.unified_diff(old_part, new_part, n=CONTEXT_LINES, lineterm="")
        return [_moved(line, first) for line in compared][2:]
    head = f"@@ -{first + 1},{len(old_part)} +{first + 1},{len(new_part)} @@"
    start, end = same - first, last
    return [
        head,
        *(f" {line}" for line in old_part[:start]),
        *(f"-{line}" for line in old_part[start : len(old_part) - end]),
        *(f"+{line}" for line in new_part[start : len(new_part) - end]),
        *(f" {line}" for line in old_part[len(old_part) - end :]),
    ]


def _lines(text: str) -> list[str]:
    r"""Return the lines of a text; a last one without ``\n`` says so, as diff does."""
    if not text:
        return []
    *lines, rest = text.split("\n")
    return [*lines, f"{rest}\n\\ no newline at the end"] if rest else lines


def _common(one: list[str], other: list[str]) -> int:
    """Return how many first lines are the same."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _moved(line: str, by: int) -> str:
    """Return a diff's line with the numbers of its head counted from the file's first line."""
    if not line.startswith("@@"):
        return line
    left, right = line.split()[1:3]
    return f"@@ -{_from(left, by)} +{_from(right, by)} @@"


def _from(numbers: str, by: int) -> str:
    start, comma, count = numbers[1:].partition(",")
    return f"{int(start) + by}{comma}{count}"

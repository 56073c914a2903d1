"""The files in which Claude Code keeps conversations, and how one comes to be on another machine.

The program adds each entry to ``projects/<name of the folder>/<conversation>.jsonl``, a sub-agent's
to a file below ``<conversation>/subagents``, and with ``--session-mirror`` it tells of each. From
what it has told, the files are made again where they are missing. What stands in an entry is the
program's own; here only its ``uuid`` is read, by which entries refer to those before.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from midflight._util.files import make_private, open_regular
from midflight._util.lines import MAX_LINE_BYTES, json_object
from midflight.agents.base import MEMORY_BYTES, Memory, Remembered
from midflight.agents.claude.trust import own_folder
from midflight.errors import AgentFailed

_NAME_CHARS = 200
"""A longer name of a folder is cut, and has a hash behind it."""

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"

_ID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
IS_ID = re.compile(_ID)
_PART = re.compile(rf"(?P<of>{_ID})(?:/subagents(?:/[A-Za-z0-9_-]{{1,200}}){{1,4}})?\.jsonl")
"""What a file can be called: it leads nowhere but below the folder of the conversations."""
_TOLD = re.compile(rf"(?:.*/)?(?P<part>{_PART.pattern})", re.DOTALL)

_NOT_TOLD = ("api-request", "cost-state")
"""How the types of entries begin that the program does not tell of, nor needs to resume."""


def project_folder(cwd: Path, env: Mapping[str, str]) -> Path:
    """Return the folder with the conversations of a folder, which need not be there."""
    name = re.sub(r"[^a-zA-Z0-9]", "-", str(cwd))
    if len(name) > _NAME_CHARS:
        name = f"{name[:_NAME_CHARS]}-{_hash(str(cwd))}"
    return own_folder(env) / "projects" / name


def _hash(text: str) -> str:
    """Return the program's own hash: of 32 bits, over JavaScript's characters."""
    value = 0
    units = text.encode("utf-16-le", "surrogatepass")
    for place in range(0, len(units), 2):
        value = (value * 31 + int.from_bytes(units[place : place + 2], "little")) & 0xFFFFFFFF
    value = abs(value - (value >> 31 << 32))
    digits = ""
    while value:
        value, digit = divmod(value, len(_DIGITS))
        digits = _DIGITS[digit] + digits
    return digits or "0"


def told(frame: Mapping[str, Any]) -> Iterator[Remembered]:
    """Yield what a ``transcript_mirror`` frame tells; nothing where its path is another one."""
    known = _TOLD.fullmatch(str(frame["filePath"]))
    if known is not None:
        entries = (each for each in frame["entries"] if isinstance(each, dict))
        yield Remembered(known["part"], tuple(map(_line, entries)))


def _line(entry: Mapping[str, Any]) -> str:
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":"))


def bring_together(
    memory: Memory, conversation: str | None, folder: Path
) -> list[Remembered] | None:
    """Have the files of a conversation know what is remembered; return what changes the memory.

    That is what they know beyond it, and that it has nothing of another conversation. Without a
    ``conversation`` there is a new one. Return None where it is not known how it began, so that
    what follows would be remembered in vain. ``folder``: see `project_folder`. Raises `AgentFailed`
    when a file cannot be written.
    """
    foreign = [
        Remembered(part, (), anew=True)
        for part in memory
        if (named := _PART.fullmatch(part)) is None or named["of"] != conversation
    ]
    if conversation is None:
        return foreign
    main = f"{conversation}.jsonl"
    if not IS_ID.fullmatch(conversation) or not (memory.get(main) or (folder / main).is_file()):
        return None
    own = dict.fromkeys((main, *memory))
    for each in foreign:
        own.pop(each.part, None)
    try:
        return [*foreign, *(new for part in own for new in _file(memory, part, folder))]
    except OSError as error:
        raise AgentFailed(
            f"the conversation could not be put where Claude Code looks for it: {error}",
            f"look at {folder}",
        ) from error


def _file(memory: Memory, part: str, folder: Path) -> Iterator[Remembered]:
    """Have one file know what is remembered of it; yield what it knows beyond that."""
    lines = memory.get(part, ())
    newest = next(filter(None, map(_uuid, reversed(lines))), "")
    here = _here(folder / part)
    place = max((n for n, (uuid, _) in enumerate(here, 1) if uuid == newest), default=0)
    if lines and not (place if newest else here):
        _make(folder, part, lines)
        return
    new = here[place if newest else 0 :]
    if any(uuid for uuid, _ in new):
        yield Remembered(part, tuple(line for _, line in new), anew=not newest)


def _uuid(line: str | bytes) -> str:
    entry = json_object(line.encode() if isinstance(line, str) else line) or {}
    return str(entry.get("uuid") or "")


def _here(path: Path) -> list[tuple[str, str]]:
    """Return the entries of a file, each by its uuid: a little more than may be remembered."""
    found: list[tuple[str, str]] = []
    size = 0
    try:
        with open_regular(path, follow=False) as file:
            while size <= MEMORY_BYTES and (line := file.readline(MAX_LINE_BYTES)):
                entry = json_object(line)
                if entry is None or str(entry.get("type")).startswith(_NOT_TOLD):
                    continue  # a line may be torn, where the program was killed
                found.append((str(entry.get("uuid") or ""), _line(entry)))
                size += len(found[-1][1])
    except OSError:
        return []
    return found


def _make(folder: Path, part: str, lines: Sequence[str]) -> None:
    """Write a file as a whole, readable for us alone."""
    path = folder / part
    make_private(path.parent)
    if path.parent.resolve() != (folder.resolve() / part).parent:
        raise OSError(f"{path.parent} is reached by a link")
    descriptor, name = tempfile.mkstemp(prefix=".midflight-", dir=path.parent)
    half = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines)
        half.replace(path)
    except BaseException:
        half.unlink(missing_ok=True)
        raise

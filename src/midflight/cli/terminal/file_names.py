"""The names of a folder's files, for a person who begins one behind an ``@``."""

from __future__ import annotations

import asyncio
import heapq
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path

from midflight._util.sanitize import one_name
from midflight.errors import MidflightError
from midflight.git.files import list_files

MOST = 20_000
"""How many names are looked through."""

OFFERED = 50
"""How many of them are offered at once."""

LONGEST = 300
"""Longer paths are not offered."""

LOOK_S = 0.3
"""How long is looked for names that are like a word."""

FRESH_S = 5.0
"""How long a list is good for."""

WALK_S = 0.5
"""How long a folder that git does not know is walked through."""


class FileNames:
    """What can follow an ``@``: listed once it is begun, and again when the list is old."""

    def __init__(self, folder: Path) -> None:
        """Nothing is listed yet."""
        self._folder = folder
        self._names: Sequence[str] = ()
        self._listed_at = float("-inf")
        self._listing = asyncio.Lock()

    async def like(self, word: str) -> list[str]:
        """Return the names that are most like what is typed, the likest first."""
        async with self._listing:
            if time.monotonic() - self._listed_at > FRESH_S:
                self._names = await _names_in(self._folder)
                self._listed_at = time.monotonic()
        return await asyncio.to_thread(likest, word, self._names)


async def _names_in(folder: Path) -> list[str]:
    """Return names that can be typed and shown as they are; others could pass for another file."""
    try:
        found = await list_files(folder, MOST)
    except MidflightError:
        found = await asyncio.to_thread(_walked, folder)
    return await asyncio.to_thread(_plain, found[:MOST])


def _plain(names: Sequence[str]) -> list[str]:
    return [
        name
        for name in names
        if len(name) <= LONGEST and '"' not in name and one_name(name, LONGEST) == name
    ]


def _walked(folder: Path) -> list[str]:
    """Return the files that are found in a while; folders whose name hides them are left out."""
    until = time.monotonic() + WALK_S
    found: list[str] = []
    for place, folders, files in os.walk(folder):  # which follows no links
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [os.path.relpath(os.path.join(place, file), folder) for file in files]  # noqa: PTH118 - many
        if len(found) >= MOST or time.monotonic() > until:
            break
    return found


def likest(word: str, names: Sequence[str]) -> list[str]:
    """Return the names that have the word's characters in this order, the likest first.

    First a file whose path or own name begins with the word, then one that has it in its name,
    then in its path, then those that have it in the shortest piece; short names before long ones.
    """
    if not word:
        return list(names[:OFFERED])
    until = time.monotonic() + LOOK_S
    wanted = word.casefold()
    first, *others = map(re.escape, wanted)
    # Each gap ends at the first place that it can, or a name could have it tried without end.
    spread = re.compile(f"(?=({first}{''.join(f'[^{each}]*{each}' for each in others)}))")
    likely = []
    for name in names:
        if time.monotonic() > until:
            break
        low = name.casefold()
        if spread.search(low):
            base = low[low.rfind("/") + 1 :]
            if base.startswith(wanted) or low.startswith(wanted):
                likeness = 0
            elif wanted in base:
                likeness = 1
            elif wanted in low:
                likeness = 2
            else:
                likeness = min(len(piece) for piece in spread.findall(low)) + 2
            likely.append((likeness, len(name), name))
    return [name for *_, name in heapq.nsmallest(OFFERED, likely)]

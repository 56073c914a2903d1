"""What the user has agreed to, in a private file beside the journal.

It is a set: of each repository the files, by path and hash, that may be there when an agent starts.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator

import msgspec

from midflight import lineage
from midflight.errors import NotAllowed
from midflight.journal.location import JournalLocation, default_folder
from midflight.journal.private_file import PrivateFile
from midflight.trust.stake import StakeFile

FILE = "trust.json"

KEPT_SESSIONS = 1_000
"""Of how many sessions is remembered what they were started with."""


class Trusted(msgspec.Struct):
    """What is in the file.

    ``repositories``: a repository → path → hashes. ``sessions``: the id of a session that was
    started with ``trust=True`` → what stood there then, as hashes of files.
    """

    repositories: dict[str, dict[str, list[str]]] = {}
    sessions: dict[str, list[str]] = {}

    def covers(self, files: Iterable[StakeFile]) -> bool:
        """Tell whether every file is one that was agreed to."""
        return all(
            file.digest in self.repositories.get(file.repository, {}).get(file.path, ())
            for file in files
        )

    def add(self, files: Iterable[StakeFile]) -> None:
        """Agree to these files, besides what was agreed to before."""
        for file in files:
            hashes = self.repositories.setdefault(file.repository, {}).setdefault(file.path, [])
            if file.digest not in hashes:
                hashes.append(file.digest)


def read() -> Trusted:
    """Return what was agreed to; nothing is made where nothing was.

    Raises `StoreRefused` if others could have written it, `StoreFailed` if it cannot be read.
    """
    return _file().read() if os.path.lexists(default_folder() / FILE) else Trusted()


@contextlib.contextmanager
def changed() -> Iterator[Trusted]:
    """Yield what was agreed to, and write it back; others wait meanwhile.

    Raises `NotAllowed` inside of an agent, `StoreRefused` and `StoreFailed`.
    """
    check_caller()
    with _file().changed() as trusted:
        yield trusted


def _file() -> PrivateFile[Trusted]:
    return PrivateFile(JournalLocation(), "trust", Trusted, "remove it, and trust again")


def check_caller() -> None:
    """Raise `NotAllowed` inside of an agent: it cannot agree for the user."""
    if lineage.inside():
        raise NotAllowed("an agent cannot trust a folder", "the user runs: midflight trust")


def same_as_begun(session: str, files: Iterable[StakeFile]) -> bool:
    """Tell whether a session that was begun with ``trust=True`` finds what it was begun with.

    Its first start is the one that it is begun with.
    """
    with changed() as trusted:
        begun = trusted.sessions.setdefault(session, [file.digest for file in files])
        while len(trusted.sessions) > KEPT_SESSIONS:
            del trusted.sessions[next(iter(trusted.sessions))]
        return {file.digest for file in files} <= set(begun)

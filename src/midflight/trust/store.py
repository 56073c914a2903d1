"""What the user has agreed to, in a private file beside the journal.

It is a set: of each repository the files, by path and hash, that may be there when an agent starts.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from midflight import lineage
from midflight._util.file_lock import lock_in_thread
from midflight.errors import NotAllowed, StoreFailed
from midflight.journal.location import JournalLocation, default_folder
from midflight.trust.stake import StakeFile

FILE, LOCK = "trust.json", "trust.lock"

LOCK_S = 10.0
"""How long to wait for another process that is at work in the file."""

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
    if not os.path.lexists(default_folder() / FILE):
        return Trusted()
    location = JournalLocation()
    return _read(location, location.folder / FILE)


def _read(location: JournalLocation, path: Path) -> Trusted:
    with os.fdopen(location.open_file(path), "rb") as stream:
        body = stream.read()
    try:
        return msgspec.json.decode(body, type=Trusted) if body else Trusted()
    except msgspec.DecodeError as error:
        raise StoreFailed(f"{path} cannot be read: {error}", "remove it, and trust again") from None


@contextlib.contextmanager
def changed() -> Iterator[Trusted]:
    """Yield what was agreed to, and write it back; others wait meanwhile.

    Raises `NotAllowed` inside of an agent, `StoreRefused` and `StoreFailed`.
    """
    check_caller()
    location = JournalLocation()
    path = location.folder / FILE
    lock = location.open_file(location.folder / LOCK)
    try:
        try:
            lock_in_thread(lock, LOCK_S)
        except TimeoutError:
            raise StoreFailed(f"another process is at work in {path}", "try again") from None
        trusted = _read(location, path) if os.path.lexists(path) else Trusted()
        yield trusted
        _write(path, trusted)
    finally:
        os.close(lock)


def _write(path: Path, trusted: Trusted) -> None:
    """Put a whole file in place of the old one; `mkstemp` makes it private."""
    try:
        file, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(msgspec.json.encode(trusted))
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise StoreFailed(f"{path} cannot be written: {error.strerror}") from error


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

"""A small file of ours beside the journal, one object as JSON: private, and always whole."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from midflight._util.file_lock import lock_in_thread
from midflight.errors import StoreFailed
from midflight.journal.location import JournalLocation

LOCK_S = 10.0
"""How long to wait for another process that is at work in the file."""

T = TypeVar("T")


class PrivateFile(Generic[T]):
    """The file ``name.json``; one that is not there holds an object as it is made without values.

    Every method may raise `StoreRefused` if others could get at it, and `StoreFailed`.
    """

    def __init__(self, location: JournalLocation, name: str, kind: type[T], mend: str) -> None:
        """``mend`` is what to do about a file that cannot be read."""
        self._location = location
        self._kind = kind
        self._mend = mend
        self.path = location.folder / f"{name}.json"
        self._lock = location.folder / f"{name}.lock"

    @property
    def stamp(self) -> tuple[int, int, int] | None:
        """What differs when the file has changed; None while it is not there."""
        with contextlib.suppress(FileNotFoundError):
            status = self.path.lstat()
            return status.st_ino, status.st_mtime_ns, status.st_size
        return None

    def read(self) -> T:
        """Return what is in it."""
        if not os.path.lexists(self.path):
            return self._kind()
        with os.fdopen(self._location.open_file(self.path), "rb") as stream:
            body = stream.read()
        try:
            return msgspec.json.decode(body, type=self._kind) if body else self._kind()
        except msgspec.DecodeError as error:
            raise StoreFailed(f"{self.path} cannot be read: {error}", self._mend) from None

    @contextlib.contextmanager
    def changed(self) -> Iterator[T]:
        """Yield what is in it, and write it back; others wait meanwhile."""
        lock = self._location.open_file(self._lock)
        try:
            try:
                lock_in_thread(lock, LOCK_S)
            except TimeoutError:
                raise StoreFailed(
                    f"another process is at work in {self.path}", "try again"
                ) from None
            content = self.read()
            yield content
            self._write(content)
        finally:
            os.close(lock)

    def _write(self, content: T) -> None:
        """Put a whole file in place of the old one; `mkstemp` makes it private."""
        try:
            file, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
            try:
                with os.fdopen(file, "wb") as stream:
                    stream.write(msgspec.json.encode(content))
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(name).replace(self.path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
        except OSError as error:
            raise StoreFailed(f"{self.path} cannot be written: {error.strerror}") from error

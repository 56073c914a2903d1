"""Where the journal lies: a private folder, made private and refused if it is not."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from shlex import quote
from typing import NoReturn

from midflight._util.files import (
    NOT_TEXT,
    exposed_above,
    exposed_by,
    is_text,
    make_private,
    open_private,
    shown,
)
from midflight.errors import StoreFailed, StoreRefused

APPLICATION = 0x6D666C74
"""The application id in the header of a journal's file: "mflt" in ASCII."""

_used: set[Path] = set()
"""The folders of journals that this process has opened, and of the sockets beside them."""

MAX_SOCKET_BYTES = 100
"""A path of a Unix socket has to fit into 104 bytes on macOS and 108 on Linux."""


class JournalLocation:
    """A state folder that belongs to this user alone, and the paths in it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Make the folder, or check the one that is there. Without one the user's own is meant.

        Raises `StoreRefused` if others could get at it, `StoreFailed` if it cannot be made.
        """
        self.folder = _private(
            default_folder() if folder is None else folder.expanduser().absolute()
        )
        _used.add(self.folder)

    @property
    def journal(self) -> Path:
        """The SQLite file."""
        return self.folder / "journal.sqlite"

    @property
    def lock(self) -> Path:
        """The file that is locked while the journal is made or migrated."""
        return self.folder / "journal.lock"

    def socket(self, host: str) -> Path:
        """Return the path for a host's socket, in a private folder that exists."""
        path = self.folder / "hosts" / socket_name(host)
        for other in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - in a folder that is ours alone
            if len(os.fsencode(path)) > MAX_SOCKET_BYTES:
                path = Path(other) / f"midflight-{os.geteuid()}" / path.name
        folder = _private(path.parent)
        if not folder.is_relative_to(self.folder):
            _used.add(folder)
        return folder / path.name

    def open_file(self, path: Path) -> int:
        """Open one of our files, which is made private if it is new; return its descriptor.

        Raises `StoreRefused` if it is a link, or if others could get at it.
        """
        try:
            file = open_private(path)
        except OSError as error:
            if path.is_symlink():
                raise StoreRefused(
                    f"{path} is a symbolic link", f"rm {quote(str(path))}"
                ) from error
            raise StoreFailed(f"{path} cannot be opened: {error.strerror}") from error
        try:
            _check(path, os.fstat(file), "600", stat.S_ISREG)
        except StoreRefused:
            os.close(file)
            raise
        return file

    def check_journal(self) -> None:
        """Make an empty journal file, or look whether the one that is there is a journal.

        Raises `StoreRefused`; the file is not changed.
        """
        # It is SQLite that reads it: the system takes all locks on a file from a process that
        # closes any descriptor of it, and the next process would take those who write for dead.
        if not os.path.lexists(self.journal):
            os.close(self.open_file(self.journal))
        status = self.journal.lstat()
        _check(self.journal, status, "600", stat.S_ISREG)
        if status.st_size and not self._is_ours():
            raise StoreRefused(
                f"{self.journal} is not a journal of midflight", f"move it out of {self.folder}"
            )

    def _is_ours(self) -> bool:
        """Look at the file's header only; nothing is locked, and what is damaged comes later."""
        import sqlite3

        where = f"{self.journal.absolute().as_uri()}?mode=ro&immutable=1"
        try:
            with contextlib.closing(sqlite3.connect(where, uri=True)) as connection:
                (application,) = connection.execute("PRAGMA application_id").fetchone()
        except sqlite3.DatabaseError as error:
            return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CORRUPT
        return bool(application == APPLICATION)


def socket_name(host: str) -> str:
    """Return the name of a host's socket."""
    return f"{host}.sock"


def default_folder() -> Path:
    """Return the folder of the user's own journal; it may not be there yet."""
    import platformdirs

    return Path(platformdirs.user_state_dir("midflight", appauthor=False))


def state_folders() -> set[Path]:
    """Return where midflight keeps what is its own: in the user's folder, and where it was told."""
    return {default_folder(), *_used}


def _private(folder: Path) -> Path:
    """Return a folder that is ours alone; it is made if it is missing, and never changed."""
    if not is_text(folder):
        raise StoreFailed(
            f"the folder {shown(folder)} {NOT_TEXT}", "name another one with XDG_STATE_HOME"
        )
    try:
        make_private(folder)
        status = folder.lstat()
        above = exposed_above(folder)
    except OSError as error:
        raise StoreFailed(
            f"the folder {folder} cannot be made or read: {error.strerror}",
            "name another one with XDG_STATE_HOME",
        ) from error
    _check(folder, status, "700", stat.S_ISDIR)
    if above is not None:
        _refuse_above(folder, *above)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise StoreFailed(
            f"the folder {folder} cannot be written to", f"chmod 700 {quote(str(folder))}"
        )
    return folder


def _refuse_above(folder: Path, above: Path, by: str) -> NoReturn:
    """Raise `StoreRefused` for a folder that others could put another one in place of."""
    if by == "owner":
        raise StoreRefused(
            f"{above}, above {folder}, belongs to another user (uid {above.stat().st_uid})",
            "name another folder with XDG_STATE_HOME",
        )
    raise StoreRefused(
        f"{above}, above {folder}, can be written to by others", f"chmod go-w {quote(str(above))}"
    )


def _check(
    path: Path, status: os.stat_result, mode: str, right_kind: Callable[[int], bool]
) -> None:
    """Raise `StoreRefused` unless this is of the right kind, ours, and closed to others."""
    if stat.S_ISLNK(status.st_mode):
        raise StoreRefused(f"{path} is a symbolic link", f"rm {quote(str(path))}")
    if not right_kind(status.st_mode):
        raise StoreRefused(f"{path} is not what it should be", f"move {path} away")
    exposed = exposed_by(status)
    if exposed == "owner":
        raise StoreRefused(
            f"{path} belongs to another user (uid {status.st_uid})", f"move {path} away"
        )
    if exposed == "mode":
        loose = stat.S_IMODE(status.st_mode)
        raise StoreRefused(
            f"{path} is open to others (mode {loose:o})", f"chmod {mode} {quote(str(path))}"
        )

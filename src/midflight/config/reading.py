"""Read a file with defaults: only a private or plain one, and TOML with the lines of its keys."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from midflight._util.database_url import FORM, PASSWORDS, DatabaseUrl, is_url
from midflight._util.files import (
    WRITE_ACCESS,
    NotRegular,
    exposed_above,
    exposed_by,
    open_regular,
)
from midflight.errors import InvalidConfig

JOURNAL = "journal"
"""The key of the user's file that says which journal is used."""

_MAX_BYTES = 100_000

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_KEY = re.compile(r"([^=#\[\]]+)=")
_POSITION = re.compile(r"at line (\d+)")


def user_path() -> Path | None:
    """Return where the user's file would be; None if this user has no home folder."""
    from platformdirs import user_config_path

    try:
        return user_config_path("midflight", appauthor=False) / "config.toml"
    except RuntimeError:
        return None


def read_journal() -> str | None:
    """Return where the user's file says that the journal is, and look at nothing else in it.

    Every command asks, and most have no use for the rest. Raises `InvalidConfig`.
    """
    path = user_path()
    data = read(path, private=True) if path else None
    if path is None or data is None or JOURNAL.encode() not in data:
        return None
    document, lines = parsed(path, data)
    value = document.get(JOURNAL)
    return None if value is None else journal_text(path, value, lines.get(JOURNAL))


def journal_text(path: Path, value: object, line: int | None) -> str:
    """Return the value of that key: a URL, or an absolute path; relative ones are the file's.

    Raises `InvalidConfig` for what is neither, and for a password: others may read the file.
    """

    def wrong(message: str, hint: str) -> InvalidConfig:
        return InvalidConfig(str(path), message, hint, line=line, key=JOURNAL)

    if not isinstance(value, str) or not value.strip():
        raise wrong("expected the path of a folder, or the URL of a database", FORM)
    if not is_url(value):
        return str(path.parent / os.path.expanduser(value))  # noqa: PTH111 - never raises
    try:
        url = DatabaseUrl.parse(value)
    except ValueError as error:
        raise wrong(str(error), FORM) from None
    if url.secrets:
        raise wrong("a password does not belong in this file", PASSWORDS)
    return url.whole


def read(path: Path, *, private: bool) -> bytes | None:
    """Return what is in a file, None if there is none; a pipe or a device is not waited for."""
    try:
        with open_regular(path) as file:
            if private:
                _check_private(path, os.fstat(file.fileno()))
            data = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise InvalidConfig(str(path), "is a link to a file that does not exist") from None
        return None
    except NotRegular:
        raise InvalidConfig(str(path), "is not a regular file") from None
    except OSError as error:
        raise InvalidConfig(
            str(path), f"cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if len(data) > _MAX_BYTES:
        raise InvalidConfig(str(path), f"is over {_MAX_BYTES} bytes long")
    return data


def _check_private(path: Path, status: os.stat_result) -> None:
    """Refuse a file into which others could have written."""
    exposed = exposed_by(status, WRITE_ACCESS)
    quoted = shlex.quote(str(path))
    if (above := exposed_above(path)) is not None:
        hint = f"read it, then: chmod go-w {shlex.quote(str(above[0]))}"
        raise InvalidConfig(str(path), f"could be replaced by who can write to {above[0]}", hint)
    if exposed == "owner":
        hint = f"read it, then: sudo chown {os.geteuid()} {quoted}"
        raise InvalidConfig(str(path), "belongs to another user", hint)
    if exposed == "mode":
        hint = f"read it, then: chmod go-w {quoted}"
        raise InvalidConfig(str(path), "can be written by other users", hint)


def parsed(path: Path, data: bytes) -> tuple[dict[str, Any], Mapping[str, int]]:
    """Return the content, and the lines of its keys."""
    import tomllib

    try:
        text = data.decode()
        return tomllib.loads(text), _lines(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidConfig(str(path), "is not UTF-8 text", line=line) from error
    except (ValueError, RecursionError) as error:
        position = _POSITION.search(str(error))
        line = int(position[1]) if position else data.count(b"\n") + 1
        raise InvalidConfig(str(path), f"is not TOML: {error}", line=line) from error


def _lines(text: str) -> Mapping[str, int]:
    """Return where each key and table starts, by its full name.

    The parser does not tell. Unusual forms, such as a table in one line, are left out: then an
    error names the key without a line.
    """
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.split("\n"), 1):
        if header := _HEADER.match(line):
            table = _bare(header[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            lines.setdefault(f"{table}.{_bare(key[1])}".removeprefix("."), number)
    return lines


def _bare(name: str) -> str:
    """Return a name without the quotes that TOML wants around some of its parts."""
    return re.sub(r"\s*\.\s*", ".", re.sub("[\"']", "", name)).strip()

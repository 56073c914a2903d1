"""Who may come in over TCP: the bearer of the token, and nobody by where he comes from."""

from __future__ import annotations

import contextlib
import hmac
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from midflight.environment import TOKEN_VARIABLE
from midflight.errors import InvalidInput
from midflight.journal import JournalLocation

TOKEN_CHARS = 16
"""A shorter one could be guessed."""

_TOKEN = re.compile(r"[!-~]+")


class Token:
    """What opens everything. ``explicit`` says that the user has set it, and where it goes."""

    def __init__(self, value: str, *, explicit: bool = False) -> None:
        """Raises `InvalidInput` for one that is blank, too short or cannot stand in a header."""
        if not _TOKEN.fullmatch(value) or len(value) < TOKEN_CHARS:
            raise InvalidInput(
                f"the token is blank, shorter than {TOKEN_CHARS} characters, or has others than"
                " letters, digits and signs",
                f"{TOKEN_VARIABLE}=$(openssl rand -hex 32)",
            )
        self.explicit = explicit
        self._value = value.encode()

    def __repr__(self) -> str:
        """Show nothing of it."""
        return "Token(…)"

    def is_in(self, headers: list[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request carries it; the time that this takes tells nothing about it."""
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, value = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        return hmac.compare_digest(value, self._value) and scheme.lower() == b"bearer"

    @property
    def value(self) -> str:
        """The token itself: for what must not be read in a log."""
        return self._value.decode()


def token_file(location: JournalLocation) -> Path:
    """Return where the token stands, if it is in no variable."""
    return location.folder / "token"


def token(location: JournalLocation, env: Mapping[str, str]) -> Token:
    """Return the token: the variable's, or the file's, which is made at the first start.

    Raises `InvalidInput` for one that cannot be used: a blank one never means that none is needed.
    Raises `StoreRefused` for a file that others could read or put there.
    """
    if TOKEN_VARIABLE in env:
        return Token(env[TOKEN_VARIABLE].strip(), explicit=True)
    path = token_file(location)
    if not os.path.lexists(path):
        new = path.with_name(f"token.{os.getpid()}")  # whoever reads it finds it whole
        file = location.open_file(new)
        with os.fdopen(file, "wb") as writing:
            writing.write(secrets.token_urlsafe(32).encode() + b"\n")
        with contextlib.suppress(FileExistsError):  # another one was faster
            os.link(new, path)
        new.unlink()
    with os.fdopen(location.open_file(path), "rb") as reading:
        text = reading.read(4_096).decode("ascii", "replace").strip()
    try:
        return Token(text)
    except InvalidInput as error:
        error.message = f"{path}: {error.message}"
        error.hint = f"rm {path}: the next start makes a new one"
        raise

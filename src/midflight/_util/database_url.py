"""The URL of a PostgreSQL database: read strictly, and shown without what opens it.

The form is libpq's, with one host, and with ``postgresql+psycopg`` beside its two schemes. Errors
never repeat the text: of one that cannot be read nobody knows which part is the password.
"""

from __future__ import annotations

import re
from typing import NamedTuple, Self
from urllib.parse import unquote

FORM = "postgresql://USER@HOST:PORT/DATABASE, with %40 for @, %3A for :, %2F for / in any part"

PASSWORDS = "put it into ~/.pgpass or the file that PGPASSFILE names, or set PGPASSWORD"
"""Where libpq looks for a password that is in no URL."""

_ANY = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:/|postgres(?:ql)?\b.*:)", re.IGNORECASE)
"""What is meant for a URL, also if it has lost a slash, as `pathlib.Path` makes it."""

_SETTINGS = re.compile(
    r"(?:^|\s)(?:host|hostaddr|dbname|service|user|password|passfile)\s*=", re.IGNORECASE
)
"""libpq's other form for the same, ``host=… dbname=…``: no folder is called so."""

_URL = re.compile(
    r"""(?P<scheme>postgres|postgresql|postgresql\+psycopg)://
    (?:(?P<user>[^:/@?\#\s]*)(?P<password>:[^/@?\#\s]*)?@)?
    (?P<host>\[[0-9a-f:.]+(?:%[\w.-]+)?\]|[^:/@?\#\s\[\]]*)(?P<port>:\d*)?
    (?P<database>/[^/@?\#\s]*)?
    (?P<query>\?[^\#\s]*)?""",
    re.IGNORECASE | re.VERBOSE,
)

_SECRET = re.compile("password|secret|scram", re.IGNORECASE)
"""In the name of each of libpq's parameters whose value opens something."""


def is_url(text: str) -> bool:
    """Tell whether a text is meant for the address of a database, whatever is wrong with it."""
    return "://" in text or bool(_ANY.match(text) or _SETTINGS.search(text))


class DatabaseUrl(NamedTuple):
    """A URL that can be read.

    ``whole`` is all of it; ``public`` the same without passwords; ``shown`` what people are told
    of it; ``secrets`` are its passwords, as they are.
    """

    whole: str
    public: str
    shown: str
    secrets: tuple[str, ...]

    def __repr__(self) -> str:
        """Show nothing that opens it."""
        return f"DatabaseUrl({self.shown!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read one. Raises `ValueError`, which says nothing of the text."""
        whole = text.strip()
        found = _URL.fullmatch(whole)
        if found is None:
            raise ValueError("it cannot be read as a URL of PostgreSQL")
        user, query = found["user"], found["query"] or ""
        pairs = [pair.partition("=") for pair in query[1:].split("&") if pair]
        place = f"{found['host']}{found['port'] or ''}{found['database'] or ''}"
        start = f"postgresql://{'' if user is None else f'{user}@'}{place}"
        open_pairs = ["".join(pair) for pair in pairs if not _SECRET.search(unquote(pair[0]))]
        secrets = [(found["password"] or "")[1:]]
        secrets += [value for name, _, value in pairs if _SECRET.search(unquote(name))]
        return cls(
            whole="postgresql" + whole[len(found["scheme"]) :],
            public=start + ("?" + "&".join(open_pairs) if open_pairs else ""),
            shown=start,
            secrets=tuple(unquote(each) for each in secrets if each),
        )

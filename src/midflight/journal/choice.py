"""Which journal a program uses: the one it names, the variable's, the user's file's, or its own.

Nothing slow is loaded here: a shell waits for it at each Tab.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple, Self

from midflight._util.database_url import FORM, PASSWORDS, DatabaseUrl, is_url
from midflight._util.own_variables import JOURNAL
from midflight.config.reading import read_journal
from midflight.errors import InvalidOption
from midflight.journal.location import JournalLocation, default_folder

OPTION = "--journal"


class JournalAddress(NamedTuple):
    """Where a journal is: in a folder of this machine, or in a database on a server.

    With neither it is in the user's own folder, where sockets and logs are for a database too.
    """

    folder: Path | None = None
    url: DatabaseUrl | None = None

    @classmethod
    def parse(cls, given: Path | str, option: str = "journal") -> Self:
        """Return the address that a path or a URL means. Raises `InvalidOption`.

        A password in a URL is taken, and never told.
        """
        text = os.fspath(given)
        if not text.strip():
            raise InvalidOption(option, "expected a folder, or the URL of a database", FORM)
        if not is_url(text):
            return cls(Path(os.path.expanduser(text)).absolute())  # noqa: PTH111 - never raises
        try:
            return cls(url=DatabaseUrl.parse(text))
        except ValueError as error:
            raise InvalidOption(option, str(error), FORM) from None

    @property
    def location(self) -> JournalLocation:
        """The folder on this machine, made if it is missing. Raises as `JournalLocation` does."""
        return JournalLocation(self.folder)

    @property
    def whole(self) -> str:
        """What the variable is to say for the same; empty for the user's own folder."""
        return self.url.whole if self.url else str(self.folder or "")

    @property
    def public(self) -> str:
        """The same without a password."""
        return self.url.public if self.url else self.whole

    def __str__(self) -> str:
        """Return what people are told of it."""
        return self.url.shown if self.url else str(self.folder or default_folder())


def choose(given: JournalAddress | Path | str | None = None) -> JournalAddress:
    """Return the journal that is meant: the first that is said of these.

    What is given; ``MIDFLIGHT_JOURNAL``; the user's own file; the user's own folder. A project's
    file has no word in it. Raises `InvalidOption` or `InvalidConfig`.
    """
    if isinstance(given, JournalAddress):
        return given
    if given is not None:
        return JournalAddress.parse(given)
    if text := os.environ.get(JOURNAL):
        return JournalAddress.parse(text, JOURNAL)
    setting = read_journal()
    return JournalAddress() if setting is None else JournalAddress.parse(setting)


def take_option(text: str) -> JournalAddress:
    """Have this program, and the hosts that it starts, use the journal that was typed.

    Raises `InvalidOption`, also for a password: who else is here reads command lines.
    """
    address = JournalAddress.parse(text, OPTION)
    if address.url is not None and address.url.secrets:
        why = "a password must not stand in a command line, which others can read"
        raise InvalidOption(OPTION, why, f"{PASSWORDS}; or the whole URL in {JOURNAL}")
    os.environ[JOURNAL] = address.whole
    return address

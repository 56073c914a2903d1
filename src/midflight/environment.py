"""What of an environment all sessions of a host share, and what each has from its own terminal.

A host in the background is started with the environment of whoever needs one first. It takes the
sessions of others who have the same, whatever terminal they sit at: an agent gets the variables of
the terminal that its session was begun from.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import sys
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from midflight._util.confinement import confinement
from midflight._util.own_variables import JOURNAL, TOKEN
from midflight.wire import WIRE

TERMINAL = "midflight-terminal"
"""The header with which a client tells a host the variables of its terminal."""

TOKEN_VARIABLE = TOKEN
"""The environment variable with the token of `midflight serve`: no host and no agent gets it."""

NAMES = frozenset(
    (
        *("_", "PWD", "OLDPWD", "SHLVL", "COLORTERM", "COLORFGBG", "COLUMNS", "LINES", "WINDOW"),
        *("WINDOWID", "STY", "GPG_TTY", "SSH_TTY", "SSH_CLIENT", "SSH_CONNECTION", "LC_TERMINAL"),
        *("LC_TERMINAL_VERSION", "VTE_VERSION", "WT_SESSION", "WT_PROFILE_ID", "ITERM_SESSION_ID"),
        *("ITERM_PROFILE", "GNOME_TERMINAL_SCREEN", "GNOME_TERMINAL_SERVICE", "SHELL_SESSION_ID"),
        *("STARSHIP_SESSION_KEY", "INVOCATION_ID", "JOURNAL_STREAM"),
    )
)
BEGINNINGS = (
    "TERM",
    "TMUX",
    "ZELLIJ",
    "ALACRITTY_",
    "GHOSTTY_",
    "KITTY_",
    "KONSOLE_",
    "WEZTERM_",
    "XTERM_",
)
"""How the variables of a terminal are named, or how their names begin; the documentation says so.

They tell where a program was started. None of them decides what it works on, or for whom.
"""

SHELL = frozenset({"_", "PWD", "OLDPWD", "SHLVL"})
"""Those in which a shell keeps its own books: they differ from one line of it to the next."""

_STARTED = SHELL - {"OLDPWD", "SHLVL"}
"""Those that a program gets anew with its start."""

MAX_CHARS = 8_000
"""More than this is no terminal's: a header has its bounds."""


def of_terminal(name: str) -> bool:
    """Tell whether a variable is one of the terminal that a program was started in."""
    return name in NAMES or name.startswith(BEGINNINGS)


def terminal(env: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that an agent has from its terminal."""
    return {
        name: value
        for name, value in env.items()
        if of_terminal(name) and name not in _STARTED and "=" not in name
        if "\0" not in name + value
    }


def written(env: Mapping[str, str]) -> str:
    """Return `terminal` as one line of ASCII; nothing if it is too long for one."""
    text = urlencode(terminal(env), errors="surrogateescape")
    return text if len(text) <= MAX_CHARS else ""


def read(header: str) -> dict[str, str]:
    """Return what `written` has written, and nothing that is no terminal's."""
    pairs = parse_qsl(header[:MAX_CHARS], keep_blank_values=True, errors="surrogateescape")
    return terminal(dict(pairs))


class HostKind:
    """What a host in the background is like: its program, environment, bounds and settings.

    Sessions that need the same kind can share a host: one that is begun in a container, or with
    another umask, gets what it would have there. What is compared is a hash under a key that each
    host has for itself, so that no value of the environment leaves the process.
    """

    def __init__(self, env: Mapping[str, str], park_after: float | None) -> None:
        """``env`` is what the host is started with; ``park_after`` is its option.

        The bounds are those of this process, which the host is started by, or is.
        """
        from importlib.metadata import version

        # One interpreter has several names in its environment: python, python3, python3.11.
        python = [sys.prefix, os.path.realpath(sys.executable)]
        program = [version("midflight"), WIRE, python, park_after]
        shared = sorted(
            (name, value)
            for name, value in env.items()
            if name != JOURNAL and not of_terminal(name)  # the host was found in that journal
        )
        self._text = json.dumps([program, shared, confinement()]).encode()

    def mark(self, host: str) -> str:
        """Return the hash that the host with this id is asked for."""
        return hashlib.blake2b(self._text, key=host.encode()[:64], digest_size=32).hexdigest()

    def is_meant(self, mark: str, host: str) -> bool:
        """Tell whether a hash is that of this very kind."""
        return hmac.compare_digest(mark.encode(), self.mark(host).encode())

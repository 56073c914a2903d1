"""What a host knows of its sessions and the journal does not: the values that may be secret."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from midflight._util.redact import Redactor, server_secrets
from midflight.errors import Conflict
from midflight.journal import SessionRow, restored
from midflight.options import SERVERS_VARIABLE, Options


class SessionSecrets:
    """The options of the sessions that this host has had, those at rest too."""

    def __init__(self, variables: Collection[str] | None = None) -> None:
        """Begin without a session.

        ``variables`` are those whose values it gives of this process's environment; None: all.
        """
        self._variables = variables
        self._options: dict[str, Options] = {}
        self._terminals: dict[str, Mapping[str, str]] = {}

    def __contains__(self, id: object) -> bool:
        """Tell whether this host has had a session."""
        return id in self._options

    def keep(self, id: str, options: Options, terminal: Mapping[str, str] | None = None) -> None:
        """Remember the options of a session, and the variables of its terminal."""
        self._options[id] = options
        if terminal is not None:
            self._terminals[id] = terminal

    def terminal(self, id: str) -> Mapping[str, str] | None:
        """Return the variables of the terminal that a session was begun from, if they are known."""
        return self._terminals.get(id)

    def forget(self, id: str) -> None:
        """Forget a session that was removed."""
        self._options.pop(id, None)
        self._terminals.pop(id, None)

    def masked(self, text: str) -> str:
        """Return a text without the secrets of this process and of the sessions it has had."""
        text = Redactor(os.environ)(text)
        for options in self._options.values():
            text = Redactor(options.env, server_secrets(options.mcp_servers))(text)
        return text

    def options(self, row: SessionRow) -> Options:
        """Return the options to resume with. Raises `Conflict` if something secret is missing."""
        known = self._options.get(row.id)
        options, missing = restored(
            row.options,
            {**self._environment(), **known.env} if known else self._environment(),
            known.mcp_servers if known else servers_of_environment(),
            on_request=known.on_request if known else None,
            attended=known.attended if known else row.options.get("attended"),
            **row.changed_options,
        )
        if missing:  # with others, the agent might work for another account
            raise Conflict(
                f"session {row.name} needs {', '.join(missing)}, whose values are never stored",
                f"set them in the environment, servers in {SERVERS_VARIABLE}, and send it again",
            )
        return options

    def _environment(self) -> Mapping[str, str]:
        if self._variables is None:
            return os.environ
        return {name: os.environ[name] for name in self._variables if name in os.environ}


def servers_of_environment() -> Mapping[str, Mapping[str, Any]]:
    """Return the MCP servers that the environment has. Raises `Conflict` if it has nonsense."""
    text = os.environ.get(SERVERS_VARIABLE) or "{}"
    try:
        return msgspec.json.decode(text, type=dict[str, dict[str, Any]])
    except msgspec.MsgspecError:
        raise Conflict(
            f"{SERVERS_VARIABLE} is no JSON of MCP servers", 'such as {"name": {"command": "x"}}'
        ) from None

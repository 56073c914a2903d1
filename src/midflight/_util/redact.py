"""Blanks out keys in an agent's errors. Best effort: it knows exact values only."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

SECRET_CHARS = 8
"""Shorter values are too common in ordinary text to be blanked out."""

TOKEN_CHARS = 16
"""Shorter words of an argument or an address are seldom tokens."""

_SEPARATORS = re.compile(r"[\s/?&=#:@,;\"']+")
_DIGIT = re.compile(r"\d")
_IN_ADDRESS = re.compile(r"://[^/@\s:]*:([^/@\s]+)@")
"""The password in an address, whatever the variable is called that has it."""

_SECRET_NAME = re.compile(r"KEY|TOKEN|SECRET|PASSWORD|CREDENTIAL", re.IGNORECASE)


class Redactor:
    """Knows the secrets of an environment, as they are and in base64."""

    def __init__(self, env: Mapping[str, str], secrets: Iterable[str] = ()) -> None:
        """Note the values of variables with the name of a secret, and further ``secrets``.

        The passwords in addresses too.
        """
        named = [value for name, value in env.items() if _SECRET_NAME.search(name)]
        for password in (each for value in env.values() for each in _IN_ADDRESS.findall(value)):
            named += {password, unquote(password)}
        self._forms: list[str] = []
        for value in [*named, *secrets]:
            if len(value) >= SECRET_CHARS:
                encoded = base64.b64encode(value.encode(errors="replace")).decode()
                self._forms += [value, encoded, encoded.rstrip("=")]

    def __call__(self, text: str) -> str:
        """Return the text without the secrets."""
        for form in self._forms:
            text = text.replace(form, "[redacted]")
        return text


def server_secrets(mcp_servers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what may be secret of MCP servers: environment, headers, and parts of arguments.

    Of those, and of an address, it is the long parts with a digit in them.
    """
    secrets: list[str] = []
    for server in mcp_servers.values():
        for part in ("env", "headers"):
            secrets += map(str, dict(server.get(part) or {}).values())
        texts = [str(server.get("url") or ""), *map(str, server.get("args") or ())]
        words = [word for text in texts for word in _SEPARATORS.split(text)]
        secrets += [word for word in words if len(word) >= TOKEN_CHARS and _DIGIT.search(word)]
    return secrets

"""The variables that are midflight's own: no agent, hook or tool that it starts gets them.

They open the journal, or a server. What a person names for a session it has all the same.
"""

from __future__ import annotations

from collections.abc import Mapping

JOURNAL = "MIDFLIGHT_JOURNAL"
"""The environment variable that says which journal is used."""

TOKEN = "MIDFLIGHT_TOKEN"  # noqa: S105 - which is no token
"""The environment variable with the token of `midflight serve`."""

_DATABASE = "PG"
"""How libpq's variables begin, which say where the journal's database is and what opens it."""


def is_own(name: str) -> bool:
    """Tell whether a variable is one of them."""
    return name in {JOURNAL, TOKEN} or name.startswith(_DATABASE)


def for_others(env: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without them."""
    return {name: value for name, value in env.items() if not is_own(name)}

"""Whether a session was begun before: the same id twice is one session."""

from __future__ import annotations

import msgspec

from midflight import events as e
from midflight.errors import InvalidInput, NotFound
from midflight.journal import Journal, stored
from midflight.options import Options

__all__ = ["begun"]


async def begun(journal: Journal, id: str, task: str | None, options: Options) -> bool:
    """Tell whether there is a session with this id.

    Raises `InvalidInput` if it was begun with anything else.
    """
    try:
        row = await journal.find(id, exact=True)
    except NotFound:
        return False
    first = await journal.events(id, 0, 1)
    said = first[0].text if first and isinstance(first[0], e.MessageAccepted) else None
    given = msgspec.json.decode(msgspec.json.encode(stored(options)))
    if said != task or row.options != given:
        raise InvalidInput(f"session {id} was begun with another task or other options")
    return True

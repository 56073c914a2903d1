"""The same id twice is one session: whether there is one with it, and was begun with the same."""

from __future__ import annotations

import msgspec

from midflight import events as e
from midflight.errors import InvalidInput, NotFound
from midflight.family import INHERITED, Beginning
from midflight.journal import Journal, stored


async def was_begun(
    journal: Journal, id: str, task: str | None, beginning: Beginning, label: str | None = None
) -> bool:
    """Tell whether there is a session with this id. Raises `InvalidInput` if that is another one.

    That is one that was begun with another task, with other options, or for other workers.
    """
    try:
        row = await journal.find(id, exact=True)
    except NotFound:
        return False
    first = await journal.events(id, 0, 1)
    said = first[0] if first and isinstance(first[0], e.MessageAccepted) else None
    begun_with = (said.text, said.images) if said else (None, ())
    asked = msgspec.json.decode(msgspec.json.encode(stored(beginning.options, label)))
    if row.parent:  # what is handed down may have changed since
        asked |= {name: row.options.get(name) for name in INHERITED}
    images = tuple(image.info for image in beginning.images)
    if begun_with != (task, images) or row.options != asked or row.label != label:
        raise InvalidInput(f"session {id} was begun with another task or other options")
    return True

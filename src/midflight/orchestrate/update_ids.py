"""The ids of messages with news: they say how far the agent has been told of each child."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

__all__ = ["MOST", "is_news", "new_id", "positions", "short"]

MOST = 10
"""How many children one message can be about: an id has 200 characters at most."""

_PREFIX = "news-"


def is_news(message: str) -> bool:
    """Tell whether a message was sent by midflight itself, to tell of children."""
    return message.startswith(_PREFIX)


def short(child: str) -> str:
    """Return how a child is called in ids."""
    return child[:8]


def new_id(far: Mapping[str, int]) -> str:
    """Return a new id for news of these children, by their short names, up to these events."""
    parts = "-".join(f"{child}.{seq}" for child, seq in far.items())
    return f"{_PREFIX}{uuid.uuid4().hex[:8]}-{parts}"


def positions(message: str) -> dict[str, int]:
    """Return what `new_id` was given; nothing for any other id."""
    if not is_news(message):
        return {}
    parts = (part.partition(".") for part in message.removeprefix(_PREFIX).split("-")[1:])
    return {child: int(seq) for child, _, seq in parts if seq.isdecimal()}

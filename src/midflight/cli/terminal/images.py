"""Images of messages in a line of text."""

from __future__ import annotations

from midflight._util.sanitize import one_line
from midflight.events import MessageAccepted
from midflight.images import ImageInfo


def in_line(image: ImageInfo) -> str:
    """Return what an image is: its name, its kind, its size."""
    kind = image.media_type.removeprefix("image/").upper()
    size = f"{max(1, round(image.bytes / 1000))} kB"
    return " ".join(filter(None, (one_line(image.name, 60), one_line(kind, 20), size)))


def text_with_images(event: MessageAccepted) -> str:
    """Return a message's text, and what images came with it."""
    shown = "".join(f" [image: {in_line(image)}]" for image in event.images)
    return f"{event.text}{shown}"

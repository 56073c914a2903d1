"""The images of a session's messages, as long as these wait: events only say what they are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

from midflight import commands as c
from midflight import events as e
from midflight.errors import AgentFailed
from midflight.images import Image
from midflight.state.outbox import Entry


class MessageImages:
    """Has the images of the messages that wait, by the ids of these."""

    def __init__(
        self, images: Mapping[str, tuple[Image, ...]], entry: Callable[[str], Entry | None]
    ) -> None:
        """``images`` are those that wait already; ``entry`` returns a message of the outbox."""
        self._images = dict(images)
        self._entry = entry

    @property
    def messages(self) -> set[str]:
        """The ids of the messages whose images are here."""
        return set(self._images)

    @contextlib.contextmanager
    def of_command(self, command: c.Command) -> Iterator[None]:
        """Within the block the rules accept a message, or refuse it: then its images go."""
        if not isinstance(command, (c.Send, c.Redirect)) or not command.images:
            yield
            return
        message = command.id or ""
        self._images.setdefault(message, command.images)
        try:
            yield
        finally:
            entry = self._entry(message)
            if entry is None or entry.state != "accepted":
                self._images.pop(message, None)

    def get(self, message: str) -> tuple[Image, ...]:
        """Return the images of a message that waits. Raises `AgentFailed` if they are lost."""
        entry, images = self._entry(message), self._images.get(message, ())
        if entry is not None and entry.images != tuple(image.info for image in images):
            raise AgentFailed("the images of this message are lost", "send it again")
        return images

    def record(self, event: e.Event) -> tuple[Image, ...]:
        """Return the images to write with an event; those of a message that waits no more go."""
        match event:
            case e.MessageAccepted(message=message, images=images) if images:
                return self._images.get(message, ())
            case (
                e.MessageStarted(message=message)
                | e.MessageSteered(message=message)
                | e.MessageCancelled(message=message)
                | e.MessageFailed(message=message)
            ):
                self._images.pop(message, None)
        return ()

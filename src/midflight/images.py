"""Images in a message: what one is and how large it may be, told by its bytes and not its name."""

from __future__ import annotations

import base64
import re
from typing import Annotated

import msgspec

from midflight.errors import InvalidInput

__all__ = ["Image", "ImageInfo"]

MAX_IMAGE_BYTES = 3_932_160
"""The largest image: as base64 it has 5 MiB, the most that the Messages API takes of one."""

MAX_IMAGES_BYTES = 10 * 1024 * 1024
"""How large the images of one message may be together, so that a command can carry them."""

MAX_IMAGES = 20
"""How many images one message may have."""

_HEAD_BYTES = 12

NOT_IN_NAMES = r"\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069/\\"
"""What no name has, for a pattern: controls, line ends, turns of the reading direction, paths."""

# Python's `$` stands before a last newline too. `\Z` would not be understood outside of Python.
_NAME = rf"^[^{NOT_IN_NAMES}]*(?!\n)$"
_MAX_NAME = 255

ImageName = Annotated[str, msgspec.Meta(max_length=_MAX_NAME, pattern=_NAME)]


class ImageInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What events tell of an image: its name, its media type, and its size in bytes."""

    name: str
    media_type: str
    bytes: int


class Image(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A PNG, JPEG, GIF or WebP with a name for people. In JSON ``data`` is base64."""

    data: bytes
    name: ImageName = ""

    def __post_init__(self) -> None:
        """Raise `InvalidInput` if it is too large, none of these, or its name is none."""
        fits = isinstance(self.name, str) and len(self.name) <= _MAX_NAME
        if not fits or re.search(_NAME, self.name) is None:
            raise InvalidInput(
                f"{self.name!r:.300} is no name of an image",
                f"give at most {_MAX_NAME} characters, and no path",
            )
        what = self.name or "the image"
        if not isinstance(self.data, bytes):
            raise InvalidInput(f"the data of an image is bytes, not {type(self.data).__name__}")
        if len(self.data) > MAX_IMAGE_BYTES:
            raise InvalidInput(
                f"{what} has {len(self.data)} bytes; the limit is {MAX_IMAGE_BYTES}",
                "make it smaller",
            )
        if not self.media_type:
            raise InvalidInput(
                f"{what} is no image that a model takes", "give a PNG, JPEG, GIF or WebP"
            )

    def __repr__(self) -> str:
        """Show what it is, and not its bytes."""
        return f"<Image {self.name!r} {self.media_type} {len(self.data)} bytes>"

    @property
    def media_type(self) -> str:
        """Its media type by its first bytes; empty for what is none of these."""
        head = self.data[:_HEAD_BYTES]
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return "image/png"
        if head.startswith(b"\xff\xd8\xff"):
            return "image/jpeg"
        if head.startswith((b"GIF87a", b"GIF89a")):
            return "image/gif"
        if head.startswith(b"RIFF") and head[8:] == b"WEBP":
            return "image/webp"
        return ""

    @property
    def base64(self) -> str:
        """Its bytes as models and agents are given them."""
        return base64.b64encode(self.data).decode()

    @property
    def info(self) -> ImageInfo:
        """What events tell of it."""
        return ImageInfo(name=self.name, media_type=self.media_type, bytes=len(self.data))


def check_images(images: tuple[Image, ...]) -> tuple[Image, ...]:
    """Return the images of one message. Raises `InvalidInput` for too many, or too large ones."""
    if not all(isinstance(image, Image) for image in images):
        raise InvalidInput("a command has images as midflight.Image", "send() reads files")
    if len(images) > MAX_IMAGES:
        raise InvalidInput(f"a message has at most {MAX_IMAGES} images, not {len(images)}", "")
    if (size := sum(len(image.data) for image in images)) > MAX_IMAGES_BYTES:
        raise InvalidInput(
            f"the images have {size} bytes together; the limit is {MAX_IMAGES_BYTES}",
            "send them in several messages",
        )
    return images

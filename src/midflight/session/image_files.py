"""Images as a caller gives them: files that are read, bytes, or images that are made already."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from midflight._util.files import NotRegular, open_regular, shown
from midflight.errors import InvalidInput
from midflight.images import MAX_IMAGE_BYTES, NOT_IN_NAMES, Image, check_images

_UNFIT = re.compile(f"[{NOT_IN_NAMES}]")

ImageSource = str | os.PathLike[str] | bytes | Image
"""The path of a file, the bytes of an image, or one that is made already."""


def read_images(sources: Iterable[ImageSource]) -> tuple[Image, ...]:
    """Return the images, those of files read. Raises `InvalidInput` that names the file.

    It reads files, so an event loop has a thread call it.
    """
    if isinstance(sources, (str, bytes, os.PathLike, Image)):
        raise InvalidInput("images is a list", f"write [{sources!r}]"[:100])
    return check_images(tuple(map(_image, sources)))


def _image(source: ImageSource) -> Image:
    if isinstance(source, Image):
        return source
    if isinstance(source, bytes):
        return Image(data=source)
    if not isinstance(source, (str, os.PathLike)):
        raise InvalidInput(f"an image is a path or bytes, not {type(source).__name__}")
    path = Path(source).expanduser()
    try:
        with open_regular(path) as file:
            data = file.read(MAX_IMAGE_BYTES + 1)
            size = max(len(data), os.fstat(file.fileno()).st_size)
    except NotRegular:
        raise InvalidInput(f"{shown(path)} is not a file", "give the path of an image") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidInput(f"{shown(path)} cannot be read: {why}", "check the path") from None
    if len(data) > MAX_IMAGE_BYTES:
        raise InvalidInput(
            f"{shown(path)} has {size} bytes; the limit of an image is {MAX_IMAGE_BYTES}",
            "make it smaller",
        )
    return Image(data=data, name=_name(path))


def _name(path: Path) -> str:
    """Return the last part of a path as text in one line."""
    return _UNFIT.sub("\ufffd", shown(path.name))[:255]

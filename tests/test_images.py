"""What passes for an image, and files that are read as one; nothing is started."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from midflight import commands as c
from midflight.errors import InvalidInput
from midflight.images import MAX_IMAGE_BYTES, MAX_IMAGES, MAX_IMAGES_BYTES, Image, ImageInfo
from midflight.session.image_files import read_images

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF"
WEBP = b"RIFF\x24\0\0\0WEBPVP8 "


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF87a....", "image/gif"),
        (b"GIF89a....", "image/gif"),
        (WEBP, "image/webp"),
    ],
)
def test_image_is_what_its_bytes_say_and_not_its_name(
    data: bytes, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "picture.txt"
    path.write_bytes(data)
    (image,) = read_images([path])
    assert image.info == ImageInfo(name="picture.txt", media_type=kind, bytes=len(data))
    assert read_images([str(path), data, image]) == (image, Image(data=data), image)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x89PNG",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"RIFF\x24\0\0\0WAVEfmt ",
        b"BM....",
        b"%PDF-1.7",
        b"root:x:0:0:root:/root:/bin/bash\n",
    ],
)
def test_what_is_no_image_is_refused_whatever_it_is_called(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    with pytest.raises(InvalidInput, match=r"picture\.png is no image that a model takes"):
        read_images([path])
    with pytest.raises(InvalidInput, match="the image is no image"):
        Image(data=data)


def test_link_to_an_image_is_followed(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(PNG)
    (tmp_path / "link.png").symlink_to("real")
    assert read_images([tmp_path / "link.png"])[0].name == "link.png"


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("pipe.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for path, expected in (
        (tmp_path / "pipe.png", "pipe.png is not a file"),
        (tmp_path / "link.png", "link.png is not a file"),
        (tmp_path, "is not a file"),
        ("/dev/zero", "/dev/zero is not a file"),
        (tmp_path / "loop.png", "loop.png cannot be read: "),
        (tmp_path / "none.png", "none.png cannot be read: No such file or directory"),
        ("a\0b", "cannot be read: "),
    ):
        with pytest.raises(InvalidInput, match=expected):
            read_images([path])


def test_images_that_are_too_large_or_too_many_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    path.write_bytes(PNG)
    os.truncate(path, 2**40)  # of which no more is read than may be
    with pytest.raises(InvalidInput, match=f"{2**40} bytes; the limit of an image is 3932160"):
        read_images([path])
    with pytest.raises(InvalidInput, match="the limit is 3932160"):
        Image(data=PNG.ljust(MAX_IMAGE_BYTES + 1))
    largest = Image(data=PNG.ljust(MAX_IMAGE_BYTES))
    with pytest.raises(InvalidInput, match=f"together; the limit is {MAX_IMAGES_BYTES}"):
        c.Send(text="look", images=(largest,) * 3)
    with pytest.raises(InvalidInput, match=f"at most {MAX_IMAGES} images, not 21"):
        c.Redirect(text="look", images=(Image(data=PNG),) * 21)
    assert len(c.encode(c.Send(text="look", images=(largest,) * 2))) < c.MAX_COMMAND_BYTES


@pytest.mark.parametrize("given", ["a.png", b"\x89PNG", Path("a.png"), Image(data=PNG)])
def test_one_image_instead_of_a_list_is_an_error(given: Any) -> None:
    with pytest.raises(InvalidInput, match="images is a list"):
        read_images(given)


@pytest.mark.parametrize("given", [None, 7, {"data": "x"}])
def test_what_can_be_no_image_is_an_error(given: Any) -> None:
    with pytest.raises(InvalidInput, match="an image is a path or bytes"):
        read_images([given])
    with pytest.raises(InvalidInput, match="has images as"):
        c.Send(text="look", images=(given,))


def test_name_of_a_file_becomes_one_line_of_text(tmp_path: Path) -> None:
    place = os.fsencode(tmp_path) + "/a\n\x1b[1m\x9b\u202e\\b".encode() + b"\xff.png"
    Path(os.fsdecode(place)).write_bytes(PNG)
    (image,) = read_images([os.fsdecode(place)])
    assert image.name == "a\ufffd\ufffd[1m\ufffd\ufffd\ufffdb\ufffd.png"
    assert c.decode(c.encode(c.Send(text="look", images=(image,)))) == c.Send(
        text="look", images=(image,)
    )


def test_images_travel_as_base64_and_are_looked_at_where_they_arrive() -> None:
    line = c.encode(c.Send(text="look", images=(Image(data=PNG, name="a.png"),)))
    data = base64.b64encode(PNG).decode()
    assert msgspec.json.decode(line) == {
        "type": "send",
        "text": "look",
        "images": [{"data": data, "name": "a.png"}],
    }
    for image, expected in (
        ({"data": base64.b64encode(b"#!/bin/sh").decode()}, "is no image that a model takes"),
        ({"data": "*"}, "Invalid base64"),
        ({"name": "a.png"}, "missing required field `data`"),
        ({"data": data, "path": "/etc/passwd"}, "unknown field `path`"),
        ({"data": data, "name": "a\nb"}, "matching regex"),
        ("/etc/passwd", "Expected `object`"),
    ):
        sent = msgspec.json.encode({"type": "send", "text": "look", "images": [image]})
        with pytest.raises(InvalidInput, match=expected):
            c.decode(sent)


@pytest.mark.parametrize(
    "name",
    [
        *("a.png\n", "\n", "a\0b", "\x7f", "a\x9b2J", "a\u202egnp.exe", "a\u2028b", "a\u2066b"),
        *("a/../../x", "/etc/passwd", "..\\x"),
    ],
)
def test_name_that_is_a_path_or_would_show_as_another_is_refused(name: str) -> None:
    data = base64.b64encode(PNG).decode()
    for sent in ("a b.png", "写真 é.png", "..", ""):
        (image,) = _decoded({"data": data, "name": sent})
        assert image.name == sent
    with pytest.raises(InvalidInput, match="matching regex"):
        _decoded({"data": data, "name": name})
    with pytest.raises(InvalidInput, match="is no name of an image"):
        Image(data=PNG, name=name)


@pytest.mark.parametrize("name", [5, None, "x" * 256])
def test_what_can_be_no_name_is_an_error(name: Any) -> None:
    with pytest.raises(InvalidInput, match="is no name of an image"):
        Image(data=PNG, name=name)


def _decoded(image: dict[str, str]) -> tuple[Image, ...]:
    sent = {"type": "send", "text": "look", "images": [image]}
    command = c.decode(msgspec.json.encode(sent))
    assert isinstance(command, c.Send)
    return command.images


@pytest.mark.parametrize("id_", ["a\n", "\n", "a\nb", ""])
def test_id_of_a_command_is_one_line(id_: str) -> None:
    with pytest.raises(InvalidInput):
        c.decode(msgspec.json.encode({"type": "close", "id": id_}))


def test_image_shows_no_bytes_of_itself() -> None:
    shown = repr(c.Send(text="look", images=(Image(data=PNG, name="a.png"),)))
    assert f"<Image 'a.png' image/png {len(PNG)} bytes>" in shown

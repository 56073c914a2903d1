"""A file that anybody may have put there is opened without waiting, or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midflight._util.files import NotRegular, open_regular


def test_regular_file_is_read_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"text")
    (tmp_path / "b").symlink_to("a")
    with open_regular(tmp_path / "b") as file:
        assert file.read(3) == b"tex"
    with pytest.raises(OSError, match="symbolic links"):
        open_regular(tmp_path / "b", follow=False)


@pytest.mark.parametrize("kind", ["pipe", "folder", "device"])
def test_anything_but_a_file_is_refused_and_left_closed(tmp_path: Path, kind: str) -> None:
    place = Path("/dev/null") if kind == "device" else tmp_path / kind
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "folder":
        place.mkdir()
    before = len(list(Path("/dev/fd").iterdir()))
    with pytest.raises(NotRegular):
        open_regular(place)
    assert len(list(Path("/dev/fd").iterdir())) == before

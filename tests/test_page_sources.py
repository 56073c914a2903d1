"""The sources of the page: small, without HTML by hand, and with the recorded files of others."""

from __future__ import annotations

import gzip
import posixpath
import re
import runpy
from pathlib import Path

from midflight.server.page import files

ROOT = Path(__file__).parents[1]
FIRST_PAINT_BYTES = 150_000


def test_page_before_its_first_paint_is_small() -> None:
    late = ("/vendor/highlight/", "/vendor/lowlight/", "/worker.js")
    first = [file for path, file in files().items() if not path.startswith(late)]
    assert sum(len(file.packed) for file in first) < FIRST_PAINT_BYTES
    assert all(gzip.decompress(file.packed) == file.plain for file in first)


def test_vendored_files_are_those_that_the_record_names() -> None:
    assert runpy.run_path(str(ROOT / "scripts/vendor_web.py"))["wrong"]() == []


def test_no_module_of_ours_writes_html() -> None:
    for path, file in files().items():
        if path.startswith("/js/"):
            text = file.plain.decode()
            found = [
                word for word in ("innerHTML", "unsafeHTML", "eval(", "style=") if word in text
            ]
            assert not found, path


def test_every_import_of_the_page_is_a_file_of_it() -> None:
    served = files()
    for path, file in served.items():
        if path.endswith(".js"):
            for name in re.findall(
                r"""^import [^'"]*['"]([^'"]+)['"]""", file.plain.decode(), re.MULTILINE
            ):
                assert posixpath.normpath(posixpath.join(posixpath.dirname(path), name)) in served

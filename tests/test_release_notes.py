"""A tag becomes a release only if the version and the changelog know it."""

from __future__ import annotations

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "release_notes.py"
notes = runpy.run_path(str(SCRIPT))["notes"]

CHANGELOG = """# Changelog

## [Unreleased]

- Not yet.

## [0.2.0] - 2026-02-01

### Added

- Something.

## [0.1.0] - 2026-01-01

- The first.

[0.1.0]: https://example.org/0.1.0
"""


def place(folder: Path, version: str, changelog: str = CHANGELOG) -> Path:
    (folder / "pyproject.toml").write_text(f'[project]\nversion = "{version}"\n')
    (folder / "CHANGELOG.md").write_text(changelog)
    return folder


@pytest.mark.parametrize(
    ("version", "text"),
    [("0.2.0", "### Added\n\n- Something.\n"), ("0.1.0", "- The first.\n")],
)
def test_notes_are_the_section_of_the_version(tmp_path: Path, version: str, text: str) -> None:
    assert notes(place(tmp_path, version), f"v{version}") == text


@pytest.mark.parametrize("tag", ["v0.1.0", "0.2.0", "v0.2.0rc1", ""])
def test_tag_of_another_version_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ValueError, match=r"the version 0\.2\.0"):
        notes(place(tmp_path, "0.2.0"), tag)


@pytest.mark.parametrize(
    "changelog",
    [
        CHANGELOG.replace("0.2.0", "0.2.1"),
        CHANGELOG.replace("0.2.0", "0x2.0"),
        CHANGELOG.replace(" - 2026-02-01", ""),
        "## [0.2.0] - 2026-02-01\n\n## [0.1.0] - 2026-01-01\n\n- The first.\n",
    ],
    ids=["none", "other", "undated", "empty"],
)
def test_version_that_the_changelog_does_not_have_is_refused(
    tmp_path: Path, changelog: str
) -> None:
    with pytest.raises(ValueError, match=r"nothing under `## \[0\.2\.0\]"):
        notes(place(tmp_path, "0.2.0", changelog), "v0.2.0")


def test_program_says_in_one_line_what_is_wrong() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "v0"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("error: the tag is v0, but pyproject.toml has the version ")

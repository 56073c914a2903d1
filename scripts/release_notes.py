"""Print what CHANGELOG.md says of a release; fail if it and pyproject.toml do not know its tag.

python scripts/release_notes.py v0.1.0
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent


def notes(root: Path, tag: str) -> str:
    """Return the section for a tag, without its title."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    version = project["version"]
    if tag != f"v{version}":
        raise ValueError(f"the tag is {tag}, but pyproject.toml has the version {version}")
    changelog = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    title = rf"^## \[{re.escape(version)}\] - \d{{4}}-\d\d-\d\d\n"
    section = re.search(
        title + r"(.*?)(?=^## |^\[[^\]]+\]: |\Z)", changelog, re.MULTILINE | re.DOTALL
    )
    if section is None or not section[1].strip():
        raise ValueError(f"CHANGELOG.md says nothing under `## [{version}] - YYYY-MM-DD`")
    return section[1].strip() + "\n"


if __name__ == "__main__":
    try:
        sys.stdout.write(notes(ROOT, sys.argv[1]))
    except ValueError as error:
        sys.exit(f"error: {error}")

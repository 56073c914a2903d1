"""Bring what the page uses of others from npm, as modules that a browser loads as they are.

Each file is taken from a pinned version; bare imports become relative ones, and nothing else is
changed. ``vendor/versions.json`` says what each file is: package, version, licence and hash. Run it
again after a change of `PACKAGES`; ``--check`` only compares the hashes with the files.
"""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import NamedTuple

VENDOR = Path(__file__).parents[1] / "src/midflight/server/page/vendor"
RECORD = VENDOR / "versions.json"

LANGUAGES = (
    *("bash", "c", "cpp", "css", "diff", "go", "ini", "java", "javascript", "json", "markdown"),
    *("python", "ruby", "rust", "sql", "typescript", "xml", "yaml"),
)


class Package(NamedTuple):
    """A package on npm: its version, and which of its files become which of ours."""

    name: str
    version: str
    licence: str
    files: dict[str, str]


PACKAGES = (
    Package(
        "lit-html",
        "3.3.3",
        "LICENSE",
        {
            file: f"lit-html/{file}"
            for file in (
                "lit-html.js",
                "directive.js",
                "directive-helpers.js",
                "async-directive.js",
                "directives/guard.js",
                "directives/live.js",
                "directives/ref.js",
                "directives/repeat.js",
            )
        },
    ),
    Package("marked", "18.2.1", "LICENSE", {"lib/marked.esm.js": "marked/marked.js"}),
    Package("lowlight", "3.3.0", "license", {"lib/index.js": "lowlight/lowlight.js"}),
    Package("devlop", "1.1.0", "license", {"lib/default.js": "lowlight/devlop.js"}),
    Package(
        "@highlightjs/cdn-assets",
        "11.12.0",
        "LICENSE",
        {
            "es/core.min.js": "highlight/core.js",
            **{f"es/languages/{name}.min.js": f"highlight/{name}.js" for name in LANGUAGES},
        },
    ),
)

BARE = {"devlop": "lowlight/devlop.js", "highlight.js/lib/core": "highlight/core.js"}
"""Which file a bare import means."""

_IMPORT = re.compile(rf"""(\bfrom\s*)(["'])({"|".join(map(re.escape, BARE))})\2""")
_MAP = re.compile(r"^//# sourceMappingURL=.*\n?", re.MULTILINE)
_COMMENT = re.compile(r"/\*\*.*?\*/\n?", re.DOTALL)


def fetched(package: Package, into: Path) -> dict[str, bytes]:
    """Return the files of a package's archive by their names."""
    command = ["npm", "pack", "--silent", f"{package.name}@{package.version}"]
    archive = subprocess.run(command, cwd=into, check=True, capture_output=True, text=True)
    with tarfile.open(into / archive.stdout.strip()) as tar:
        members = [member for member in tar if member.isfile()]
        return {
            member.name.partition("/")[2]: stream.read()
            for member in members
            if (stream := tar.extractfile(member)) is not None
        }


def rewritten(text: str, name: str) -> str:
    """Return a module whose bare imports are relative to its own place."""

    def relative(match: re.Match[str]) -> str:
        before, quote, bare = match.groups()
        path = posixpath.relpath(BARE[bare], posixpath.dirname(name))
        path = path if path.startswith(".") else f"./{path}"
        return f"{before}{quote}{path}{quote}"

    if "@import" in text:  # comments with types and examples, which look like imports
        text = _COMMENT.sub("", text)
    return _IMPORT.sub(relative, _MAP.sub("", text))


def digest(path: Path) -> str:
    """Return the hash that stands in the record."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wrong() -> list[str]:
    """Return the files that are not as the record says, and those that it does not know."""
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    there = {str(path.relative_to(VENDOR)): path for path in VENDOR.rglob("*.js")}
    known = {name: each["sha256"] for name, each in record.items()}
    return sorted(
        name
        for name in there.keys() | known.keys()
        if name not in there or digest(there[name]) != known.get(name)
    )


def main() -> int:
    """Bring the files, or check them."""
    if sys.argv[1:] == ["--check"]:
        print("\n".join(wrong()) or "all are as recorded")
        return bool(wrong())
    record: dict[str, dict[str, str]] = {}
    for package in PACKAGES:
        with tempfile.TemporaryDirectory() as folder:
            files = fetched(package, Path(folder))
        licence = json.loads(files["package.json"])["license"]
        for theirs, ours in package.files.items():
            path = VENDOR / ours
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(rewritten(files[theirs].decode(), ours), encoding="utf-8")
            record[ours] = {
                "package": package.name,
                "version": package.version,
                "licence": licence,
                "sha256": digest(path),
            }
        text = VENDOR / posixpath.dirname(next(iter(package.files.values()))) / "LICENSE"
        text = text if package.name != "devlop" else text.with_name("LICENSE-devlop")
        text.write_bytes(files[package.licence])
    RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

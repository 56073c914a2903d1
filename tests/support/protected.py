"""A session that tries to write every kind of protected file, with all that allows edits."""

from __future__ import annotations

from pathlib import Path

import midflight
from midflight import events as e
from midflight.testing import Text, ToolCall
from midflight.testing.model.script import Step

FOLDER = (
    *(".git/hooks/pre-commit", ".git/config", ".claude/settings.json", ".mcp.json"),
    *("opencode.json", ".opencode/plugin/a.js", "midflight.toml", ".gemini/settings.json"),
    "way/hooks/post-commit",
)
HOME = (".claude/settings.json", ".config/opencode/opencode.json")
ALLOWED = "allowed.txt"


def folder(cwd: Path) -> None:
    """Make a repository with a link into git's folder."""
    (cwd / ".git" / "hooks").mkdir(parents=True)
    (cwd / "way").symlink_to(".git")


def places(cwd: Path, home: Path, state: Path) -> list[Path]:
    """Return what is tried: in the folder, in the user's home, in midflight's state."""
    return [*(cwd / name for name in FOLDER), *(home / name for name in HOME), state / "trust.json"]


def attempts(tool: str, key: str, cwd: Path, protected: list[Path]) -> list[Step]:
    """Return a script that writes each of these, and one file that may be written."""
    paths = [*protected, cwd / ALLOWED]
    return [*(ToolCall(tool, {key: str(path), "content": "evil"}) for path in paths), Text("done")]


def check(events: list[e.Event], protected: list[Path], cwd: Path) -> None:
    """See that each was asked for as what it is, and none was written but the one that may be."""
    asked = [
        event
        for event in events
        if isinstance(event, midflight.PermissionRequested)
        and not event.reason.startswith("outside the folder")
    ]
    shown = [event.effects[0] for event in asked]
    assert [each.path for each in shown if isinstance(each, midflight.EditEffect)] == [
        str(path) for path in protected
    ]
    assert all(isinstance(each, midflight.EditEffect) and each.protected for each in shown)
    assert {event.rule for event in asked} == {""}
    evil = [path for path in protected if path.is_file() and path.read_text() == "evil"]
    assert evil == []
    assert (cwd / ALLOWED).read_text() == "evil"

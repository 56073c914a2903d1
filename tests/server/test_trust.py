"""What a folder would have an agent run, as who is at another machine is told; none is started."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from tests.server.conftest import Server

SETTINGS = json.dumps(
    {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "touch stopped"}]}]}}
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder in which Claude Code would run something."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "own"))
    above, place = tmp_path / "above", tmp_path / "above" / "within"
    for each in (above, place):
        (each / ".git").mkdir(parents=True)
        (each / ".claude").mkdir()
        (each / ".claude" / "settings.json").write_text(SETTINGS)
    return place


async def asked(server: Server, folder: Path, agree: str = "") -> tuple[int, Any]:
    body = {"cwd": str(folder), "agent": "claude", "agree": agree}
    return await server.call("/trust", "POST", body)


@pytest.mark.parametrize("agree", ["é", "0", "\0"])
async def test_what_is_no_digest_agrees_to_nothing(
    server: Server, folder: Path, agree: str
) -> None:
    status, problem = await asked(server, folder, agree)
    assert (status, problem["code"]) == (409, "conflict")
    assert not (await asked(server, folder))[1]["trusted"]


async def test_file_of_another_repository_has_its_whole_path(server: Server, folder: Path) -> None:
    status, told = await asked(server, folder)
    assert status == 200
    there = folder.parent / ".claude" / "settings.json"
    assert {each["path"] for each in told["files"]} == {".claude/settings.json", str(there)}
    assert (await asked(server, folder, told["digest"]))[1]["trusted"]


async def test_file_that_the_agent_cannot_read_is_told(server: Server, folder: Path) -> None:
    (folder / ".mcp.json").write_text("{")
    _, told = await asked(server, folder)
    (problem,) = told["problems"]
    assert str(folder / ".mcp.json") in problem
    assert "left out" in problem


@pytest.fixture
def odd(folder: Path) -> Path:
    """Return the folder with a file whose name is no text."""
    skill = folder / ".claude" / "skills" / os.fsdecode(b"\xff")
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: x\nallowed-tools: Bash(rm *)\n---\n!`id`\n")
    return folder


async def test_name_of_a_file_that_is_no_text_is_shown_not_trusted(
    server: Server, odd: Path
) -> None:
    status, told = await asked(server, odd)
    assert status == 200
    assert ".claude/skills/\ufffd/SKILL.md" in {each["path"] for each in told["files"]}
    assert "\ufffd/SKILL.md is not written in UTF-8" in told["beyond"]
    status, problem = await asked(server, odd, told["digest"])
    assert (status, problem["code"]) == (403, "not_allowed")

"""Where programs come from: absolute entries of PATH, and never the folder that is worked in."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.faults.manifest import fault

from midflight._util.programs import find_program, search_path
from midflight.agents.acp.program import AcpProgram
from midflight.agents.claude import program as claude
from midflight.agents.opencode import program as opencode
from midflight.agents.opencode.program import Launch
from midflight.errors import AgentUnavailable
from midflight.git.command import Git
from midflight.options import Options

RELATIVE = os.pathsep.join(["", ".", "bin", "node_modules/.bin", "../node_modules/.bin"])
"""A PATH that leads into the folder that is worked in."""

NAMES = ("claude", "gemini", "git", "opencode", "sh")


def plant(folder: Path, name: str) -> Path:
    """Put a program where it must not be found; it leaves a trace when it is run."""
    program = folder / name
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(f"#!/bin/sh\ntouch {folder.absolute()}/run\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a program of every name in it, and above it, that PATH leads to."""
    folder = tmp_path / "work"
    for place in (folder, folder / "bin", *(at / "node_modules/.bin" for at in (folder, tmp_path))):
        for name in NAMES:
            plant(place, name)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", RELATIVE)
    return folder


@fault("S18")
@pytest.mark.parametrize("name", [*NAMES, "./git", "bin/git", "../node_modules/.bin/opencode"])
def test_a_program_of_the_work_folder_is_not_found(work: Path, name: str) -> None:
    assert find_program(name) is None
    assert find_program(name, RELATIVE) is None


@fault("S18")
def test_a_program_is_found_on_absolute_entries_of_path(work: Path, tmp_path: Path) -> None:
    mine = plant(tmp_path / "mine", "opencode")
    path = os.pathsep.join([RELATIVE, str(mine.parent), "more"])
    assert search_path(path) == str(mine.parent)
    assert find_program("opencode", path) == mine
    assert find_program(str(mine)) == mine


@fault("S18")
def test_opencode_is_not_taken_from_the_work_folder(work: Path) -> None:
    with pytest.raises(AgentUnavailable, match="not installed"):
        Launch.of(Options.build(agent="opencode", cwd=work))
    planted = work / "node_modules/.bin/opencode"
    assert opencode.find(planted) == planted  # which is the user's own word


@fault("S18")
def test_claude_is_not_taken_from_the_work_folder(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(AgentUnavailable, match="not installed"):
        claude.find(None)


@fault("S18")
@pytest.mark.parametrize("command", ["opencode acp", "./opencode acp", "bin/opencode"])
def test_an_acp_agent_is_not_taken_from_the_work_folder(work: Path, command: str) -> None:
    options = Options.build(agent=f"acp:{command}", cwd=work)
    program = AcpProgram.of(options)
    with pytest.raises(AgentUnavailable, match=r"not installed|whole path"):
        program.found(program.environment(options))


@fault("S18")
async def test_git_is_not_taken_from_the_work_folder(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{RELATIVE}{os.pathsep}{os.defpath}")
    await Git(work, None).run("version")
    assert not (work / "run").exists()


@fault("S18")
def test_agents_find_no_program_in_the_work_folder(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent's program may be a script whose first line asks for another program."""
    monkeypatch.setenv("PATH", f"{RELATIVE}{os.pathsep}/usr/bin")
    options = Options.build(cwd=work)
    acp = Options.build(agent="acp:gemini", cwd=work)
    launch = Launch.of(Options.build(agent="opencode", cwd=work, agent_path=work / "opencode"))
    for env in (claude.environment(options), AcpProgram.of(acp).environment(acp), launch.env):
        assert env["PATH"] == "/usr/bin"

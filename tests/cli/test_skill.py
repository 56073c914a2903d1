from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import midflight
from midflight import events as e
from midflight.cli.command_table import COMMANDS
from midflight.cli.main import main
from midflight.mcp.tools import definitions
from midflight.testing import ScriptedModel, Text

ROOT = Path(__file__).parents[2]
SKILL = ROOT / "skills" / "midflight" / "SKILL.md"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder; there is a home beside it."""
    for name in ("XDG_CONFIG_HOME", "CLAUDE_CONFIG_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def install(*arguments: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["skill", "install", *arguments])
    assert ended.value.code == 0


@pytest.mark.parametrize(
    ("client", "project", "home"),
    [
        ("claude", ".claude/skills", ".claude/skills"),
        ("opencode", ".opencode/skills", ".config/opencode/skills"),
        ("codex", ".agents/skills", ".agents/skills"),
    ],
)
def test_each_program_finds_the_skill_where_it_looks(
    folder: Path, client: str, project: str, home: str
) -> None:
    install(client)
    install(client, "--user")
    for place in (folder / project, folder.parent / "home" / home):
        assert (place / "midflight" / "SKILL.md").read_text() == SKILL.read_text()


def test_a_skill_that_was_changed_is_kept_beside_the_new_one(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / ".claude" / "skills" / "midflight" / "SKILL.md"
    path.parent.mkdir(parents=True)
    path.write_text("what I made of it\n")
    install("claude")
    (kept,) = path.parent.glob("*.bak")
    assert kept.read_text() == "what I made of it\n"
    assert "-what I made of it" in capsys.readouterr().out


def test_it_can_be_shown_without_being_written(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("claude", "--print")
    assert SKILL.read_text() in capsys.readouterr().out
    assert not list(folder.iterdir())


def test_the_skill_names_every_tool_and_only_commands_that_there_are() -> None:
    table = re.findall(r"^\| .*? \| `(\w+)`.*? \| (.*?) \|$", SKILL.read_text(), re.MULTILINE)
    offered = {tool.name for tool in definitions(may_answer=True)}
    assert {tool for tool, _ in table} <= offered
    named = {command for _, cell in table for command in re.findall(r"`midflight (\w+)", cell)}
    assert named <= set(COMMANDS)
    assert {"dispatch", "send", "redirect", "interrupt", "wait", "answer", "stop"} <= {
        tool for tool, _ in table
    }


def test_its_head_is_what_every_reader_of_skills_accepts() -> None:
    head = SKILL.read_text().split("---\n")[1]
    assert re.search(r"^name: midflight$", head, re.MULTILINE)
    description = " ".join(head.partition("description: >-\n")[2].partition("\nlicense")[0].split())
    assert 1 <= len(description) <= 1024


async def test_claude_code_finds_skill_and_tools_in_this_repository_as_a_plugin(
    scripted_model: Callable[..., Awaitable[ScriptedModel]], tmp_path: Path, no_agent_left: None
) -> None:
    model = await scripted_model([Text("done")])
    env = model.env(tmp_path)
    async with midflight.dispatch("go", cwd=tmp_path, env=env, plugins=[ROOT]) as session:
        events = [event async for event in session.stream()]
    (started,) = [event for event in events if isinstance(event, e.SessionStarted)]
    assert "midflight:midflight" in started.skills
    assert not started.problems

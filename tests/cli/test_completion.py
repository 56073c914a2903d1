"""What a shell is offered at a Tab, and that it has not to wait for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.support.journal import begin
from tests.support.program import Done

from midflight.agents import NAMES
from midflight.cli.command_table import COMMANDS
from midflight.cli.commands.completion import candidates
from midflight.journal import Journal
from midflight.journal.choice import choose
from midflight.journal.names import newest_names

pytestmark = pytest.mark.anyio


SLOW = ("sqlalchemy", "asyncio", "prompt_toolkit", "rich", "midflight.authorization")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sk", "skill"),
        ("--ver", "--version"),
        ("help demo", "demo"),
        ("run --agent claude-", "claude-acp"),
        ("run x --agent=opencode-", "--agent=opencode-acp"),
        ("run --agent = opencode-", "opencode-acp"),
        ("run --permission-mode p", "plan"),
        ("orchestrate --on-usage-limit w", "wait"),
        ("orchestrate --may-answer q", "questions"),
        ("run --perm", "--permission-mode"),
        ("demo --agent o", "opencode"),
        ("mcp i", "install"),
        ("mcp install cl", "claude"),
        ("mcp --user install cl", "claude"),
        ("skill install co", "codex"),
        ("worktree di", "diff discard"),
        ("completion z", "zsh"),
        ("answer fix al", "allow always"),
        ("send fix al", ""),
        ("run ", ""),
        ("run x --cwd ", ""),
        ("run x --model ", ""),
        ("completion zsh z", ""),
        ("no-command ", ""),
    ],
)
def test_word_can_become_what_fits_there(line: str, words: str) -> None:
    assert candidates(line.split(" ")) == words.split()


@pytest.mark.parametrize(
    ("words", "out"), [(["--ver"], "--version\n"), (["run", "--pl"], "--plugin\n"), (["-h"], "")]
)
async def test_words_that_are_completed_are_options_of_nothing_yet(
    say: Callable[..., Awaitable[Done]], words: list[str], out: str
) -> None:
    assert await say("__complete", *words) == Done(0, out, "")


def test_every_agent_is_offered_but_the_one_for_tests() -> None:
    assert candidates(["run", "--agent", ""]) == [name for name in NAMES if name != "fake"]


def test_no_option_of_a_command_breaks_completion() -> None:
    for name in COMMANDS:
        for option in candidates([name, "-"]):
            candidates([name, option, ""])


NAMING = [
    *("show", "logs", "attach", "resume", "stop", "rm", "rm other", "limits"),
    *("send", "queue", "redirect", "interrupt", "answer", "worktree merge", "show --json"),
]


@pytest.mark.usefixtures("state")
async def test_session_is_offered_wherever_one_is_named() -> None:
    async with Journal() as journal:
        await journal.host.register("")
        for name in ("fix-this", "fix-that"):
            await (await begin(journal, name)).close()
        await journal.host.leave()
    assert sorted(newest_names(choose())) == ["fix-that", "fix-this"]
    for line in NAMING:
        assert candidates([*line.split(), "fix-thi"]) == ["fix-this"], line


@pytest.mark.usefixtures("state")
def test_no_journal_is_made_for_a_name(tmp_path: Path) -> None:
    assert newest_names(choose()) == []
    assert not (tmp_path / "state").exists()


@pytest.mark.usefixtures("state")
def test_file_that_is_no_journal_has_no_names(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "midflight"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "journal.sqlite").write_text("no journal")
    assert newest_names(choose()) == []


@pytest.mark.usefixtures("state")
async def test_name_loads_nothing_slow() -> None:
    async with Journal() as journal:
        await journal.host.register("")
        await (await begin(journal, "fix-this")).close()
        await journal.host.leave()
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-X", "importtime", "-m", "midflight.cli.main", "__complete", "show", ""],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.stdout == "fix-this\n"
    assert loaded.isdisjoint(SLOW)

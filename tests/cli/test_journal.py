"""Every command uses the journal that it is told, and says what is wrong with it."""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.support.journal import begin
from tests.support.program import Done

from midflight.cli.command_table import COMMANDS, NO_JOURNAL, add_options
from midflight.cli.commands.completion import candidates
from midflight.errors import NotAllowed
from midflight.family import check_unkept
from midflight.journal import Journal
from midflight.lineage import SESSION_VARIABLE
from midflight.options import Options

pytestmark = pytest.mark.anyio

Say = Callable[..., Awaitable[Done]]


@pytest.fixture(autouse=True)
def own(state: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name no journal; what a command names holds for the rest of its test."""
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", "")


@pytest.fixture
async def team(tmp_path: Path) -> str:
    """Return a journal in another folder, with one session."""
    folder = tmp_path / "team"
    async with Journal(folder) as journal:
        await journal.host.register("")
        await (await begin(journal, "of-the-team")).close()
        await journal.host.leave()
    return str(folder)


def test_every_command_that_uses_a_journal_takes_one() -> None:
    for name in COMMANDS:
        parser = argparse.ArgumentParser()
        add_options(name, parser)
        assert ("--journal" in parser.format_help()) == (name not in NO_JOURNAL), name


READ = [("ls",), ("show", "of-the-team"), ("logs", "of-the-team"), ("limits", "of-the-team")]


@pytest.mark.parametrize("words", READ, ids=lambda words: words[0])
async def test_journal_is_the_one_typed_or_that_of_the_variable(
    say: Say, team: str, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = await say(*words)
    assert "of-the-team" not in elsewhere.out
    typed = await say(*words, "--journal", team)
    assert (typed.code, typed.err) == (0, "")
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", team)
    by_variable = await say(*words)
    assert (by_variable.code, ageless(by_variable.out)) == (0, ageless(typed.out))
    assert typed != elsewhere


def ageless(shown: str) -> list[str]:
    """Return the words of an output without ages, of which a second may have passed."""
    return re.sub(r"\b\d+ ?s\b", "", shown).split()


@pytest.mark.usefixtures("state")
async def test_names_for_a_shell_are_of_the_journal_in_use(
    team: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", team)
    assert await asyncio.to_thread(candidates, ["show", ""]) == ["of-the-team"]


WRONG = [
    ("postgresql://ada:hunter22@db/team", "--journal: a password must not", "PGPASSFILE"),
    ("postgresql://ada@db:hunter22/team", "--journal: it cannot be read", "USER@HOST"),
    ("postgresql://ada@127.0.0.1:1/team", "cannot be reached: ", "look whether it is up"),
]


@fault("S4")
@pytest.mark.parametrize(("journal", "said", "hint"), WRONG, ids=["open", "malformed", "away"])
@pytest.mark.parametrize(
    "words", [("ls",), ("send", "s", "text"), ("serve", "--port", "0"), ("run", "-d", "task")]
)
async def test_journal_that_cannot_be_used_is_a_sentence_and_a_hint(
    say: Say, words: tuple[str, ...], journal: str, said: str, hint: str
) -> None:
    done = await say(*words, "--journal", journal)
    first, second = done.err.splitlines()
    assert done.code in {1, 2}
    assert said in first
    assert (second[:6], hint in second) == ("hint: ", True)
    assert "hunter22" not in done.out + done.err


@fault("S17")
@pytest.mark.parametrize("typed", [True, False])
async def test_agent_does_nothing_in_a_journal_that_its_session_is_not_in(
    say: Say, team: str, monkeypatch: pytest.MonkeyPatch, typed: bool
) -> None:
    """The variable is kept from agents, so what they call may find another journal than theirs."""
    monkeypatch.setenv(SESSION_VARIABLE, "a-session-of-another-journal")
    where = ["--journal", team] if typed else []
    if not typed:
        monkeypatch.setenv("MIDFLIGHT_JOURNAL", team)
    for words in (
        *(
            ("answer", "of-the-team", "allow"),
            ("send", "of-the-team", "x"),
            ("logs", "of-the-team"),
        ),
        *(("show", "of-the-team"), ("stop", "of-the-team"), ("rm", "of-the-team"), ("ls",)),
        *(("redirect", "of-the-team", "x"), ("limits", "of-the-team"), ("run", "-d", "x")),
    ):
        done = await say(*words, *where)
        assert (done.code, done.out) == (1, ""), words
        assert "is not in this journal" in done.err, words
    with pytest.raises(NotAllowed, match="is not in this journal"):
        await check_unkept(Options.build(agent="fake"))

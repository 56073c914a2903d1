"""What the input line offers: commands, what they take, files, and what was typed before."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prompt_toolkit.completion import CompleteEvent, Completion
from prompt_toolkit.document import Document
from tests.faults.manifest import fault
from tests.support.journal import add, begin
from tests.support.repo import Repo, own_home, repo
from tests.support.terminal import Terminal

from midflight import events as e
from midflight.cli.terminal.completer import LineCompleter
from midflight.cli.terminal.file_names import FileNames, likest
from midflight.cli.terminal.history import LineHistory
from midflight.journal import Journal
from midflight.testing import ScriptedModel, Text, ToolCall
from midflight.values import Role, Who

__all__ = ["own_home", "repo"]

pytestmark = pytest.mark.anyio

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]

UP, CTRL_R, ESC = "\x1b[A", "\x12", "\x1b"


# Files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "first"),
    [
        ("read", "README.md"),
        ("cons", "src/terminal/console.py"),
        ("TERM", "src/terminal/console.py"),
        ("stc", "src/terminal/console.py"),
        ("src/b", "src/b_console.txt"),
        ("clipy", "cli/py.md"),
        ("a.b[c", "odd/a.b[c"),
    ],
)
def test_likest_name_comes_first(word: str, first: str) -> None:
    names = ["src/b_console.txt", "src/terminal/console.py", "README.md", "cli/py.md", "odd/a.b[c"]
    assert likest(word, names)[0] == first


def test_name_without_the_characters_is_not_like_a_word() -> None:
    assert likest("xyz", ["src/console.py"]) == []


def test_names_cannot_have_a_word_looked_for_without_end() -> None:
    began = time.process_time()
    likest("a" * 40 + "b", ["a" * 300] * 20_000)
    assert time.process_time() - began < 2


@fault("S13")
async def test_files_are_those_of_git_and_can_be_shown_as_they_are(repo: Repo) -> None:
    repo.commit(".gitignore", "*.log\n")
    for name in ("b.py", "a.log", "x\x1b]0;t\x07.py", "y\u202e.py", 'q".py', "a\nb.py"):
        repo.write(name, "")
    assert (await FileNames(repo.folder).like(""))[:2] == ["b.py", ".gitignore"]
    assert await FileNames(repo.folder).like("py") == ["b.py"]


async def test_folder_without_git_is_walked_through(tmp_path: Path) -> None:
    for name in ("a/b.py", "c.py", ".hidden/d.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "a" / "link").symlink_to("/")
    assert sorted(await FileNames(tmp_path).like("py")) == ["a/b.py", "c.py"]


# What is offered ----------------------------------------------------------------------------


def values(name: str) -> dict[str, str]:
    return {"plan": "looks", "default": ""} if name == "/mode" else {}


async def offered(folder: Path, text: str) -> list[Completion]:
    completer = LineCompleter(folder, values)
    found = completer.get_completions_async(Document(text), CompleteEvent())
    return [each async for each in found]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("/mo", ["/model", "/mode"]),
        ("/mode ", ["plan", "default"]),
        ("/mode pl", ["plan"]),
        ("/queue and", []),
        ("/etc/ho", []),
        ("mail me@exa", []),
        ("see @new", ["new.py"]),
        ('see @"two', ['"two words.md"']),
        ("/queue see @new", ["new.py"]),
    ],
)
async def test_line_is_offered_what_can_stand_there(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    for name in ("new.py", "two words.md"):
        (tmp_path / name).touch()
    found = await offered(tmp_path, text)
    assert [each.text for each in found] == words
    assert LineCompleter(tmp_path, values).offers(text) is bool(words)


async def test_command_is_offered_with_what_it_does(tmp_path: Path) -> None:
    (stop,) = await offered(tmp_path, "/sto")
    assert stop.display_meta_text == "stops the turn"


async def test_word_that_no_file_is_like_has_no_place_kept_for_a_menu(tmp_path: Path) -> None:
    completer = LineCompleter(tmp_path, values)
    assert [
        each async for each in completer.get_completions_async(Document("@x"), CompleteEvent())
    ] == []
    assert not completer.offers("@xy")
    assert completer.offers("@y")


async def test_tab_takes_a_command_a_value_and_a_file(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    (project / "notes.txt").touch()
    scripted = await model(Text("done"), Text("well"))
    screen = await fake_terminal(scripted, "run", "work")
    await screen.sees("turn 1 completed")
    screen.keys("/mod")
    await screen.sees("/mode   another permission mode")
    screen.keys("\t\t\r")
    await screen.sees("bypassPermissions")
    screen.keys("\t\t\t\r")
    await screen.sees("the permission mode is now plan")
    screen.keys("read @not")
    await screen.sees("notes.txt")
    screen.keys("\t\r")
    screen.types("first")
    await screen.sees("turn 2 completed")
    assert scripted.requests[1].last_user_text == "read @notes.txt first"
    await screen.quits()


async def test_escape_closes_what_is_offered_before_it_stops(
    model: Model, fake_terminal: Start
) -> None:
    touch = ToolCall("Bash", {"command": "touch x"})
    screen = await fake_terminal(await model(touch), "run", "work")
    await screen.sees("Allow Bash?")
    screen.keys("/sto")
    await screen.sees("stops the turn")
    screen.keys(ESC)
    screen.keys("p\r")
    await screen.sees("turn 1 interrupted")
    assert "[stop]" not in screen.text
    await screen.quits(130)


# What was typed before ----------------------------------------------------------------------


async def said(journal: Journal, folder: Path, name: str, *texts: str, role: Role = "user") -> None:
    record = await begin(journal, name, cwd=folder)
    who = Who(role=role, door="terminal")
    for number, text in enumerate(texts):
        add(
            record,
            e.MessageAccepted(message=f"{name}{number}", text=text, delivery="steer", who=who),
        )
    await record.written()
    await record.close()


@pytest.mark.usefixtures("state")
async def test_messages_of_this_folder_come_before_those_of_others(project: Path) -> None:
    async with Journal() as journal:
        await journal.host.register("")
        await said(journal, project, "here", "first", "second", "first")
        await said(journal, project.parent, "there", "/cost")
        await said(journal, project, "agent", "by an agent", role="agent")
        await said(journal, project, "program", "by a program", role="program")
        await journal.host.leave()
    history = LineHistory(project, lambda: False)
    history.append_string("typed here")
    found = [text async for text in history.load()]
    assert found[0] == "typed here"
    assert sorted(found[1:3]) == ["first", "second"]
    assert found[3:] == ["//cost"]  # which is how it is sent, and no command


@pytest.mark.usefixtures("state")
async def test_answers_are_not_typed_again_and_no_file_is_written(
    project: Path, tmp_path: Path
) -> None:
    history = LineHistory(None, lambda: True)
    history.append_string("y")
    assert [text async for text in history.load()] == []
    assert not (tmp_path / "state").exists()


async def test_earlier_messages_are_found_by_arrow_and_search(
    model: Model, fake_terminal: Start
) -> None:
    first = await fake_terminal(await model(Text("done"), Text("well")), "fix the parser")
    await first.sees("turn 1 completed")
    first.types("and the lexer")
    await first.sees("turn 2 completed")
    await first.quits()
    scripted = await model(*[Text("done")] * 3)
    screen = await fake_terminal(scripted, "look around")
    await screen.sees("turn 1 completed")
    screen.keys(UP * 2)
    await screen.sees("and the lexer")
    screen.keys("\r")
    await screen.sees("turn 2 completed")
    screen.keys(f"{CTRL_R}pars")
    await screen.sees("fix the parser")
    screen.keys("\r")
    screen.keys("\r")
    await screen.sees("turn 3 completed")
    assert [each.last_user_text for each in scripted.requests[1:]] == [
        "and the lexer",
        "fix the parser",
    ]
    await screen.quits()

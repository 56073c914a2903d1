"""What is asked at the terminal, and what counts as an answer to it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from tests.faults.manifest import fault
from tests.support.terminal import Terminal

from midflight import commands as c
from midflight import events as e
from midflight._util.sanitize import exact, exact_line
from midflight.cli.answers import is_answer
from midflight.cli.terminal import console, input_line
from midflight.cli.terminal.render import approval
from midflight.cli.terminal.requests import PendingRequests
from midflight.effects import (
    CommandEffect,
    EditEffect,
    Effect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
)
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Text, ToolCall, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

ESC, TAB, CTRL_U = "\x1b", "\t", "\x15"
WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "hello\n"})


# What is shown ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effects", "shown"),
    [
        ((CommandEffect(command="ls\nrm x", cwd="/w"),), "  ls\n    rm x\n"),
        (
            (CommandEffect(command="ls"),),
            "  ls\n  in a folder that the agent does not tell\n",
        ),
        ((CommandEffect(command="ls", cwd="/w/a\nb"),), "  ls\n  in /w/a<U+000A>b\n"),
        (
            (
                EditEffect(
                    path="/w/a", target="/etc/b", diff="@@ -1 +1 @@\n-x", lines=9, shown_lines=2
                ),
            ),
            "  a → /etc/b\n  @@ -1 +1 @@\n  -x\n  2 of 9 lines shown\n",
        ),
        (
            (EditEffect(path="/w/.mcp.json", diff="+x", lines=1, shown_lines=1, protected=True),),
            "  .mcp.json\n  this file decides what may run next time\n  +x\n",
        ),
        ((EditEffect(path="/w/a"),), "  a\n  no line of it changes\n"),
        ((ReadEffect(path="/w/a\nAllow Bash? y"),), "  reads a<U+000A>Allow Bash? y\n"),
        ((FetchEffect(url="https://a/\u2800b"),), "  fetches https://a/<U+2800>b\n"),
        (
            (OtherEffect(input={"a\nAllow": "x\ny", "n": {"b\nc": 1}}),),
            '  "a<U+000A>Allow": \n    x\n    y\n  n: \n    {\n      "b\\nc": 1\n    }\n',
        ),
        ((OtherEffect(input={}),), "  the agent does not say what it will do\n"),
        ((), "  the agent does not say what it will do\n"),
    ],
)
@fault("S13")
def test_approval_shows_what_a_call_will_do(effects: tuple[Effect, ...], shown: str) -> None:
    assert "".join(text for _, text in approval(effects, Path("/w"))) == shown


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        *((text, True) for text in ("y", "yy", "y\ny\n", "Yes, yes!", "a\r\nallow", "n\nwhy")),
        *((text, False) for text in ("", "yes do", "no tests", "yesterday", "y" * 20_000)),
    ],
)
def test_only_answers_are_never_a_message(text: str, answers: bool) -> None:
    """Also several that were pasted at once, with their line breaks."""
    assert is_answer(text) is answers


@fault("S9")
@pytest.mark.parametrize("command", ["echo " + "a" * 2000 + "; ls", "x" + "\t" * 30 + "y" * 2000])
def test_one_long_line_that_leaves_the_screen_is_said_to_be_long(command: str) -> None:
    """The prompt names how it begins, since the end of it could look like all of it."""
    requests = PendingRequests(Path("/w"))
    effect = CommandEffect(command=command, cwd="/w")
    requests.add(
        e.PermissionRequested(request="r", call="c", name="Bash", input={}, effects=(effect,))
    )
    assert re.search(r"leave to use Bash \(\d\d lines\)", requests.shown(80, 24)[0][1])
    assert requests.prompt.startswith(f"Allow Bash: {command[:1]}")
    assert "lines)? y, n" in requests.prompt


@fault("S13")
@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("evil #" + " " * 66 + "  in /safe", "evil #<68 x U+0020>in /safe"),
        ("evil #\n" + " " * 2500 + "ls", "evil #\n<2500 x U+0020>ls"),
        ("evil #" + "\t" * 50 + "ls", "evil #<50 x U+0009>ls"),
        ("evil" + "\t" + " " * 50 + "ls", "evil<1 x U+0009><50 x U+0020>ls"),
        (" " * 60 + "deep", " " * 60 + "deep"),
        ("a" + " " * 30 + "b", "a" + " " * 30 + "b"),
    ],
)
def test_a_gap_behind_which_a_text_stands_alone_is_counted(text: str, shown: str) -> None:
    assert exact(text) == shown


@fault("S13")
def test_exact_text_shows_blanks_and_piled_up_accents() -> None:
    assert exact("a\u3164b\u115fc\u2800") == "a<U+3164>b<U+115F>c<U+2800>"
    assert exact("e\u0301\u0323\u0302 \u0301x") == "e\u0301\u0323<U+0302> <U+0301>x"
    assert exact("\u0e17\u0e35\u0e48 é") == "\u0e17\u0e35\u0e48 é"
    assert exact("a\n\tb") == "a\n\tb"
    assert exact_line("a\n\tb\u200b") == "a<U+000A><U+0009>b<U+200B>"


@fault("S13")
async def test_input_with_keys_that_a_tool_does_not_obey_is_shown_raw(
    model: Model, fake_terminal: Start
) -> None:
    odd = {"command": "touch x", "filePath": "/etc/x", "x\nAllow Read? y": "1"}
    screen = await fake_terminal(await model(ToolCall("Bash", odd), Text("well")), "run", "touch")
    await screen.sees("leave to use Bash")
    await screen.sees("command: touch x\n")
    await screen.sees("filePath: /etc/x\n")
    await screen.sees('"x<U+000A>Allow Read? y": 1\n')
    await screen.sees("Allow Bash? y, n, or n and why not >")
    screen.types("n")
    await screen.sees("[denied]")
    await screen.sees("turn 1 completed")
    await screen.quits()


@fault("S13")
async def test_edit_through_a_link_shows_where_it_leads(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    secret = project.parent / "secret"
    secret.write_text("old\n")
    (project / "new.txt").symlink_to(secret)
    screen = await fake_terminal(await model(WRITE, Text("well")), "run", "write")
    await screen.sees(f"new.txt → {secret}\n")
    await screen.sees("-old\n")
    await screen.sees("a: allow edits below")
    await screen.sees(f"{secret.parent}")
    screen.types("deny")
    await screen.sees("[denied]")
    await screen.sees("turn 1 completed")
    await screen.quits()
    assert secret.read_text() == "old\n"


# What counts as an answer -------------------------------------------------------------------


async def test_every_word_for_yes_allows(model: Model, fake_terminal: Start, project: Path) -> None:
    words = ["yes", "allow", "OK", "sure."]
    files = [f"{index}.txt" for index in range(len(words))]
    writes = [ToolCall("Write", {"file_path": file, "content": "hello\n"}) for file in files]
    screen = await fake_terminal(await model(*writes, Text("well")), "run", "write")
    for word, file in zip(words, files, strict=True):
        await screen.sees("Allow Write?")
        screen.types(word)
        await screen.sees(f"[allowed] Write {file}")
    await screen.sees("turn 1 completed")
    await screen.quits()
    assert [(project / file).read_text() for file in files] == ["hello\n"] * len(words)


async def test_limit_that_was_reached_is_raised_at_the_terminal(
    model: Model, fake_terminal: Start
) -> None:
    touch = ToolCall("Bash", {"command": "touch x"})
    screen = await fake_terminal(
        await model(touch, touch, Text("done")), "touch it", "--max-turns=1", "--allow=Bash"
    )
    await screen.sees("turn 1 limit (max_turns)")
    screen.types("/limits")
    await screen.sees("max_turns       1 model calls in a turn")
    screen.types("/limits --max-turns 0")
    await screen.sees("max_turns: expected a whole number from 1 up")
    screen.types("/limits --max-turns 9 --timeout 15m")
    await screen.sees("[limits] max_turns 9, timeout 900")
    await screen.sees("timeout         900 seconds")
    screen.types("go on")
    await screen.sees("turn 2 completed")
    await screen.quits()


async def test_always_holds_until_its_rule_is_revoked(model: Model, fake_terminal: Start) -> None:
    touch = ToolCall("Bash", {"command": "touch x"})
    screen = await fake_terminal(
        await model(touch, touch, Text("twice"), touch, Text("thrice")), "run", "touch"
    )
    await screen.sees("a: allow this very command for the rest of this session")
    screen.types("a")
    await screen.sees("[allowed] Bash touch x, and this very command for the rest of this session")
    await screen.sees("[allowed] Bash touch x: allowed for this session\n")
    await screen.sees("turn 1 completed")
    screen.types("/rules")
    await screen.sees("1. this very command: Bash(touch x)")
    screen.types("/rules revoke 2")
    await screen.sees("/rules revoke N, of the 1 that /rules lists")
    screen.types("/rules revoke 1")
    await screen.sees("withdrawn: this very command: Bash(touch x)")
    screen.types("/rules")
    await screen.sees("nothing is allowed for the rest of this session")
    assert screen.text.count("withdrawn") == 1
    screen.types("again")
    await screen.sees("Allow Bash?")
    screen.types("y")
    await screen.sees("turn 2 completed")
    await screen.quits()


async def test_text_at_a_permission_is_asked_back(model: Model, fake_terminal: Start) -> None:
    scripted = await model(WRITE, WRITE, Text("well"))
    screen = await fake_terminal(scripted, "run", "write")
    await screen.sees("Allow Write?")
    screen.types("use docs/new.txt")
    await screen.sees("is it the reason of a denial (n), or a message")
    await screen.sees('"use docs/new.txt": n denies with it, m sends it >')
    screen.types("y")
    await screen.sees("that text first")
    screen.types("n")
    await screen.sees("[denied] use docs/new.txt")
    await screen.sees("Allow Write?")
    screen.types("and the tests")
    await screen.sees("m sends it >")
    screen.types("m")
    await screen.sees("[message] and the tests")
    await screen.sees("Allow Write?")
    screen.types("n")
    await screen.sees("[denied] Write new.txt")
    await screen.sees("> and the tests")
    await screen.sees("turn 1 completed")
    assert "use docs/new.txt" in str(scripted.requests[1].tool_results)
    assert scripted.requests[2].last_user_text == "and the tests"
    await screen.quits()


async def test_tab_goes_to_the_message_line_and_back(model: Model, fake_terminal: Start) -> None:
    scripted = await model(WRITE, Text("well"))
    screen = await fake_terminal(scripted, "run", "write")
    await screen.sees("Allow Write?")
    screen.keys(TAB)
    await screen.sees("Message to the agent (Tab:")
    screen.types("y")
    await screen.sees('"y" answers, and is not sent as a message: Tab goes back to the answer')
    screen.keys(TAB)
    screen.types("what")
    await screen.sees("that neither allows nor denies")
    screen.types("")
    await screen.sees("y allows it, n denies it")
    screen.keys(f"{TAB}{CTRL_U}")
    screen.types("also tests")
    await screen.sees("[message] also tests")
    await screen.sees("Allow Write?")
    screen.types("y")
    await screen.sees("[allowed]")
    await screen.sees("> also tests")
    await screen.sees("turn 1 completed")
    assert scripted.requests[1].last_user_text == "also tests"
    await screen.quits()


@fault("S15")
async def test_answer_that_comes_too_soon_is_kept_and_not_sent(
    model: Model, fake_terminal: Start, project: Path
) -> None:
    scripted = await model([Words("Soon."), WRITE])
    screen = await fake_terminal(scripted, "run", "write", MIDFLIGHT_TEST_READ_S="1000")
    await screen.sees("Allow Write?")
    screen.types("y")
    await screen.sees("that came too soon to be an answer to this")
    await screen.sees("why not > y")
    screen.keys("\r")
    await screen.sees("that came too soon")
    assert not (project / "new.txt").exists()
    screen.keys(ESC)
    await screen.sees("turn 1 interrupted")
    screen.keys("\r")
    await screen.sees('"y" answers, and is not sent as a message')
    screen.keys(CTRL_U)
    await screen.quits(130)
    assert len(scripted.requests) == 1


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now


class Watched(input_line.InputLine):
    """An input line that tells when a request is shown, and when it is shown itself."""

    begun: asyncio.Semaphore

    def _begin_reading(self) -> None:
        super()._begin_reading()
        self.begun.release()

    @classmethod
    async def shows_both(cls) -> None:
        for _ in range(2):
            await cls.begun.acquire()


@fault("S15")
@pytest.mark.usefixtures("patience")
async def test_second_yes_of_one_keystroke_answers_one_request(
    begin: Begin, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second one waits in the keyboard while the first is carried out."""
    other = ToolCall("Write", {"file_path": "other.txt", "content": "x"})
    _, session = await begin(WRITE, other, attended=True)
    clock = Clock()
    Watched.begun = asyncio.Semaphore(0)
    monkeypatch.setattr(input_line, "time", clock)
    monkeypatch.setattr(console, "InputLine", Watched)
    monkeypatch.setenv("TERM", "xterm")
    with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
        running = asyncio.create_task(console.Console(session, project).run())
        await Watched.shows_both()
        clock.now += input_line.READ_S
        keyboard.send_text("y\ry\r")
        await Watched.shows_both()
        keyboard.send_text("\r\x15/quit\r")
        await running
    assert (project / "new.txt").exists()
    assert not (project / "other.txt").exists()
    assert [request.input["file_path"] for request in asked(session)] == ["other.txt"]


async def test_message_that_its_session_refuses_is_said_and_kept(
    begin: Begin, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One that is over has no event that would tell."""
    _, session = await begin(Text("done"))
    await session.settled()
    await session.close()
    with create_pipe_input() as keyboard, create_app_session(keyboard, DummyOutput()):
        made = console.Console(session, project)
        await made._send(c.Send(text="and more"))  # noqa: SLF001 - a whole terminal takes seconds
        assert made._line._take_draft() == "and more"  # noqa: SLF001
    assert "the session has ended" in capsys.readouterr().out


def asked(session: Session) -> list[e.PermissionRequested]:
    return [one for one in session.pending if isinstance(one, e.PermissionRequested)]


async def test_mode_that_accepts_edits_settles_what_is_asked(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model(WRITE, Text("done"))
    screen = await fake_terminal(scripted, "run", "write")
    await screen.sees("a: allow edits below")
    screen.types("/mode acceptEdits")
    await screen.sees("[allowed] Write new.txt: permission mode acceptEdits")
    await screen.sees("turn 1 completed")
    await screen.quits()

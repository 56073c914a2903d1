"""The board over sessions of a real host, by Textual's own pilot: what is seen and what it does."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.events import until
from textual.pilot import Pilot

from midflight import commands as c
from midflight import events as e
from midflight.cli.board import board as model
from midflight.cli.board.acts import CarryOut
from midflight.cli.board.app import BoardApp
from midflight.cli.board.board import Board
from midflight.cli.board.widgets import Lines
from midflight.client import placement
from midflight.client.client import connect
from midflight.client.spawn import host_environment
from midflight.environment import HostKind
from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait, Words
from midflight.testing.fake import agent

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

WRITE = ToolCall("Write", {"file_path": "new.txt", "content": "by the agent"})
LONG = ToolCall("Write", {"file_path": "long.txt", "content": "line\n" * 60})
RUN = ToolCall("Bash", {"command": "touch made"})
ASK = ToolCall(
    "AskUserQuestion",
    {
        "questions": [
            {
                "question": "Which sauce?",
                "header": "Sauce",
                "multiSelect": False,
                "options": [
                    {"label": "Red", "description": ""},
                    {"label": "Green", "description": ""},
                ],
            }
        ]
    },
)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


class Watched(BoardApp):
    """A board that tells when it has drawn."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.drawn = asyncio.Event()

    def draw(self) -> None:
        super().draw()
        self.drawn.set()

    @property
    def text(self) -> str:
        parts = [
            self.query_one(f"#{part}", Lines)
            for part in ("head", "list", "lower", "title", "hints")
        ]
        return "\n".join(strip.text for part in parts if part.display for strip in part.strips)


class Screen:
    """A person at the board."""

    def __init__(self, app: Watched, pilot: Pilot[Any]) -> None:
        self.app = app
        self.pilot = pilot

    async def sees(self, *texts: str) -> str:
        """Wait until all of it is on the screen."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(60):
                while not all(text in self.app.text for text in texts):
                    self.app.drawn.clear()
                    await self.app.drawn.wait()
        for text in texts:
            assert text in self.app.text, self.app.text
        return self.app.text

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)

    async def types(self, text: str) -> None:
        await self.pilot.press(*("space" if char == " " else char for char in text))


Open = Callable[..., contextlib.AbstractAsyncContextManager[Screen]]


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a person need no moment to read what is asked."""
    monkeypatch.setattr(model, "READ_S", 0.0)


@contextlib.asynccontextmanager
async def opened(folder: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Screen]:
    app = Watched(Board(folder), lambda: connect(door="terminal"))
    async with app.run_test(size=size) as pilot:
        yield Screen(app, pilot)


async def test_all_sessions_are_listed_and_the_chosen_one_streams(
    begin: Begin, project: Path
) -> None:
    await begin([Words("going " * 100, pace_s=0.1), Wait("end")], name="runs")
    _, idle = await begin(Text("at rest"), name="rests")
    await until(idle, e.TurnEnded)
    _, waits = await begin(WRITE, name="asks")
    await until(waits, e.PermissionRequested)
    async with opened(project) as screen:
        text = await screen.sees("asks: Write new.txt", "Running 1", "At rest 1", "at rest")
        assert text.index("asks  ") < text.index("runs  ") < text.index("rests  ")
        assert "? 1 wait   * 1 run   - 1 rest" in text
        await screen.press("j")
        await screen.sees("> make it")
        await screen.sees("going", "writing")
        await begin(Text("new"), name="later")
        await screen.sees("later ")


@pytest.mark.usefixtures("at_once")
async def test_answers_reach_the_agents(begin: Begin, project: Path) -> None:
    _, allowed = await begin(WRITE, Text("written"), name="one")
    await until(allowed, e.PermissionRequested)
    _, denied = await begin(RUN, Text("not done"), name="two")
    await until(denied, e.PermissionRequested)
    _, edited = await begin(RUN, Text("done"), name="three")
    await until(edited, e.PermissionRequested)
    _, answered = await begin(ASK, Text("green"), name="four")
    await until(answered, e.QuestionRequested)
    async with opened(project) as screen:
        await screen.sees("Waits for you 4", "+by the agent", "y allow")
        await screen.press("y")
        await screen.sees("allowed ", "touch made")
        await screen.press("n")
        await screen.sees("Deny, because")
        await screen.types("not now")
        await screen.press("enter")
        await screen.sees("denied ", "touch made")
        await screen.press("e")
        await screen.sees("This command runs instead")
        await screen.types("-as-edited")
        await screen.press("enter")
        await screen.sees("allowed as edited ", "Which sauce?", "2 Green")
        await screen.press("2")
        await screen.sees("answered ")
    assert (await until(allowed, e.PermissionResolved)).decision == "allow"
    assert (await until(denied, e.PermissionResolved)).reason == "not now"
    assert (await until(answered, e.QuestionResolved)).answers == {"Which sauce?": "Green"}
    await until(edited, e.TurnEnded)
    assert names(project) == {"new.txt", "made-as-edited"}
    who = (await until(allowed, e.PermissionResolved)).who
    assert who is not None
    assert (who.role, who.door) == ("user", "terminal")


async def test_long_request_is_answered_only_when_its_end_was_read(
    begin: Begin, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, session = await begin(LONG, Text("written"), name="long")
    await until(session, e.PermissionRequested)
    async with opened(project) as screen:
        await screen.sees("Enter reads all 6", "lines, then it can be answered")
        monkeypatch.setattr(model, "READ_S", 0.0)
        monkeypatch.setattr(model, "HELD_S", 0.0)
        await screen.press("y", "enter")
        await screen.sees("Read on with PgDn or j")
        await screen.press("y", "G")
        await screen.sees("lines  Esc", "y allow")
        assert session.pending
        await screen.press("y")
        await screen.sees("allowed ")
    assert (await until(session, e.PermissionResolved)).decision == "allow"


async def test_answer_elsewhere_and_a_second_one_are_told(begin: Begin, project: Path) -> None:
    _, session = await begin(WRITE, Text("fine"), name="asks")
    asked = await until(session, e.PermissionRequested)
    async with opened(project) as screen:
        await screen.sees("y allow")
        await screen.press("n")
        await screen.sees("asks: Write")
        act = screen.app.board.asking
        assert act is not None
        await session.answer(asked.request)
        await screen.sees("0 wait")
        carried = CarryOut("asks", c.Answer(request=asked.request), "allowed")
        screen.app.do(carried._replace(session=session.id))
        await screen.sees("already")


@pytest.mark.usefixtures("at_once")
async def test_messages_reach_the_agent_in_three_ways(begin: Begin, project: Path) -> None:
    fake, session = await begin([Wait("on")], Text("a"), Text("b"), name="runs")
    await fake.reached("on")
    async with opened(project) as screen:
        await screen.sees("* runs ", "> make it")
        await screen.press("u")
        await screen.sees("Message to runs   steer  [queue]  redirect")
        await screen.types("later")
        await screen.press("alt+enter")
        await screen.types("too")
        await screen.press("enter")
        await screen.sees("runs: queued")
        assert [message.text for message in session.queued] == ["later\ntoo"]
        await screen.press("m", "tab", "tab")
        await screen.sees("[redirect]", "1 queued stay behind it")
        await screen.types("now")
        await screen.press("enter")
        await screen.sees("runs: redirected")
        assert (await until(session, e.TurnEnded)).reason == "redirected"
        await screen.press("m", "escape", "s")
        await screen.sees("Stop runs?", "x ends the session")
        await screen.press("x")
        await screen.sees("runs: ended", "x runs")
    accepted = [
        event.text async for event in session.events() if isinstance(event, e.MessageAccepted)
    ]
    assert accepted == ["make it", "later\ntoo", "now"]


async def test_filter_holds_while_it_is_typed_and_esc_ends_it(begin: Begin, project: Path) -> None:
    for name in ("api-docs", "web"):
        _, session = await begin(Text("done"), name=name)
        await until(session, e.TurnEnded)
    async with opened(project) as screen:
        await screen.sees("api-docs", "web ")
        await screen.press("slash")
        await screen.types("api")
        await screen.sees("At rest 1 of 2")
        assert "web " not in screen.app.text
        await screen.press("enter", "d")
        await screen.sees("git init makes it one")
        await screen.press("escape")
        await screen.sees("At rest 2 ")


async def test_new_session_begins_with_the_defaults_of_the_user(
    state: None, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(placement, "KNOWS_S", 15.0)  # the host is in this busy process
    config = tmp_path / "config" / "midflight" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('agent = "fake"\nmax_turns = 7\n')
    kind = HostKind(host_environment(""), None)
    async with (
        FakeModel([Text("begun")]) as fake,
        Host(kind=kind, taking=True),
        opened(project) as screen,
    ):
        monkeypatch.setitem(agent._models, "", fake)  # noqa: SLF001 - no file names a model
        await screen.sees("No sessions yet. c starts one")
        await screen.press("c")
        await screen.sees("New session in ")
        await screen.types("Fix it")
        await screen.press("enter")
        await screen.sees("> - fix-it", "begun")
        (info,) = screen.app.board.infos.values()
        assert (info.cwd, info.limits) == (str(project), {"max_turns": 7})


@pytest.fixture
def repository(project: Path) -> None:
    subprocess.run(["git", "init", "-q", str(project)], check=True)


@pytest.mark.usefixtures("repository")
async def test_diff_and_keys_are_read_on_the_whole_screen(begin: Begin, project: Path) -> None:
    _, session = await begin(WRITE, Text("done"), name="edits", permission_mode="acceptEdits")
    await until(session, e.TurnEnded)
    async with opened(project) as screen:
        await screen.sees("edits ")
        await screen.press("d")
        await screen.sees("edits: changes since it began", "new.txt", "+by the agent")
        await screen.press("escape", "question_mark")
        await screen.sees("allow for the rest of the session")
        await screen.press("q")
        await screen.sees("At rest 1")
        assert screen.app.is_running


async def test_mouse_chooses_a_row_and_opens_what_is_chosen(begin: Begin, project: Path) -> None:
    for name in ("one", "two"):
        _, session = await begin(Text("done"), name=name)
        await until(session, e.TurnEnded)
    async with opened(project) as screen:
        await screen.sees("> - two")
        await screen.pilot.click("#list", offset=(10, 2))
        await screen.sees("> - one")
        await screen.pilot.click("#list", offset=(10, 2))
    (one,) = (info.id for info in screen.app.board.infos.values() if info.name == "one")
    assert screen.app.return_value == one


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (160, 45)])
async def test_every_size_shows_the_list_and_the_chosen_one(
    begin: Begin, project: Path, size: tuple[int, int]
) -> None:
    _, session = await begin(RUN, name="asks")
    await until(session, e.PermissionRequested)
    async with opened(project, size) as screen:
        await screen.sees("asks", "touch made", "y allow", "Enter open")
        await screen.pilot.resize_terminal(80, 24)
        await screen.sees("asks: Bash touch made")


async def test_sick_journal_leaves_what_was_known(
    begin: Begin, project: Path, tmp_path: Path
) -> None:
    _, session = await begin(Text("done"), name="known")
    await until(session, e.TurnEnded)
    async with opened(project) as screen:
        await screen.sees("known")
        client = await screen.app.feed.client()
        await client.__aexit__(None, None, None)  # what is open could still be read
        state = (tmp_path / "state").rename(tmp_path / "away")
        await screen.sees("as of ", "known")
        state.rename(tmp_path / "state")


@pytest.mark.usefixtures("at_once")
async def test_what_was_pressed_is_done_before_the_board_ends(begin: Begin, project: Path) -> None:
    _, session = await begin(WRITE, Text("written"), name="asks")
    await until(session, e.PermissionRequested)
    async with opened(project) as screen:
        await screen.sees("y allow")
        await screen.press("y", "q")
    assert (await until(session, e.PermissionResolved)).decision == "allow"

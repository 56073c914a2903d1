"""What the terminal shows of an orchestrator's children, and whose answer goes where."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from tests.support.program import Done, events

from midflight import events as e
from midflight.cli.terminal.requests import PendingRequests
from midflight.cli.terminal.screen import Screen
from midflight.cli.terminal.tree import MOST, tree_lines
from midflight.orchestrate.updates import MAX_CHILDREN, new_id, positions
from midflight.testing import Text

pytestmark = pytest.mark.anyio


class Known:
    """A child as the tree sees it."""

    def __init__(self, name: str, status: str = "running", **more: Any) -> None:
        self.name, self.status = name, status
        self.depth: int = more.get("depth", 1)
        self.pending: tuple[str, ...] = more.get("pending", ())
        self.cost_usd, self.last, self.began = 0.25, more.get("last", ""), 0.0


def lines(*children: Known, width: int = 79) -> list[str]:
    return [line for _, line in tree_lines(children, width, 65.0)]  # type: ignore[arg-type]


def test_each_child_has_a_line_below_the_one_that_has_begun_it() -> None:
    shown = lines(
        Known("tests", last="Bash pytest"),
        Known("api", "waiting", pending=("r",), last="Write api.py"),
        Known("deep", "idle", depth=2),
    )
    assert shown == [
        "  * tests  running  1m  $0.25  Bash pytest",
        "  ? api  asks  1m  $0.25  Write api.py",
        "    - deep  idle  1m  $0.25",
    ]


@pytest.mark.parametrize("width", [79, 40, 20, 5])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    evil = "\x1b[2J\x1b]0;x\x07漢字漢字漢字 " * 9
    shown = lines(Known(evil, last=evil), Known("plain", last=evil), width=width)
    assert all(cell_len(line) <= width for line in shown)
    assert "\x1b" not in "".join(shown)


def test_a_long_tree_shows_the_children_that_wait_or_work() -> None:
    resting = [Known(f"resting{n}", "idle") for n in range(20)]
    shown = lines(*resting, Known("works"), Known("asks", "waiting"))
    assert len(shown) == MOST + 1
    assert [name in "".join(shown) for name in ("works", "asks", "resting19")] == [True] * 3
    assert shown[-1] == f"  … {22 - MOST} more"


def test_two_sessions_may_call_their_requests_the_same(tmp_path: Path) -> None:
    asking = PendingRequests(tmp_path)
    own = e.PermissionRequested(session="own", request="1", name="Bash", call="", input={})
    childs = e.PermissionRequested(session="child", request="1", name="Edit", call="", input={})
    asking.add(own)
    asking.add(childs, "tests")
    assert asking.prompt.startswith("Allow Bash?")
    assert asking.remove("own", "1")
    assert asking.prompt.startswith("tests: Allow Edit?")
    assert asking.current is childs
    assert "tests asks for leave to use Edit" in asking.shown()[0][1]
    assert not asking.remove("own", "1")


def test_an_update_is_shown_as_such_and_not_as_the_persons_text(tmp_path: Path) -> None:
    screen = Screen(tmp_path)
    news = e.MessageAccepted(
        message=new_id({"a": 1}), text="[midflight] News:\nx: turn 1 completed", delivery="steer"
    )
    assert screen.take(news, 80) == [("2", "  [news] x: turn 1 completed\n")]
    assert screen.take(e.MessageSteered(message=news.message), 80) == []


def test_an_update_id_holds_the_positions_reported_so_far() -> None:
    far = {f"{n:08x}": 10**6 + n for n in range(MAX_CHILDREN)}
    assert positions(new_id(far)) == far
    assert len(new_id(far)) <= 200
    assert positions("mine") == {}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "say what is to be done"),
        (("x", "--max-depth", "0"), "--max-depth: expected a whole number from 1 up"),
        (("x", "--max-budget-usd", "0"), "--max-budget-usd"),
        (("x", "--may-answer", "question"), "did you mean questions?"),
        (("x", "--may-answer", "Bsh@other"), "'Bsh' is neither a word nor a tool"),
    ],
)
async def test_invalid_options_are_refused(say: Any, arguments: tuple[str, ...], why: str) -> None:
    done: Done = await say("orchestrate", *arguments)
    assert (done.code, why in done.err) == (2, True)


async def test_orchestrate_as_json_ends_with_its_input_and_no_child_at_work(
    midflight: Any, model: Any, tmp_path: Path
) -> None:
    arguments = ("orchestrate", "x", "--may-answer", "nothing", "--json")
    program = await midflight(await model(Text("done")), *arguments, XDG_STATE_HOME=str(tmp_path))
    code, out, _ = await program.done()
    told = events(out)
    assert (code, told[-1]["type"]) == (0, "session.ended")
    started = next(event for event in told if event["type"] == "session.started")
    assert "mcp__midflight__dispatch" in started["tools"]
    assert "mcp__midflight__answer" not in started["tools"]


async def test_an_agent_without_system_prompt_is_refused_as_orchestrator(
    midflight: Any, model: Any, tmp_path: Path
) -> None:
    program = await midflight(
        await model(), "orchestrate", "x", "--agent", "acp:cat", XDG_STATE_HOME=str(tmp_path)
    )
    code, _, err = await program.done()
    assert (code, "--agent: it cannot be the orchestrator" in err) == (2, True)

"""What waits in a session: listed, and changed by numbers that never shift."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any, cast

import pytest
from tests.support.program import Done
from tests.support.terminal import Terminal

from midflight.cli.terminal.queue import Change, lines, typed
from midflight.errors import InvalidInput
from midflight.host import Host
from midflight.session.message import Message
from midflight.session.session import Session
from midflight.testing import FakeModel, ScriptedModel, Text, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Say = Callable[..., Coroutine[Any, Any, Done]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]
Model = Callable[..., Awaitable[ScriptedModel]]
Start = Callable[..., Awaitable[Terminal]]


async def busy(
    begin: Begin, say: Say, *texts: str, answers: tuple[str, ...] = ()
) -> tuple[FakeModel, Session]:
    """A session whose first turn runs on, while these messages wait."""
    later = [Text(answer) for answer in answers]
    model, session = await begin([Text("hm"), Wait("go")], *later, name="fix")
    await model.reached("go")
    for text in texts:
        assert (await say("queue", "fix", text)).code == 0
    return model, session


async def test_queue_is_listed_and_changed_by_number(begin: Begin, say: Say) -> None:
    model, session = await busy(begin, say, "a b", "b c", "c d", "d e", answers=("1", "2", "3"))
    assert (await say("queue", "--list")).out == "  2  a b\n  3  b c\n  4  c d\n  5  d e\n"
    assert (await say("queue", "fix", "--cancel", "3")).out == "fix: cancelled 3\n"
    assert (await say("queue", "--edit", "5", "d " * 99)).code == 0
    assert f"  5  {'d ' * 98}d\n" in (await say("queue", "--list")).out  # no terminal cuts it
    assert (await say("queue", "--edit", "5", "d e")).code == 0
    assert (await say("queue", "--edit", "4", "c, but better")).out == "fix: edited 4\n"
    assert (await say("queue", "--move", "5", "2", "fix")).out == "fix: moved 5\n"
    listed = json.loads((await say("queue", "--move", "2", "end", "--json")).out)
    assert [(each["number"], each["text"]) for each in listed] == [
        (5, "d e"), (4, "c, but better"), (2, "a b"),
    ]  # fmt: skip
    assert [each["message"] for each in listed] == [each.id for each in session.queued]
    model.signal("go")
    assert (await session.queued[-1].result()).text == "3"
    asked = [request.last_user_text for request in model.requests]
    assert asked == ["make it", "d e", "c, but better", "a b"]
    assert (await say("queue", "--list")).out == "nothing waits\n"


async def test_promoted_message_is_read_at_the_next_step(begin: Begin, say: Say) -> None:
    _, session = await busy(begin, say, "first of all", "then this")
    assert (await say("queue", "--promote", "3")).out == "fix: promoted 3\n"
    listed = (await say("queue", "--list")).out
    assert listed == "  3  [steer] then this\n  2  first of all\n"
    assert [each.delivery for each in session.queued] == ["steer", "queue"]


async def test_change_that_cannot_be_made_says_what_waits(begin: Begin, say: Say) -> None:
    await busy(begin, say, "a b", "b c")
    await say("queue", "--cancel", "2")
    await say("queue", "--promote", "3")
    for given, code, told in (
        (("--cancel", "9"), 2, "there is no message 9\nhint: waiting: 3"),
        (("--cancel", "two"), 2, "two is not the number of a message\nhint: waiting: 3"),
        (("--edit", "1", "x y"), 1, "message 1 waits no longer: the agent works on it"),
        (("--promote", "2"), 1, "message 2 waits no longer: it was cancelled"),
        (("--move", "3", "8"), 2, "there is no message 8"),
        (("--edit", "3", "x y"), 1, "message 3 was handed to the agent"),
        (("--edit", "3", " "), 2, "the message is empty"),
        (("--list", "--cancel", "3"), 2, "not allowed with argument"),
        (("fix", "a text", "--cancel", "3"), 2, "a text does not go with this"),
        (("--list", "--wait"), 2, "--wait does not go with this"),
        ((), 2, "say what is to be queued"),
        (("nobody", "--list"), 4, "no session is called 'nobody'"),
    ):
        done = await say("queue", *given)
        assert (done.code, told in done.err) == (code, True), done


async def test_numbers_stay_when_the_session_is_parked(host: Host, begin: Begin, say: Say) -> None:
    _, session = await busy(begin, say, "a b", "b c", "c d")
    await say("queue", "--cancel", "2")
    await say("queue", "--move", "4", "3")
    before = (await say("queue", "--list")).out
    assert before == "  4  c d\n  3  b c\n"
    await session.close("parked")
    assert (await say("queue", "--list")).out == before
    assert (await say("queue", "--edit", "3", "b, changed at rest")).code == 0
    assert (await say("queue", "--list")).out == "  4  c d\n  3  b, changed at rest\n"
    assert host.live()[0].numbered(4).text == "c d"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("edit 3 use tabs\nnot spaces", Change("edit", ("3", "use tabs\nnot spaces"))),
        ("  cancel 3 ", Change("cancel", ("3",))),
        ("move 3 5", Change("move", ("3", "5"))),
        ("move 3 end", Change("move", ("3", "end"))),
        ("promote 12", Change("promote", ("12",))),
        ("cancel the old subscription", None),
        ("Edit 3 files", None),
        ("editing is next", None),
        ("", None),
    ],
)
def test_words_behind_queue_are_a_change_only_with_a_number(
    text: str, meant: Change | None
) -> None:
    assert typed(text) == meant


@pytest.mark.parametrize("text", ["cancel", "edit 3", "move 3", "cancel 3 4", "promote"])
def test_change_that_is_not_whole_is_no_message(text: str) -> None:
    with pytest.raises(InvalidInput, match=f"/queue {text.split(maxsplit=1)[0]} takes N"):
        typed(text)


def test_lines_of_the_queue_are_inert_and_fit_the_screen() -> None:
    queued = [
        SimpleNamespace(number=9, delivery="queue", text="red \x1b[31m\nand\u202e more"),
        SimpleNamespace(number=10, delivery="now", text="宽" * 60),
    ]
    shown = lines(cast("list[Message]", queued), 30)
    assert shown == ["   9  red and more", f"  10  [redirect] {'宽' * 6}…"]


async def test_queue_is_shown_and_changed_at_the_terminal(
    model: Model, fake_terminal: Start
) -> None:
    scripted = await model([Words("working "), Wait("go")], Text("one"), Text("two"))
    screen = await fake_terminal(scripted, "run", "do it")
    await screen.sees("working")
    screen.types("/queue")
    await screen.sees("nothing waits")
    for text in ("a b", "b c", "c d"):
        screen.types(f"/queue {text}")
        await screen.sees("[queued] gets a turn of its own")
    await screen.sees("  4  c d")
    screen.types("/queue cancel 3")
    await screen.sees("[cancelled] b c")
    screen.types("/queue edit 4 c, but better")
    await screen.sees("[edited] c, but better")
    screen.types("/queue move 4 2")
    await screen.sees("[moved] c, but better")
    await screen.sees("  4  c, but better")
    await screen.sees("  2  a b")
    screen.types("/queue edit 3 anything")
    await screen.sees("message 3 waits no longer: it was cancelled (waiting: 4, 2)")
    screen.keys("\x15")
    screen.types("/queue promote 4")
    await screen.sees("[steer] the agent reads it at its next step: c, but better")
    scripted.signal("go")
    await screen.sees("turn 3 completed")
    await screen.quits()

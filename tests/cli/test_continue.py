"""``run --continue``: the latest session of the folder goes on, in the test's own host."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.cli.conftest import Begin, Say
from tests.support.terminal import Terminal

from midflight.host import Host
from midflight.testing import HttpError, Text
from midflight.testing.conformance.rows.options import PIXEL

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]


async def test_continue_goes_on_with_the_latest_session_of_the_folder(
    begin: Begin, say: Say, tmp_path: Path
) -> None:
    _, first = await begin(Text("one"))
    model, second = await begin(Text("two"), Text("three"), Text("four"), task="make that")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    _, third = await begin(Text("five"), cwd=elsewhere)
    for session in (first, second, third):
        assert session.first is not None
        await session.first.result()
    done = await say("--continue", "also this", "--then", "and that")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("three\n\nResult: completed\n")
    assert "> and that\nfour\n\nResult: completed\n" in done.out
    assert [each.last_user_text for each in model.requests] == [
        "make that",
        "also this",
        "and that",
    ]


async def test_continue_ends_with_the_exit_code_of_its_message(begin: Begin, say: Say) -> None:
    model, _ = await begin(Text("one"), HttpError(402))
    await model.request(1)  # what comes sooner may be read together with the task
    assert (await say("run", "also this", "--continue")).code == 1


async def test_continue_in_the_background_returns_at_once(
    begin: Begin, say: Say, project: Path
) -> None:
    (project / "a.png").write_bytes(PIXEL)
    model, _ = await begin(Text("one"), Text("two"))
    await model.request(1)  # as above
    done = await say("run", "-d", "--continue", "look", "--image", str(project / "a.png"))
    assert (done.code, done.out) == (0, "make-it\nTo follow it: midflight attach make-it\n")
    assert (await model.request(2)).images == [("image/png", PIXEL)]


async def test_continue_at_a_terminal_shows_what_was_and_sends_the_message(
    begin: Begin, host: Host, project: Path
) -> None:
    _, session = await begin(Text("one"), Text("two"))
    assert session.first is not None
    await session.first.result()
    env = dict(os.environ) | {"TERM": "xterm-256color"}
    for arguments, last in (
        (["--continue", "also this"], "> also this"),
        (["--continue"], "turn 2 completed"),
    ):
        screen = await Terminal.start(arguments, env, project)
        try:
            await screen.sees("> make it")
            await screen.sees(last)
            await screen.sees("idle; type")  # a line is read from now on
            screen.types("/detach")
            await screen.sees("Detached; make-it goes on")
            assert await screen.ends() == 0
        finally:
            await screen.kill()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--continue", "--model", "m", "do it"), "and not with --model"),
        (("--continue", "--resume", "x", "do it"), "and not with --resume"),
        (("--continue", "--worktree", "do it"), "and not with --worktree"),
        (("--continue", "--no-journal", "do it"), "and not with --no-journal"),
        (("--continue", "--json", "do it"), "and not with --json"),
        (("--continue",), "say how it goes on"),
        (("--continue", "--then", "that"), "say how it goes on"),
        (("--continue", "-d"), "say how it goes on"),
        (("run",), "the following arguments are required: TASK"),
    ],
)
async def test_what_continue_cannot_do_is_one_line(
    state: None, say: Say, arguments: tuple[str, ...], expected: str
) -> None:
    done = await say(*arguments)
    first, hint = done.err.splitlines()
    assert (done.code, first.endswith(expected), hint[:6]) == (2, True, "hint: ")


async def test_continue_where_nothing_was_begun_says_so(state: None, say: Say) -> None:
    done = await say("--continue", "do it")
    assert done.code == 4
    assert done.err.startswith("midflight: there is no session in ")

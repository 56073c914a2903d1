"""Commands in a folder that was deleted: those that need none work, the others say so."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.deleted_folder import in_deleted_folder
from tests.support.program import Done

from midflight.session.session import Session
from midflight.testing import FakeModel, Text, Wait

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left", "patience")]

Say = Callable[..., Coroutine[Any, Any, Done]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

DELETED = "the current folder was deleted"


@fault("D7")
async def test_commands_that_name_a_session_need_no_folder(
    say: Say, begin: Begin, tmp_path: Path
) -> None:
    model, _ = await begin([Wait("go"), Text("done")], Text("more"), task="one")
    await model.reached("go")
    for arguments in (
        ("ls",),
        ("ls", "--json"),
        ("show", "one"),
        ("logs", "one"),
        ("queue", "one", "and more"),
        ("interrupt", "--keep-queued", "one"),
        ("stop", "one"),
        ("rm", "one"),
    ):
        with in_deleted_folder(tmp_path):
            done = await say(*arguments)
        assert (done.code, done.err) == (0, ""), arguments
    assert json.loads((await say("ls", "--json")).out) == []


@fault("D7")
@pytest.mark.parametrize(
    "arguments",
    [
        ("completion", "bash"),
        ("mcp", "install", "claude", "--user", "--print"),
        ("skill", "install", "claude", "--user", "--print"),
    ],
)
async def test_commands_about_nothing_here_need_no_folder(
    say: Say, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with in_deleted_folder(tmp_path):
        done = await say(*arguments)
    assert done.code == 0, done.err


@fault("D7")
async def test_doctor_needs_no_folder(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", os.defpath)
    with in_deleted_folder(tmp_path):
        done = await say("doctor", "--json")
    assert DELETED not in done.out + done.err
    assert "facts" in json.loads(done.out)


@fault("D7")
@pytest.mark.parametrize(
    "arguments",
    [
        ("run", "do it"),
        ("run", "-d", "do it"),
        ("run", "--cwd", "below", "do it"),
        ("orchestrate", "do it"),
        ("ls", "--cwd", "below"),
        ("host", "--warm", "--agent", "fake"),
        ("host", "--journal", "below"),
        ("mcp", "install", "claude", "--print"),
        ("skill", "install", "claude", "--print"),
        ("worktree", "ls"),
        ("trust",),
        *((verb,) for verb in ("show", "logs", "interrupt", "stop")),
        ("send", "more"),
        ("answer", "allow"),
    ],
)
async def test_commands_that_need_a_folder_say_so_in_one_line(
    say: Say, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    with in_deleted_folder(tmp_path):
        done = await say(*arguments)
    assert done.code == 2
    first, hint = done.err.splitlines()
    assert DELETED in first
    assert hint.startswith("hint: cd to another one")

"""A folder is on one machine: what has the same path on another one is not meant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.raw_http import call

from midflight.client.client import Client
from midflight.errors import Conflict
from midflight.server.server import ServeOptions, serving
from midflight.session.session import Session
from midflight.testing import FakeModel
from midflight.worktrees import SessionWorktrees

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

TOKEN = "a-token-for-tests-only"


async def test_folder_of_a_session_on_another_machine_is_left_alone(
    begin: Begin, client: Client, server: Any, tmp_path: Path
) -> None:
    _, session = await begin()
    info = await client.info(session.id, exact=True)
    with pytest.raises(Conflict, match="runs on another machine"):
        await SessionWorktrees(client).of(info, tmp_path)
    assert await client.neighbours() == []  # whom a verb for a folder of this machine concerns

    options = ServeOptions(host="127.0.0.1", port=0, where=server)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        address = running.urls[0].partition("://")[2]
        key = {"authorization": f"Bearer {TOKEN}"}
        status, problem = await call(address, f"/sessions/{session.id}/diff", **key)
    assert (status, problem["code"]) == (409, "conflict")
    assert "runs on another machine" in problem["message"]

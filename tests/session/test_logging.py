from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from midflight.testing import Text

SECRET = "the-key-in-the-text"


async def test_session_logs_commands_and_actions_but_no_text(
    fake: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    _, session = await fake(Text(SECRET), name="mine")
    with caplog.at_level(logging.DEBUG, "midflight"):
        async with session:
            message = await session.send(SECRET)
            await message.result()
    log = "\n".join(record.getMessage() for record in caplog.records if record.name == "midflight")
    for line in (
        "fake: the agent is started",
        f"session mine: command Send, id {message.id}",
        "fake: action Hand",
        "session mine: close, closed",
        "fake: the agent has ended",
    ):
        assert line in log
    assert SECRET not in log


async def test_repr_of_a_session_has_name_agent_and_status(fake: Callable[..., Any]) -> None:
    _, session = await fake(name="mine")
    assert repr(session) == "<Session 'mine' agent=fake starting>"
    async with session:
        assert repr(session) == "<Session 'mine' agent=fake idle>"
    assert repr(session) == "<Session 'mine' agent=fake closed>"

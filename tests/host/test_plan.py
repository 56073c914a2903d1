"""A plan of Claude Code: it changes its permission mode by itself, which is followed and kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.support.host import journal_of

from midflight import events as e
from midflight.host import Host
from midflight.session.session import Session
from midflight.testing import ScriptedModel, Text, ToolCall

Hosts = Callable[..., Awaitable[Host]]

PLANNED = ToolCall("ExitPlanMode", {"plan": "1. write it"})
PLAN = ToolCall("EnterPlanMode", {})


@pytest.fixture
def given(
    agent_env: Callable[[ScriptedModel], dict[str, str]], tmp_path: Path
) -> Callable[..., dict[str, Any]]:
    """Return a function to the options of a session that asks a scripted model."""
    (tmp_path / "project").mkdir()

    def options(model: ScriptedModel, **more: Any) -> dict[str, Any]:
        return {"cwd": tmp_path / "project", "env": agent_env(model), "attended": True, **more}

    return options


async def turn(session: Session) -> AsyncIterator[e.Event]:
    """Yield what happens up to the next quiet, and approve each plan."""
    async for event in session.stream():
        yield event
        if isinstance(event, e.PermissionRequested) and event.name == "ExitPlanMode":
            await session.answer(event)


async def test_approved_plan_is_over_and_stays_so_after_a_rest(
    open_host: Hosts,
    scripted_model: Callable[..., Awaitable[ScriptedModel]],
    given: Callable[..., dict[str, Any]],
) -> None:
    steps = [PLANNED, Text("approved"), Text("on"), PLAN, Text("planning"), PLANNED, Text("over")]
    model = await scripted_model(steps)
    host = await open_host(park_after=600.0)
    session = await host.dispatch("plan it", **given(model, permission_mode="plan"))
    told = [event.text async for event in turn(session) if isinstance(event, e.Notice)]
    assert told == ["the agent changed its permission mode to default"]
    assert session.permission_mode == "default"

    await session.close("parked")
    await session.over()
    assert (await journal_of(host).find(session.id)).permission_mode == "default"
    session = await host.session(session.id)
    await (await session.send("go on")).result()
    assert session.permission_mode == "default"
    arguments = [word for child in psutil.Process().children() for word in child.cmdline()]
    assert "--permission-mode=default" in arguments

    modes = []
    for text in ("plan by yourself", "approve"):
        await session.send(text)
        async for _ in turn(session):
            pass
        modes.append(session.permission_mode)
    assert modes == ["plan", "default"]

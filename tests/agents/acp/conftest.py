from __future__ import annotations

import json
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.acp_agent import PROGRAM, Open, Scripted

import midflight
from midflight.agents import PRESETS
from midflight.agents.acp.presets import Preset
from midflight.values import Support


@pytest.fixture
def scripted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open a session with an agent that says of itself what ``said`` says.

    With a ``cost`` it is one of the presets, of which that is known.
    """

    @asynccontextmanager
    async def start(
        said: dict[str, Any] | None = None, cost: Support | None = None, **options: Any
    ) -> AsyncIterator[Scripted]:
        log = tmp_path / "log"
        # It needs no packages: without them it starts in a quarter of the time.
        command = shlex.join(
            [sys.executable, "-SE", str(PROGRAM), str(log), json.dumps(said or {})]
        )
        given = {"agent": f"acp:{command}", "cwd": tmp_path, "attended": True, **options}
        if cost is not None:
            monkeypatch.setitem(PRESETS, "scripted", Preset(command, "", "", cost=cost))
            given["agent"] = "scripted"
        async with midflight.open(**given) as session:
            yield Scripted(session, log)

    return start

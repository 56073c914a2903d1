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


@pytest.fixture
def scripted(tmp_path: Path) -> Open:
    """Open a session with an agent that says of itself what ``said`` says."""

    @asynccontextmanager
    async def start(said: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Scripted]:
        log = tmp_path / "log"
        command = shlex.join([sys.executable, "-E", str(PROGRAM), str(log), json.dumps(said or {})])
        given = {"cwd": tmp_path, "attended": True, **options}
        async with midflight.open(agent=f"acp:{command}", **given) as session:
            yield Scripted(session, log)

    return start

from __future__ import annotations

import asyncio
import logging
import subprocess
from pathlib import Path

import pytest

from midflight.agents.process.process import AgentProcess

KEY = "sk-test-0123456789"


async def test_process_is_logged_from_start_to_end_without_its_environment(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = AgentProcess()
    with caplog.at_level(logging.DEBUG, "midflight"):
        await process.start(["/bin/sh", "-c", f": {KEY}"], {"KEY": KEY}, tmp_path)
        assert [line async for line in process.lines()] == []
        await process.close()
    lines = [record.getMessage() for record in caplog.records if record.name == "midflight"]
    assert lines == [f"process {process.pid} started: sh", f"process {process.pid} ended"]


async def test_age_counts_from_birth_and_not_from_when_a_busy_loop_hears(tmp_path: Path) -> None:
    class HeardLate(AgentProcess):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            subprocess.run(["sleep", "0.3"], check=True)
            super().connection_made(transport)

    process = HeardLate()
    await process.start(["cat"], {}, tmp_path)
    age_s = process.age_s
    await process.close()
    assert age_s >= 0.3

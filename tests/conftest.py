from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from tests.support.agents import StandIns, starts_one
from tests.support.events import PATIENCE_S

# The machine may be busy with other things, and a run shall try what the last one has tried.
settings.register_profile(
    "anywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")

NPM_AGENTS = Path(__file__).parent / "agents" / "npm" / "node_modules" / ".bin"
PREVIEW = NPM_AGENTS.parent / "@opencode-ai" / "cli-linux-x64" / "bin"
# scripts/test installs them
os.environ["PATH"] = os.pathsep.join([str(NPM_AGENTS), str(PREVIEW), os.environ["PATH"]])

# A shell's background job ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if starts_one(item):
            item.add_marker("agent")
    if hasattr(config, "workerinput"):  # several workers: none is left alone with a long test
        items.sort(key=_expected_s, reverse=True)


def _expected_s(item: pytest.Item) -> float:
    """Tell how long a test may take, by the time that it has; those without an agent come last."""
    limit = item.get_closest_marker("timeout")
    seconds = float(limit.args[0]) if limit is not None else 1.0
    return seconds if item.get_closest_marker("agent") else seconds - 1000.0


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("no-agents"))


@pytest.fixture(autouse=True)
def no_agent_without_its_mark(
    request: pytest.FixtureRequest, stand_ins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail a test that starts an agent's program and does not have the mark ``agent``."""
    if request.node.get_closest_marker("agent"):
        yield
        return
    for name, value in stand_ins.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "path", [stand_ins.packages, *sys.path])
    yield
    if started := stand_ins.started():
        pytest.fail(f"it starts an agent, so it needs the mark: {started}", pytrace=False)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def patience() -> AsyncIterator[None]:
    """Bound a test that waits for something which only a fault keeps from coming."""
    async with asyncio.timeout(PATIENCE_S):
        yield

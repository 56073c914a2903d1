from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.support.agents import StandIns, starts_one
from tests.support.postgresql import postgresql

__all__ = ["postgresql"]

# The machine may be busy with other things, and a run shall try what the last one has tried.
settings.register_profile(
    "anywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")

NPM_AGENTS = Path(__file__).parent / "agents" / "npm" / "node_modules" / ".bin"
PREVIEW = NPM_AGENTS.parent / "@opencode-ai" / "cli-linux-x64" / "bin"
# scripts/test installs them
os.environ["PATH"] = os.pathsep.join([str(NPM_AGENTS), str(PREVIEW), os.environ["PATH"]])

# Programs on Bun end soon here: a start of Claude Code or OpenCode takes a sixth less.
os.environ["BUN_JSC_useDFGJIT"] = "0"  # noqa: SIM112 - a name of Bun's

SHARED = {
    "tests/page/": "a browser",
    "opencode-acp": None,  # each session starts its own
    "opencode2": "a server of OpenCode 2",
    "opencode": "servers of OpenCode",
}
"""What the ids of tests have in them that share what takes seconds to start; the first one counts.

Each is less than a worker's part of all: what is more must not stand here.
"""

LONG_ROWS = "tests/conformance/"
"""Where each row of a test may take as long as a whole test elsewhere."""


def shared_by(nodeid: str) -> str | None:
    """Return what a test shares with others, if that takes seconds to start."""
    return next((shared for word, shared in SHARED.items() if word in nodeid), None)


# A shell's background job ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before tests are chosen by their marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if starts_one(item):
            item.add_marker("agent")
    if hasattr(config, "workerinput"):  # several workers: none is left alone with a long test
        items.sort(key=_order, reverse=True)


def pytest_collection_finish() -> None:
    """Keep the tests themselves from being looked through whenever garbage is collected."""
    gc.collect()
    gc.freeze()


def _order(item: pytest.Item) -> tuple[bool, bool, float]:
    """Tell which tests come first: what one worker does alone, then the longest with an agent.

    How long one may take is told by the time that it has.
    """
    limit = item.get_closest_marker("timeout")
    seconds = float(limit.args[0]) if limit is not None else 1.0
    alone = shared_by(item.nodeid) is not None
    return alone, item.get_closest_marker("agent") is not None, seconds


@pytest.hookimpl(optionalhook=True)  # pytest-xdist's
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Have what takes seconds to start, and is shared by many tests, started by one worker only.

    The rows of a test are given out together: the scheduler looks at all that it has given out
    whenever a test has ended, and of six thousand that is seconds.
    """
    from xdist.scheduler.loadscope import (  # type: ignore[import-untyped]  # it brings no types
        LoadScopeScheduling,
    )

    class OneForEach(LoadScopeScheduling):  # type: ignore[misc]
        """Gives a worker its next test with its rows, or all that share a program with it."""

        def _split_scope(self, nodeid: str) -> str:
            test = nodeid if nodeid.startswith(LONG_ROWS) else nodeid.partition("[")[0]
            return shared_by(nodeid) or test

    return OneForEach(config, log)


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
async def patience(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Cancel a test that waits for ever, a little before it is interrupted, and say so.

    What is interrupted stays where it is, in a task that its fixtures need to clean up.
    """
    limit = request.node.get_closest_marker("timeout")
    seconds = 0.8 * float(limit.args[0] if limit else request.config.getini("timeout"))
    task = asyncio.current_task()
    assert task is not None
    late = f"it takes longer than {seconds:.0f} seconds"
    bound = asyncio.get_running_loop().call_later(seconds, task.cancel, late)
    yield
    bound.cancel()

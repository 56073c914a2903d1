"""The pytest plugin: a scripted model, a home and an environment for the agent, and a leak check.

Every pytest run of everyone who installed midflight loads this module, so it imports nothing but
pytest and the standard library; the rest is imported when a fixture is used.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from midflight.testing.home import make_home

if TYPE_CHECKING:
    import psutil

    from midflight.testing.conformance.rig import Rig
    from midflight.testing.model.server import ScriptedModel
    from midflight.testing.opencode import OpenCodeServer

__all__ = [
    "RUN_MARKER",
    "SESSION_MARKER",
    "agent_env",
    "claude_home",
    "need",
    "need_rig",
    "no_agent_left",
    "opencode2_server",
    "opencode_server",
    "scripted_model",
]

SESSION_MARKER = "MIDFLIGHT_PROCESS"
RUN_MARKER = "MIDFLIGHT_TEST_RUN"
_PRIVATE_PREFIXES = (
    *("ANTHROPIC_", "CLAUDE", "CODEX_", "COPILOT_", "GEMINI_", "GOOGLE_"),
    *("MIDFLIGHT_", "OPENAI_", "OPENCODE", "QWEN_"),
)
_PRIVATE_NAMES = ("GH_TOKEN", "GITHUB_TOKEN", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_GRACE_S = 5.0
# Set where a missing program must not pass for a test that is skipped. Tests hide the variable.
_ALL_AGENTS = bool(os.environ.get("MIDFLIGHT_TEST_ALL_AGENTS"))

_kept: set[int] = set()
"""Processes that outlive a test on purpose."""


def need(missing: str) -> None:
    """Skip the test if something is missing; fail it where ``MIDFLIGHT_TEST_ALL_AGENTS`` is set."""
    if missing and _ALL_AGENTS:
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


def need_rig(rig: Rig) -> None:
    """Skip the test where the agent's program is not made for this system; else `need` it."""
    if not rig.possible:
        pytest.skip(f"there is no {rig.program} for this system")
    need(rig.missing())


@pytest.fixture
async def scripted_model() -> AsyncIterator[Callable[..., Awaitable[ScriptedModel]]]:
    """Start scripted models for one test.

    ``model = await scripted_model([...])`` takes what `midflight.testing.ScriptedModel` takes.
    Each model is closed at the end of the test, and then fails it if its script was not played to
    the end or was not enough.
    """
    from midflight.testing.model.server import ScriptedModel

    async with AsyncExitStack() as stack:

        async def start(*args: Any, **options: Any) -> ScriptedModel:
            return await stack.enter_async_context(ScriptedModel(*args, **options))

        yield start


@pytest.fixture
def claude_home(tmp_path: Path) -> Path:
    """Return a home directory of its own for the agent, past the first-run questions."""
    home = tmp_path / "home"
    make_home(home)
    state = {"hasCompletedOnboarding": True, "hasTrustDialogAccepted": True}
    (home / ".claude.json").write_text(json.dumps(state), encoding="utf-8")
    return home


@pytest.fixture
def agent_env(
    claude_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[ScriptedModel], dict[str, str]]:
    """Return a function from a scripted model to the environment of an agent that asks it.

    For the length of the test the variables of the user's own agents leave this process as well,
    because an SDK adds its own environment to the one that is passed.
    """
    for name in list(os.environ):
        if name == RUN_MARKER:
            continue
        if name.startswith(_PRIVATE_PREFIXES) or name.upper() in _PRIVATE_NAMES:
            monkeypatch.delenv(name)

    def env(model: ScriptedModel) -> dict[str, str]:
        return model.env(claude_home)

    return env


@pytest.fixture(scope="session")
def _opencode_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenCodeServer]:
    """Start the OpenCode server of this process; it takes seconds to start."""
    from midflight.testing.opencode import OpenCodeServer

    yield from _serving(OpenCodeServer, tmp_path_factory.mktemp("opencode"))


@pytest.fixture(scope="session")
def _opencode2_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenCodeServer]:
    """Start the server of this process that is the preview of OpenCode 2."""
    from midflight.testing.conformance.rig import OPENCODE2
    from midflight.testing.opencode import OpenCode2Server

    need_rig(OPENCODE2)
    yield from _serving(OpenCode2Server, tmp_path_factory.mktemp("opencode2"))


def _serving(kind: type[OpenCodeServer], folder: Path) -> Iterator[OpenCodeServer]:
    import psutil

    from midflight.errors import AgentUnavailable

    before = psutil.Process().children()
    try:
        server = kind(folder)
    except AgentUnavailable as error:
        need(str(error))
        raise
    with server:
        ours = {child.pid for child in psutil.Process().children() if child not in before}
        _kept.update(ours)
        yield server
    _kept.difference_update(ours)


@pytest.fixture
def opencode_server(_opencode_server: OpenCodeServer) -> Iterator[OpenCodeServer]:
    """Return an OpenCode server that all tests of this process share.

    A session works there with ``server_url=server.url``, ``cwd=server.cwd`` and
    ``env=model.env(server.home) | server.env`` of a `ScriptedModel` at ``port=server.model_port``.
    It is suspended between two tests: at rest it still takes a quarter of a processor.
    """
    _opencode_server.resume()
    yield _opencode_server
    _opencode_server.suspend()


@pytest.fixture
def opencode2_server(_opencode2_server: OpenCodeServer) -> Iterator[OpenCodeServer]:
    """Return a server of the preview of OpenCode 2 that all tests of this process share."""
    _opencode2_server.resume()
    yield _opencode2_server
    _opencode2_server.suspend()


@pytest.fixture
def no_agent_left(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Fail the test if a process that it started outlives it.

    Descendants of this process count, and processes that have been moved elsewhere but can be known
    by their environment. What is left is killed, so that one test fails and not all that follow.
    """
    import psutil

    run, homes = uuid.uuid4().hex, str(tmp_path_factory.getbasetemp())
    monkeypatch.setenv(RUN_MARKER, run)
    before = set(psutil.process_iter())
    yield
    new = _processes(run, homes, before)
    # A process that was asked to end may take a moment to be gone.
    _, left = psutil.wait_procs(new, timeout=_GRACE_S)
    shown = [_describe(process) for process in left]
    for process in left:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=_GRACE_S)
    if shown:
        pytest.fail("processes left after the test:\n  " + "\n  ".join(shown), pytrace=False)


def _processes(run: str, homes: str, before: set[psutil.Process]) -> list[psutil.Process]:
    """Return the living processes that belong to this test, of those that were not there before."""
    import psutil

    processes = []
    for process in psutil.process_iter():
        if process in before or process.pid in {os.getpid(), *_kept}:
            continue
        # Another user's processes cannot be read, and some end while they are looked at.
        with suppress(psutil.Error, OSError):
            below = os.getpid() in {parent.pid for parent in process.parents()}
            if (below or _marked(process.environ(), run, homes)) and _lives(process):
                processes.append(process)
    return processes


def _marked(environment: Mapping[str, str], run: str, homes: str) -> bool:
    """Return whether a process belongs to this test; sessions of others do not."""
    return environment.get(RUN_MARKER) == run or (
        SESSION_MARKER in environment and environment.get("HOME", "").startswith(homes)
    )


def _lives(process: psutil.Process) -> bool:
    import psutil

    with suppress(psutil.Error):
        return process.status() != psutil.STATUS_ZOMBIE
    return False


def _describe(process: psutil.Process) -> str:
    import psutil

    with suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:200]}"
    return str(process.pid)

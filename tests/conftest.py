from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The machine may be busy with other things, and a run shall try what the last one has tried.
settings.register_profile(
    "anywhere", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("anywhere")

NPM_AGENTS = Path(__file__).parent / "agents" / "npm" / "node_modules" / ".bin"
os.environ["PATH"] = f"{NPM_AGENTS}{os.pathsep}{os.environ['PATH']}"  # scripts/test installs them

# A shell's background job ignores Ctrl-C, and so would all that it starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

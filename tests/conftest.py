from __future__ import annotations

import os
from pathlib import Path

import pytest

NPM_AGENTS = Path(__file__).parent / "agents" / "npm" / "node_modules" / ".bin"
os.environ["PATH"] = f"{NPM_AGENTS}{os.pathsep}{os.environ['PATH']}"  # scripts/test installs them


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"

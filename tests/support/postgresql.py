"""Where Debian's PostgreSQL is, and what a test does without one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

__all__ = ["need_postgresql"]

ALL = os.environ.get("MIDFLIGHT_TEST_POSTGRES") == "1"


def need_postgresql(name: str = "initdb") -> str:
    """Return the path of one of its programs, which Debian keeps out of PATH.

    Where there is none the test is skipped, or fails if ``MIDFLIGHT_TEST_POSTGRES`` is 1.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    if found is None:
        if ALL:
            pytest.fail("PostgreSQL is missing: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    return found

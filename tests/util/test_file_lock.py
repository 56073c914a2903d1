"""One has the lock of a file at a time, and nobody waits for it without end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from midflight._util.file_lock import lock, lock_in_thread
from midflight._util.files import open_private


def in_a_loop(file: int, seconds: float) -> None:
    asyncio.run(lock(file, seconds))


@pytest.mark.parametrize("take", [in_a_loop, lock_in_thread])
def test_lock_is_had_by_one_until_its_file_is_closed(
    tmp_path: Path, take: Callable[[int, float], None]
) -> None:
    first, second = (open_private(tmp_path / "lock") for _ in range(2))
    try:
        take(first, 5)
        with pytest.raises(TimeoutError):
            take(second, 0.01)
        os.close(first)
        take(second, 5)
    finally:
        os.close(second)

"""``midflight host`` itself, in the test's own process."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec
import pytest

from midflight.background import Ready
from midflight.cli.host import _host
from midflight.errors import StoreFailed
from midflight.host import Host

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def test_a_host_says_once_how_it_went_and_leaves_the_descriptor_alone_then(
    state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)

    async def fail(self: Host) -> None:
        os.dup2(other, writing)  # as any file may get the number that is free
        raise StoreFailed("the disk is gone")

    monkeypatch.setattr(Host, "wake", fail)
    with pytest.raises(StoreFailed):
        await _host(argparse.Namespace(journal=None, park_after=None, ready=writing))
    with os.fdopen(reading, "rb") as pipe:
        assert msgspec.json.decode(pipe.read(), type=Ready).address
    assert (tmp_path / "other").read_bytes() == b""
    os.close(other)
    os.close(writing)

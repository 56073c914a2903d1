"""The folder of a session on a machine that cannot write it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tests.support.repo import Repo, own_home, remote, repo

from midflight.errors import MidflightError
from midflight.options import Options
from midflight.session.workplace import Workplace, checkout_of

__all__ = ["own_home", "remote", "repo"]


async def nothing() -> None:
    """Wait for nothing."""


async def test_folder_that_cannot_be_written_is_said_and_tried_again(
    remote: Repo, tmp_path: Path
) -> None:
    options = Options(cwd=Path(), repo=str(remote.folder))
    checkout = checkout_of(options, "5e" * 16, "fix", tmp_path / "work")
    assert checkout is not None
    workplace = Workplace(
        options,
        checkout,
        {},
        known=None,
        machine="big",
        turns=lambda: 0,
        resumed=False,
        report=lambda _: None,
        notice=lambda _, __: None,
        changed=lambda: None,
        recorded=nothing,
    )
    in_the_way = checkout.store.folder / f"config.new-{os.getpid()}"
    in_the_way.mkdir(parents=True)
    checkout.store.place.chmod(0o700)
    checkout.store.work.chmod(0o700)
    with pytest.raises(MidflightError, match="cannot be made ready: Is a directory") as failed:
        await workplace.prepare()
    assert failed.value.hint
    in_the_way.rmdir()
    assert await workplace.prepare()
    assert (checkout.folder / "old").read_text() == "one\n"
    await workplace.abandon()

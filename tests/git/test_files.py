"""Files are listed as git knows them."""

from __future__ import annotations

import os

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict
from midflight.git.files import list_files


async def test_new_files_come_first_and_ignored_ones_not_at_all(repo: Repo) -> None:
    repo.commit("kept/old", "a\n")
    repo.commit(".gitignore", "*.log\n")
    repo.write("kept/new one", "b\n")
    repo.write("big.log", "c\n")
    found = await list_files(repo.folder, 100)
    assert found[0] == "kept/new one"
    assert {".gitignore", "kept/old"} <= {*found[1:]}
    assert "big.log" not in found
    assert await list_files(repo.folder / "kept", 100) == ["new one", "old"]


async def test_list_is_bounded(repo: Repo) -> None:
    for number in range(5):
        repo.write(f"new{number}", "b\n")
    assert [name for name in await list_files(repo.folder, 2) if name.startswith("new")] == [
        "new0",
        "new1",
    ]


async def test_folder_without_git_is_a_conflict(tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(Conflict):
        await list_files(tmp_path_factory.mktemp("plain"), 9)


async def test_new_files_that_take_too_long_are_left_out(
    repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that hangs while it walks through the folders, and not while it reads its index."""
    repo.commit("old", "a\n")
    slow = repo.folder.parent / "bin"
    slow.mkdir()
    (slow / "git").write_text(
        '#!/bin/sh\ncase "$*" in *--others*) exec sleep 60;; esac\n'
        'PATH="${PATH#*:}" exec git "$@"\n'
    )
    (slow / "git").chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow}:{os.environ['PATH']}")
    assert "old" in await list_files(repo.folder, 9)

"""A git repository of a user, and a home without the settings of whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from midflight.git.repository import Repository, Worktree


class Repo:
    """A repository, and git as its user has it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def git(self, *arguments: str, at: Path | None = None) -> str:
        command = ["git", *arguments]
        done = subprocess.run(
            command, cwd=at or self.folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def write(self, name: str, text: str, at: Path | None = None) -> None:
        path = (at or self.folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, name: str, text: str, at: Path | None = None) -> str:
        self.write(name, text, at)
        self.git("add", "--", name, at=at)
        self.git("commit", "-qm", f"change {name}", at=at)
        return self.git("rev-parse", "HEAD", at=at)

    def branches(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname:short)", "refs/heads").split()

    def snapshots(self) -> list[str]:
        return self.git("for-each-ref", "--format=%(refname)", "refs/midflight").split()

    async def made(self, name: str = "fix", at: Path | None = None) -> Worktree:
        """Make a worktree, and return it as git tells of it."""
        repository = await Repository.of(at or self.folder)
        made = await repository.create(name, at or self.folder)
        return await self.seen(made.name)

    async def seen(self, name: str = "fix") -> Worktree:
        return await (await Repository.of(self.folder)).worktree(name)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep away the settings of whoever runs the tests; git has no identity either."""
    for name in [name for name in os.environ if name.startswith("GIT_") or name == "EMAIL"]:
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(home / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    return home


@pytest.fixture
def repo(tmp_path: Path) -> Repo:
    """Return a repository with one commit of one file, on `main`."""
    folder = tmp_path / "shop"
    folder.mkdir()
    repo = Repo(folder)
    repo.git("init", "-q", "-b", "main")
    repo.git("config", "user.name", "Pat")
    repo.git("config", "user.email", "pat@example.org")
    repo.commit("old", "one\n")
    return repo


@pytest.fixture
def remote(repo: Repo, tmp_path: Path) -> Repo:
    """Return a bare repository that others have too, with what `repo` has."""
    folder = tmp_path / "remote.git"
    repo.git("clone", "-q", "--bare", str(repo.folder), str(folder))
    repo.git("remote", "add", "origin", str(folder))
    repo.git("fetch", "-q", "origin")
    return Repo(folder)

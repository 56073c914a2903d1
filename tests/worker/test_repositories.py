"""Sessions with a repository on workers, whose machines share a path and no disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.repo import Repo, own_home, remote, repo
from tests.worker.conftest import Begin, Workers

from midflight.client.client import Client
from midflight.errors import Conflict, InvalidOption
from midflight.git.remote import session_ref
from midflight.testing import Text, ToolCall

__all__ = ["own_home", "remote", "repo"]


async def test_session_works_in_a_checkout_on_the_worker(
    open_worker: Workers, client: Client, begin: Begin, remote: Repo, tmp_path: Path
) -> None:
    """What is said to it while nobody has it leaves what is known of its work."""
    session = await begin(
        [ToolCall("Bash", {"command": "touch made"})],
        [Text("first")],
        repo=str(remote.folder),
        cwd=".",
        permission_mode="bypassPermissions",
    )
    before = (await client.info(session.id)).repository
    assert before is not None
    assert (before.remote, before.commit) == (str(remote.folder), "")

    worker = await open_worker(work=tmp_path / "work", setup="touch ready")
    assert session.first is not None
    assert (await session.first.result()).status == "completed"
    await worker.__aexit__(None, None, None)
    await session.send("and this")

    info = await client.info(session.id)
    assert info.repository is not None
    commit = remote.git("rev-parse", session_ref(session.id))
    assert (info.repository.commit, info.repository.problem) == (commit, "")
    assert remote.git("ls-tree", "--name-only", commit).split() == ["made", "old", "ready"]
    assert Path(info.cwd).is_relative_to(tmp_path / "work")
    await client.remove(session.id)
    assert remote.snapshots() == []


async def test_workers_of_a_label_have_their_checkouts_at_one_path(
    open_worker: Workers, tmp_path: Path
) -> None:
    await open_worker(work=tmp_path / "work")
    with pytest.raises(Conflict, match="the worker on one has the checkouts of gpu in"):
        await open_worker("two", work=tmp_path / "elsewhere")
    await open_worker("two", work=tmp_path / "work")
    await open_worker("three", labels=["cpu"], work=tmp_path / "elsewhere")


async def test_what_prepares_a_folder_is_for_the_workers_user_to_say(
    begin: Begin, remote: Repo
) -> None:
    with pytest.raises(InvalidOption, match="setup"):
        await begin(repo=str(remote.folder), cwd=".", setup="touch ready")

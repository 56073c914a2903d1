"""Sessions with a repository on workers, whose machines share a path and no disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.events import ended
from tests.support.repo import Repo, own_home, remote, repo
from tests.worker.conftest import Begin, Workers

from midflight import commands as c
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


async def test_work_that_could_not_be_pushed_keeps_its_session_there(
    open_worker: Workers, client: Client, begin: Begin, remote: Repo, tmp_path: Path
) -> None:
    """Until a later push works: then any worker may have it."""
    away = tmp_path / "away"
    session = await begin(
        [ToolCall("Bash", {"command": f"touch made; mv {remote.folder} {away}"})],
        [Text("first")],
        [ToolCall("Bash", {"command": "cat made"})],
        [Text("second")],
        repo=str(remote.folder),
        cwd=".",
        permission_mode="bypassPermissions",
    )
    worker = await open_worker(work=tmp_path / "work")
    await ended(session.first)
    await open_worker("two", work=tmp_path / "work")
    await open_worker("three", labels=["cpu"], work=tmp_path / "work")
    await worker.__aexit__(None, None, None)

    with pytest.raises(Conflict, match="stays on one, which alone has its last work") as refused:
        await client.carry_out(session.id, c.Relocate(on="cpu"))
    assert "git push failed" in str(refused.value)
    assert (await client.info(session.id)).label == "gpu"
    again = await session.send("and this", delivery="queue")
    said = "a worker with the label gpu on its machine one, which alone has its last work: there is"
    assert said in (await client.info(session.id)).waits_for

    away.rename(remote.folder)
    worker = await open_worker(work=tmp_path / "work")
    assert (await ended(again)).text == "second"
    await worker.__aexit__(None, None, None)
    assert "made" in remote.git("ls-tree", "--name-only", session_ref(session.id))
    await client.carry_out(session.id, c.Relocate(on="cpu"))
    assert (await client.info(session.id)).label == "cpu"


async def test_what_prepares_a_folder_is_for_the_workers_user_to_say(
    begin: Begin, remote: Repo
) -> None:
    with pytest.raises(InvalidOption, match="setup"):
        await begin(repo=str(remote.folder), cwd=".", setup="touch ready")

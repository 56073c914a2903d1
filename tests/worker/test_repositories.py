"""Sessions with a repository on workers, whose machines share a path and no disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.support.events import PATIENCE_S, ended, until
from tests.support.repo import Repo, own_home, remote, repo
from tests.worker.conftest import Begin, Workers
from tests.worker.test_moves import die

from midflight import commands as c
from midflight.client.client import Client
from midflight.errors import Conflict, InvalidOption
from midflight.events import Notice, ToolStarted
from midflight.git.remote import session_ref
from midflight.session.workplace import MISSING
from midflight.testing import FakeModel, Text, ToolCall, Wait

__all__ = ["own_home", "remote", "repo"]


async def pushed(client: Client, session: str, *, turn: int) -> None:
    """Wait until the work of a turn is pushed."""
    async with asyncio.timeout(PATIENCE_S):
        while (found := (await client.info(session)).repository) is None or found.turn != turn:
            pass  # the journal is asked again


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


async def test_session_whose_push_fails_while_it_moves_waits_there(
    open_worker: Workers, client: Client, begin: Begin, models: dict[str, FakeModel], remote: Repo
) -> None:
    steps = [Wait("on"), ToolCall("Bash", {"command": f"touch made; rm -r {remote.folder}"})]
    chosen = {"repo": str(remote.folder), "cwd": ".", "permission_mode": "bypassPermissions"}
    session = await begin(steps, [Text("first")], **chosen)
    await open_worker(work=remote.folder.with_name("work"))
    await open_worker("two", labels=["cpu"], work=remote.folder.with_name("work"))
    await models[session.id].reached("on")
    again = await session.send("and this", delivery="queue")

    await client.carry_out(session.id, c.Relocate(on="cpu"))
    models[session.id].signal("on")

    await ended(session.first)
    async with asyncio.timeout(PATIENCE_S):
        while not (said := (await client.info(session.id)).waits_for):
            pass  # it leaves when the push has failed
    assert "the label cpu on its machine one, which alone has its last work: there is" in said
    assert again.state == "accepted"


async def test_work_that_died_unpushed_with_its_worker_is_said(
    open_worker: Workers,
    client: Client,
    begin: Begin,
    *,
    models: dict[str, FakeModel],
    remote: Repo,
    server: str,
    tmp_path: Path,
) -> None:
    """To people and to the agent, which remembers it. Its machine does not bring it back unseen.

    The snapshot of a turn comes after its end; it is held up here until the worker is dead.
    """
    session = await begin(
        [Wait("on"), ToolCall("Bash", {"command": "touch lost"})],
        [Text("first")],
        [ToolCall("Bash", {"command": "touch made; ls"})],
        [Text("second")],
        [ToolCall("Bash", {"command": "ls"})],
        [Text("third")],
        repo=str(remote.folder),
        cwd=".",
        permission_mode="bypassPermissions",
    )
    model = models[session.id]
    first = await open_worker(work=tmp_path / "one")
    await model.reached("on")
    (live,) = first._sessions.live()  # noqa: SLF001 - the session itself
    async with live._workplace._one_snapshot:  # noqa: SLF001 - as one that is killed here
        model.signal("on")
        await ended(session.first)
        await die(first, server)
        second = await open_worker("two", work=tmp_path / "two")
        again = await session.send("and this", delivery="queue")
        assert (await ended(again)).text == "second"
        await pushed(client, session.id, turn=2)
    await first.__aexit__(None, None, None)
    await second.__aexit__(None, None, None)
    await open_worker("one", work=tmp_path / "one")
    assert (await ended(await session.send("and that", delivery="queue"))).text == "third"

    said = [request.last_user_text for request in model.requests]
    assert said[2] == f"{MISSING.format('turn 1')}\n\nand this"
    assert said[4] == "and that"
    assert "lost" not in remote.git("ls-tree", "--name-only", session_ref(session.id)).split()
    texts = [event.text for event in await client.history(session.id) if isinstance(event, Notice)]
    assert any("what turn 1 has changed was not pushed from one" in text for text in texts)
    assert any("what this machine alone had of it is kept there as" in text for text in texts)


async def test_what_prepares_a_folder_is_for_the_workers_user_to_say(
    begin: Begin, remote: Repo
) -> None:
    with pytest.raises(InvalidOption, match="setup"):
        await begin(repo=str(remote.folder), cwd=".", setup="touch ready")


async def test_interrupt_while_a_folder_is_prepared_gives_the_place_to_the_next(
    begin: Begin, open_worker: Workers, remote: Repo, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    first = await begin(repo=str(remote.folder), cwd=".")
    second = await begin([Text("b")], [Text("c")], repo=str(remote.folder), cwd=".")
    await open_worker(capacity=1, setup=f"until [ -e {go} ]; do sleep 0.02; done")
    await until(first, ToolStarted)

    await first.interrupt()

    assert (await ended(first.first)).status == "interrupted"
    await until(second, ToolStarted)
    go.touch()
    assert (await ended(second.first)).text == "b"
    assert (await ended(await first.send("now then"))).text == "c"

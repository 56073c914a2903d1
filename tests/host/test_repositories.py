"""A session with a repository: its checkout, its snapshots, and where it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.support.host import share_secrets, table_of
from tests.support.journal import sql
from tests.support.repo import Repo, own_home, remote, repo

from midflight import events as e
from midflight.errors import Conflict
from midflight.git.remote import Remote, session_ref
from midflight.git.store import Store
from midflight.host import Host
from midflight.journal import Journal
from midflight.session import setup
from midflight.session.message import Message
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Wait

__all__ = ["own_home", "remote", "repo"]

Hosts = Callable[..., Awaitable[Host]]
Models = Callable[..., Awaitable[FakeModel]]
Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

WORK = ToolCall("Bash", {"command": "echo done > made; echo secret > hidden"})

AGAIN = ToolCall("Bash", {"command": "cat made > again"})


@pytest.fixture
async def begin(fake_model: Models, open_host: Hosts, remote: Repo, tmp_path: Path) -> Begin:
    """Return a function that begins a session with a repository on a machine, and its task."""

    async def start(
        *steps: Any, host: Host | None = None, **options: Any
    ) -> tuple[FakeModel, Session]:
        model = await fake_model(*steps)
        host = host or await open_host(work=tmp_path / "one")
        given = {"agent": "fake", "env": model.env(tmp_path), "repo": str(remote.folder)}
        given |= {"permission_mode": "bypassPermissions"}
        return model, await host.dispatch("Fix it", **(given | options))

    return start


def texts(events: list[e.Event], level: str) -> list[str]:
    return [each.text for each in events if isinstance(each, e.Notice) and each.level == level]


async def told(session: Session) -> list[e.Event]:
    await session.close("parked")
    await session.over()
    return [event async for event in session.events()]


async def heard(session: Session, part: str) -> None:
    """Wait until a session says something to people."""
    async for event in session.events():
        if isinstance(event, e.Notice) and part in event.text:
            return


async def answered(session: Session) -> None:
    assert session.first is not None
    assert (await session.first.result()).status == "completed"


async def test_session_works_in_its_checkout_and_its_ref_has_its_work(
    begin: Begin, remote: Repo, repo: Repo, state: Path
) -> None:
    repo.write(".gitignore", "hidden\n")
    repo.git("add", ".")
    repo.git("commit", "-qm", "ignore")
    repo.git("push", "-q", "origin", "main")

    _, session = await begin([WORK], [Text("done")])
    await answered(session)
    await told(session)

    folder = session.options.cwd
    assert (folder / "made").read_text() == "done\n"
    assert Repo(folder).git("status", "--porcelain") == "?? made"
    ref = session_ref(session.id)
    assert remote.git("ls-tree", "--name-only", ref).split() == [".gitignore", "made", "old"]
    async with Journal(state) as journal:
        info = await journal.info(session.id)
    assert info.cwd == str(folder)
    assert info.repository is not None
    assert info.repository.commit == remote.git("rev-parse", ref)
    assert info.repository.problem == ""


async def test_session_begins_in_a_folder_of_the_ref_that_is_asked_for(
    begin: Begin, repo: Repo
) -> None:
    repo.git("switch", "-qc", "topic")
    repo.commit("api/main", "x")
    repo.git("push", "-q", "origin", "topic")
    _, session = await begin([Text("done")], ref="topic", cwd="api")
    await answered(session)
    assert (session.options.cwd / "main").read_text() == "x"


@pytest.mark.parametrize("wrong", [{"ref": "nowhere"}, {"cwd": "nowhere"}])
async def test_session_without_such_a_checkout_does_not_begin(
    begin: Begin, open_host: Hosts, wrong: dict[str, str], tmp_path: Path
) -> None:
    host = await open_host(work=tmp_path / "one")
    with pytest.raises(Conflict, match=r"has no (folder )?nowhere"):
        await begin(host=host, **wrong)
    assert not table_of(host)


async def test_session_goes_on_elsewhere_with_what_it_has_pushed(
    begin: Begin, open_host: Hosts, remote: Repo, tmp_path: Path
) -> None:
    one, other = [await open_host(work=tmp_path / name) for name in ("one", "other")]
    share_secrets(one, other)
    _, session = await begin([WORK], [Text("first")], [AGAIN], [Text("x")], host=one)
    await answered(session)
    before = session.options.cwd
    while not await asyncio.to_thread(remote.snapshots):
        pass  # the test's own time ends it
    (before / "late").write_text("of what runs in the background")
    await told(session)

    resumed = await other.session(session.id)
    assert (await (await resumed.send("again")).result()).status == "completed"
    folder = resumed.options.cwd
    await told(resumed)

    assert folder != before
    assert (folder / "again").read_text() == "done\n"
    names = remote.git("ls-tree", "--name-only", session_ref(session.id)).split()
    assert names == ["again", "hidden", "late", "made", "old"]


async def test_next_turn_begins_when_the_last_one_is_committed(begin: Begin, remote: Repo) -> None:
    """Its agent would change the files meanwhile."""
    bash = [ToolCall("Bash", {"command": f"echo {n} > n"}) for n in (1, 2)]
    model, session = await begin([Wait("go"), bash[0]], [Text("a")], [bash[1]], [Text("b")])
    second = await session.send("and this", delivery="queue")
    model.signal("go")
    assert (await second.result()).status == "completed"
    await told(session)
    ref = session_ref(session.id)
    commits = remote.git("rev-list", "--first-parent", f"main..{ref}^2", ref).split()
    assert sorted(remote.git("show", f"{each}:n") for each in commits) == ["1", "2"]


@pytest.mark.parametrize("when", ["after its first push", "before it"])
async def test_ref_that_somebody_else_has_changed_is_built_upon(
    begin: Begin, repo: Repo, remote: Repo, when: str
) -> None:
    """Also while the next turn ends, whose work is not lost beside that."""
    touch = [ToolCall("Bash", {"command": f"touch {name}"}) for name in "ab"]
    _, session = await begin([touch[0]], [Text("a")], [touch[1]], [Text("b")])
    if when == "after its first push":
        await answered(session)
    ref = session_ref(session.id)
    theirs = repo.commit("theirs", "x")
    repo.git("push", "-q", "--force", "origin", f"HEAD:{ref}")
    await answered(session)
    assert (await (await session.send("again")).result()).status == "completed"
    events = await told(session)
    assert any("was changed by somebody else" in text for text in texts(events, "warning"))
    assert remote.git("ls-tree", "--name-only", ref).split() == ["a", "b", "old"]
    remote.git("merge-base", "--is-ancestor", theirs, ref)


async def test_what_was_pushed_before_its_host_was_killed_is_gone_on_with(
    begin: Begin, open_host: Hosts, remote: Repo, state: Path, tmp_path: Path
) -> None:
    """The journal does not know of the push."""
    one, other = [await open_host(work=tmp_path / name) for name in ("one", "other")]
    share_secrets(one, other)
    _, session = await begin([WORK], [Text("first")], [AGAIN], [Text("x")], host=one)
    await answered(session)
    await told(session)
    base = remote.git("rev-parse", "main")
    known = f'{{"remote":"{remote.folder}","commit":"{base}"}}'
    sql(state, "UPDATE sessions SET repository = :known", known=known)

    resumed = await other.session(session.id)
    assert (await (await resumed.send("again")).result()).status == "completed"
    assert (resumed.options.cwd / "again").read_text() == "done\n"


async def test_failed_push_is_said_until_a_later_one_works(
    begin: Begin, remote: Repo, state: Path, tmp_path: Path
) -> None:
    away = tmp_path / "away"
    _, session = await begin(
        [ToolCall("Bash", {"command": f"touch a; mv {remote.folder} {away}"})],
        [Text("a")],
        [ToolCall("Bash", {"command": "touch b"})],
        [Text("b")],
    )
    await answered(session)
    await heard(session, "could not be pushed")
    async with Journal(state) as journal:
        info = await journal.info(session.id)
    assert info.repository is not None
    assert "git push failed" in info.repository.problem
    away.rename(remote.folder)
    assert (await (await session.send("again")).result()).status == "completed"
    events = await told(session)
    [warning] = [text for text in texts(events, "warning") if "could not be pushed" in text]
    assert "stays on this machine" in warning
    assert any("pushed again" in text for text in texts(events, "info"))
    names = remote.git("ls-tree", "--name-only", session_ref(session.id)).split()
    assert names == ["a", "b", "old"]


async def test_setup_is_the_first_call_of_a_tool(begin: Begin) -> None:
    _, session = await begin([Text("done")], setup="cat old; echo $MIDFLIGHT_SESSION; touch ready")
    await answered(session)
    events = await told(session)
    started, *_ = [each for each in events if isinstance(each, e.ToolStarted)]
    ended, *_ = [each for each in events if isinstance(each, e.ToolEnded)]
    assert (started.name, started.input["command"].split(";")[0]) == ("setup", "cat old")
    assert (ended.call, ended.status) == (started.call, "completed")
    assert ended.output == f"one\n{session.id}\n"
    begun = next(each for each in events if isinstance(each, e.TurnStarted))
    assert (started.seq or 0) < (ended.seq or 0) < (begun.seq or 0)
    assert (session.options.cwd / "ready").exists()


async def test_setup_that_fails_is_seen_and_the_agent_starts(begin: Begin) -> None:
    _, session = await begin([Text("done")], setup="echo why >&2; exit 3")
    await answered(session)
    events = await told(session)
    [ended] = [each for each in events if isinstance(each, e.ToolEnded)]
    assert (ended.status, ended.output) == ("failed", "why\n")
    assert any("setup has failed, exit code 3" in text for text in texts(events, "warning"))


async def test_setup_runs_once_in_a_checkout(
    begin: Begin, open_host: Hosts, tmp_path: Path
) -> None:
    one, again = [await open_host(work=tmp_path / "one") for _ in range(2)]
    share_secrets(one, again)
    _, session = await begin([Text("a")], [Text("b")], host=one, setup="echo x >> ready")
    await answered(session)
    await told(session)
    resumed = await again.session(session.id)
    assert (await (await resumed.send("again")).result()).status == "completed"
    assert (resumed.options.cwd / "ready").read_text() == "x\n"


async def test_setup_of_the_machine_is_for_those_that_name_none(
    begin: Begin, open_host: Hosts, tmp_path: Path
) -> None:
    host = await open_host(work=tmp_path / "one", setup="touch ready")
    _, session = await begin([Text("a")], host=host)
    await answered(session)
    assert (session.options.cwd / "ready").exists()


async def test_setup_that_does_not_end_is_ended(
    begin: Begin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And with it what it has started: no process is left."""
    monkeypatch.setattr(setup, "SETUP_S", 0.5)
    _, session = await begin([Text("a")], setup="sleep 1000 & sleep 1000")
    await answered(session)
    events = await told(session)
    assert any("it took more than" in text for text in texts(events, "warning"))


@pytest.fixture
async def preparing(
    begin: Begin, open_host: Hosts, tmp_path: Path
) -> Callable[..., Awaitable[tuple[Path, Session, Message]]]:
    """Return a function to a session whose setup waits for a file, elsewhere, with a message."""

    async def start(*steps: Any) -> tuple[Path, Session, Message]:
        go = tmp_path / "go"
        go.touch()
        one, two = [await open_host(work=tmp_path / name) for name in ("one", "two")]
        share_secrets(one, two)
        wait = f"until [ -e {go} ]; do sleep 0.02; done; echo x >> ready"
        _, session = await begin([Text("a")], *steps, host=one, setup=wait)
        await answered(session)
        await told(session)
        go.unlink()
        resumed = await two.session(session.id)
        seen = resumed.last_seq
        message = await resumed.send("again")
        async for event in resumed.events(seen):
            if isinstance(event, e.ToolStarted):
                break
        return go, resumed, message

    return start


@pytest.mark.parametrize("how", ["interrupt", "interrupt with a steer", "cancel"])
async def test_setup_that_nobody_waits_for_is_stopped_and_runs_again_later(
    preparing: Callable[..., Awaitable[tuple[Path, Session, Message]]], how: str
) -> None:
    go, session, message = await preparing([Text("b")])

    messages = [message]
    if "steer" in how:
        messages.append(await session.send("and this", delivery="steer"))
    await (message.cancel() if how == "cancel" else session.interrupt())

    assert {(await each.result()).status for each in messages} == {"interrupted"}
    *_, ended = [each async for each in session.stream() if isinstance(each, e.ToolEnded)]
    assert (ended.name, ended.status) == ("setup", "cancelled")
    assert session.status == "idle"
    go.touch()
    assert (await (await session.send("once more")).result()).text == "b"
    assert (session.options.cwd / "ready").read_text() == "x\nx\n"  # one on each machine


async def test_redirect_leaves_the_setup_alone_and_is_what_the_agent_gets(
    preparing: Callable[..., Awaitable[tuple[Path, Session, Message]]],
) -> None:
    go, session, message = await preparing([Text("b")])

    better = await session.redirect("do that instead")
    go.touch()

    assert (await message.result()).status == "interrupted"
    assert (await better.result()).text == "b"
    setups = [each for each in await told(session) if isinstance(each, e.ToolStarted)]
    assert len(setups) == 2  # one on each machine


async def test_files_of_the_machine_are_there_before_setup(
    begin: Begin, open_host: Hosts, repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    repo.write(".gitignore", ".env\n")
    repo.write(".worktreeinclude", ".env\n")
    repo.write(".gitattributes", "*.bin filter=lfs\n")
    repo.git("add", ".")
    repo.git("commit", "-qm", "list")
    repo.git("push", "-q", "origin", "main")
    work = tmp_path / "one"
    Repo(Store(Remote.parse(str(remote.folder)), work).files).write(".env", "KEY")
    host = await open_host(work=work)
    _, session = await begin([Text("a")], host=host, setup="cat .env")
    await answered(session)
    events = await told(session)
    [ended] = [each for each in events if isinstance(each, e.ToolEnded)]
    assert ended.output == "KEY\n"
    assert any("Git LFS are pointers" in text for text in texts(events, "warning"))

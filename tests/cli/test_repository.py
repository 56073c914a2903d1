"""``midflight run --repo``, and what makes a new folder ready."""

from __future__ import annotations

import functools
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Begin, Say, Start
from tests.support.repo import Repo, own_home, remote, repo

from midflight import events as e
from midflight.git.remote import session_ref
from midflight.testing import ScriptedModel, Text, ToolCall

__all__ = ["own_home", "remote", "repo"]

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.usefixtures("no_agent_left", "patience", "own_home", "state"),
]

Models = Callable[..., Awaitable[ScriptedModel]]


@pytest.fixture
def setup(tmp_path: Path) -> None:
    """Have the user's file name a command for new folders."""
    file = tmp_path / "config" / "midflight" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('[worktree]\nsetup = "cat .env; echo ready"\n')
    file.chmod(0o600)


@pytest.fixture
def secrets(repo: Repo) -> None:
    """Have the repository ignore a file that its sessions need."""
    repo.write(".gitignore", ".env\n")
    repo.write(".worktreeinclude", ".env\n")
    repo.git("add", ".")
    repo.git("commit", "-qm", "list")
    repo.write(".env", "KEY")


def where(tmp_path: Path) -> dict[str, str]:
    """Return the variables with which a program keeps all in the test's folders."""
    return {
        f"XDG_{name}_HOME": str(tmp_path / name.lower()) for name in ("DATA", "CONFIG", "STATE")
    }


@pytest.fixture
def claude(midflight: Start, tmp_path: Path) -> Start:
    """Start the program, with Claude Code, in the test's folders."""
    return functools.partial(midflight, **where(tmp_path))


@pytest.fixture
def fake(fake_midflight: Start, tmp_path: Path) -> Start:
    """The same with the fake agent."""
    return functools.partial(fake_midflight, **where(tmp_path))


def ended(output: str) -> list[e.ToolEnded]:
    told = [e.decode(line.encode()) for line in output.splitlines()]
    return [each for each in told if isinstance(each, e.ToolEnded)]


async def test_agent_works_in_a_checkout_and_its_ref_has_its_work(
    claude: Start, model: Models, repo: Repo, remote: Repo, say: Say
) -> None:
    """The folder stands for its remote; what is changed there goes along, and no new file."""
    repo.write("api/main", "x")
    repo.git("add", ".")
    repo.git("commit", "-qm", "api")
    repo.write("old", "two\n")
    repo.write("new", "x")
    bash = ToolCall("Bash", {"command": "cat ../old > made; git log --oneline | wc -l >> made"})
    given = ("run", "--with-changes", "--allow", "Bash", "--name", "fix", "do it", "--repo")
    scripted = await model([bash], Text("It is done."))
    done = await (await claude(scripted, *given, str(repo.folder / "api"))).done()

    assert (done.code, "It is done." in done.out) == (0, True)
    assert "files that git does not have stay here: 1" in done.err
    [ref] = remote.snapshots()
    assert f"it is pushed to {ref}" in done.err
    assert remote.git("ls-tree", "-r", "--name-only", ref).split() == [
        *("api/made", "api/main", "old")
    ]
    assert remote.git("show", f"{ref}:api/made").split() == ["two", "3"]
    shown = (await say("show", "fix")).out
    assert f"  repo     {remote.folder}\n" in shown
    assert f"  work     {ref}\n" in shown
    assert (await say("rm", "fix")).out.startswith("removed fix\nits checkout stays: ")
    assert remote.snapshots() == []


@pytest.mark.usefixtures("secrets", "setup")
async def test_new_worktree_has_what_it_needs_before_the_agent_starts(
    fake: Start, model: Models, repo: Repo
) -> None:
    given = ("run", "--worktree", "--json", "--cwd", str(repo.folder), "do it")
    done = await (await fake(await model(Text("done")), *given)).done()
    assert done.code == 0
    assert [(each.name, each.output) for each in ended(done.out)] == [("setup", "KEYready\n")]


async def test_remote_that_cannot_be_reached_is_an_error_that_says_why(
    fake: Start, model: Models, tmp_path: Path
) -> None:
    url = str(tmp_path / "nowhere.git")
    done = await (await fake(await model(), "run", "--repo", url, "x")).done()
    assert (done.code, "git fetch failed" in done.err) == (1, True)
    assert "Traceback" not in done.err


async def test_ref_that_stays_at_the_remote_is_said(
    begin: Begin, say: Say, remote: Repo, tmp_path: Path
) -> None:
    _, session = await begin([Text("done")], repo=str(remote.folder), cwd=".", name="fix")
    assert session.first is not None
    await session.first.result()
    await session.close("parked")
    remote.folder.rename(tmp_path / "away")
    done = await say("rm", "fix")
    assert (done.code, "the work that it has pushed is not" in done.err) == (1, True)
    assert f"git push {remote.folder} :{session_ref(session.id)}" in done.err
    assert json.loads((await say("ls", "--json")).out) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--repo", "https://pat:hunter22@host.example/shop"], "--repo: a password or a token"),
        (["--repo", "https://hunter22@host.example/shop"], "--repo: a password or a token"),
        (["--repo", "ext::sh -c id"], "--repo: it is no address"),
        (["--repo", "git@host.example:shop", "--ref", "-x"], "expected one argument"),
        (["--repo", "git@host.example:shop", "--ref=-x"], "--ref: '-x' cannot name"),
        (["--repo", "git@host.example:shop", "--cwd", "/etc"], "--cwd: '/etc' is no folder within"),
        (["--ref", "main"], "--ref: there is no repository"),
        (["--with-changes"], "--with-changes is about a folder"),
        (["--repo", "git@host.example:shop", "--worktree"], "leave --worktree out"),
        (["--repo", ".", "--cwd", "."], "leave --cwd out"),
        (["--repo", ".", "--ref", "main", "--with-changes"], "leave --ref out"),
        (["--repo", "."], "is in no git repository"),
    ],
)
async def test_what_cannot_be_meant_is_refused_before_anything_is_done(
    say: Say, given: list[str], said: str
) -> None:
    done = await say("run", "--agent", "fake", "do it", *given)
    assert done.code in {1, 2}
    assert said in done.err
    assert "hunter22" not in done.err + done.out


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--on", "a b"], "cannot be a label"),
        (["--on", "gpu"], "this one is a file"),
        (["--on", "gpu", "--worktree"], "leave --worktree out"),
        (["--name", " "], "--name: "),
        (["--detach", "--name", " "], "--name: "),
    ],
)
async def test_nothing_is_pushed_for_a_session_that_cannot_begin(
    say: Say, repo: Repo, remote: Repo, given: list[str], said: str
) -> None:
    repo.commit("more", "x")
    where = ("--repo", str(repo.folder))
    done = await say("run", "--agent", "fake", "do it", *where, *given)
    assert (done.code in {1, 2}, said in done.err) == (True, True), done
    assert (remote.snapshots(), "is pushed" in done.err) == ([], False)

"""What a repository would have git run is not run, and what has changed is told."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict, MidflightError
from midflight.git.command import Git
from midflight.git.diff import MAX_INDEX, base_of, beside, diff
from midflight.git.discard import discard
from midflight.git.files import list_files
from midflight.git.merge import hand_over, merge

Trap = Callable[[str], str]

HOOKS = (
    *("post-checkout", "pre-commit", "prepare-commit-msg", "commit-msg", "post-commit"),
    *("pre-merge-commit", "post-merge", "reference-transaction", "post-index-change"),
)
FILTERS = ("filter.trap.clean", "filter.trap.smudge", "filter.trap.process")


@pytest.fixture
def sprung(tmp_path: Path) -> Path:
    """Return the folder that each trap leaves a file in."""
    folder = tmp_path / "sprung"
    folder.mkdir()
    return folder


@pytest.fixture
def trapped(repo: Repo, sprung: Path) -> Repo:
    """Return a repository that runs a program wherever git lets it."""
    for hook in HOOKS:
        path = repo.folder / ".git" / "hooks" / hook
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\ntouch {sprung}/{hook}\n")
        path.chmod(0o755)
    repo.write(".gitattributes", "* filter=trap diff=trap merge=trap\n")
    repo.git("add", ".gitattributes")
    repo.git("-c", "core.hooksPath=/dev/null", "commit", "-qm", "attributes")
    for key in (
        *("diff.trap.command", "diff.trap.textconv", "diff.external", "core.fsmonitor"),
        *("merge.trap.driver", "gpg.program", "core.editor", "core.pager", *FILTERS),
    ):
        repo.git("config", key, f"touch {sprung}/{key} #")
    for key in (
        "commit.gpgSign",
        "merge.verifySignatures",
        "filter.trap.required",
        "rerere.enabled",
    ):
        repo.git("config", key, "true")
    repo.git("config", "branch.main.mergeOptions", "-S")
    _tidy(sprung)
    return repo


async def test_programs_that_the_repository_names_are_not_run(trapped: Repo, sprung: Path) -> None:
    tree = await trapped.made()
    (tree.folder / "old").write_text("theirs\n")
    (tree.folder / "new").write_text("new\n")
    assert "+theirs" in (await diff(tree.folder, [await base_of(tree)])).diff
    assert "new" in await list_files(tree.folder, 9)
    await hand_over(tree, "fix")
    assert (await merge(tree, "fix")).new
    (trapped.folder / "old").write_text("ours\n")
    trapped.git("-c", "core.hooksPath=/dev/null", *_plain(), "commit", "-qam", "ours")
    (tree.folder / "old").write_text("theirs again\n")
    _tidy(sprung)
    assert (await merge(tree, "fix")).conflicts == ["old"]
    assert (await discard(tree)).snapshot
    assert _names(sprung) == []


def _tidy(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _plain() -> list[str]:
    names = ("core.fsmonitor=", "commit.gpgSign=false", "filter.trap.required=false", "core.pager=")
    return [part for name in (*names, *(f"{key}=" for key in FILTERS)) for part in ("-c", name)]


async def test_filters_of_the_user_run_and_those_of_the_repository_do_not(repo: Repo) -> None:
    repo.commit(".gitattributes", "*.up filter=up\n*.bad filter=bad\n")
    repo.git("config", "--global", "filter.up.clean", "tr a-z A-Z")
    repo.git("config", "--global", "filter.up.smudge", "tr A-Z a-z")
    repo.git("config", "filter.bad.clean", "tr a-z A-Z")
    tree = await repo.made()
    repo.write("x.up", "text\n", at=tree.folder)
    repo.write("x.bad", "text\n", at=tree.folder)
    await merge(tree, "fix")
    assert repo.git("show", "main:x.up") == "TEXT"
    assert repo.git("show", "main:x.bad") == "text"
    assert (repo.folder / "x.up").read_text() == "text\n"
    repo.git("config", "filter.up.clean", "sed s/^/bad/")  # the user's stands
    repo.write("y.up", "text\n", at=tree.folder)
    await merge(tree, "fix")
    assert repo.git("show", "main:y.up") == "TEXT"


@pytest.mark.parametrize("whose", ["--local", "--global"])
async def test_merge_is_as_it_is_whatever_settings_say_of_it(repo: Repo, whose: str) -> None:
    repo.git("config", whose, "branch.main.mergeOptions", "--strategy=ours -m theirs")
    tree = await repo.made()
    repo.write("new", "by the agent\n", at=tree.folder)
    assert (await merge(tree, "fix")).new
    assert repo.git("show", "main:new") == "by the agent"
    assert repo.git("log", "-1", "--format=%s") == "Merge branch 'midflight/fix' into main"


async def test_filter_that_cannot_be_switched_off_is_refused(repo: Repo, sprung: Path) -> None:
    repo.commit(".gitattributes", "* filter=a=b\n")
    repo.git("config", "filter.a=b.clean", f"touch {sprung}/clean")
    with pytest.raises(Conflict, match="names a program and cannot be switched off"):
        await repo.made()
    assert _names(sprung) == []


async def test_environment_cannot_lead_git_elsewhere(
    repo: Repo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    repo.write("old", "two\n")
    assert "+two" in (await diff(repo.folder, ["HEAD"])).diff


async def test_git_fetches_nothing(repo: Repo, tmp_path: Path, sprung: Path) -> None:
    git = await Git.open(repo.folder)
    output = await git.run("ls-remote", str(tmp_path / "shop"))
    assert output.code
    assert "not allowed" in output.stderr


async def test_git_that_takes_too_long_is_ended(repo: Repo) -> None:
    git = await Git.open(repo.folder)
    with pytest.raises(MidflightError, match=r"git -c took more than 0 s"):
        await git.run("-c", "alias.x=!sleep 60", "x", timeout_s=0.0)


async def test_missing_git_is_an_error(repo: Repo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repo.folder))
    with pytest.raises(MidflightError, match="git cannot be run: No such file"):
        await Git.open(repo.folder)


# Changes ------------------------------------------------------------------------------------


async def test_diff_begins_where_the_branch_left_its_origin(repo: Repo) -> None:
    tree = await repo.made()
    repo.commit("mine", "a\n", at=tree.folder)
    repo.commit("theirs", "b\n")
    repo.git("merge", "-q", "--no-edit", "main", at=tree.folder)
    repo.write("new", "c\n", at=tree.folder)
    changes = await diff(tree.folder, [await base_of(tree)])
    assert ("mine" in changes.files, "new" in changes.files, "theirs" in changes.files) == (
        True,
        True,
        False,
    )
    repo.git("branch", "-m", "main", "renamed")
    assert await base_of(await repo.seen()) == tree.base


async def test_diff_shows_conflicting_files_as_they_stand(repo: Repo) -> None:
    tree = await repo.made()
    repo.commit("old", "theirs\n", at=tree.folder)
    repo.commit("old", "ours\n")
    with pytest.raises(subprocess.CalledProcessError):
        repo.git("merge", "main", at=tree.folder)
    assert "+<<<<<<< HEAD" in (await diff(tree.folder, [await base_of(tree)])).diff


async def test_diff_sees_a_change_within_the_second_of_the_last_look(repo: Repo) -> None:
    file, index = repo.folder / "old", repo.folder / ".git" / "index"
    for _ in range(20):  # git looks at seconds, and ours may end right here
        repo.write("old", "one\n")
        os.utime(file, (1, 1))
        repo.git("add", "old")
        os.utime(index, (1, 1))
        looked = file.stat().st_ctime
        repo.write("old", "two\n")
        os.utime(file, (1, 1))
        if int(file.stat().st_ctime) == int(looked):
            break
    assert "+two" in (await diff(repo.folder, ["HEAD"])).diff


async def test_diff_changes_nothing(repo: Repo) -> None:
    repo.write("new", "c\n")
    repo.git("add", "--intent-to-add", "new")
    before = sorted(path for path in (repo.folder / ".git").rglob("*") if path.is_file())
    index = (repo.folder / ".git" / "index").read_bytes()
    assert "+c" in (await diff(repo.folder, ["HEAD"])).diff
    assert sorted(path for path in (repo.folder / ".git").rglob("*") if path.is_file()) == before
    assert (repo.folder / ".git" / "index").read_bytes() == index


async def test_diff_leaves_out_files_outside_of_a_sparse_checkout(repo: Repo) -> None:
    repo.commit("in/file", "a\n")
    repo.commit("out/file", "a\n")
    repo.git("sparse-checkout", "set", "in")
    assert (await diff(repo.folder, ["HEAD"])).diff == ""


async def test_diff_without_a_commit_has_only_new_files(tmp_path: Path) -> None:
    repo = Repo(tmp_path)
    repo.git("init", "-q")
    repo.write("new", "c\n")
    changes = await diff(tmp_path, ["HEAD"])
    assert (changes.commit, "+c" in changes.diff) == ("", True)


async def test_file_name_that_is_no_text_is_handled(repo: Repo) -> None:
    tree = await repo.made()
    name = os.fsdecode(b"\xff\xfe")
    repo.write(name, "theirs\n", at=tree.folder)
    repo.commit(name, "ours\n")
    assert (await merge(tree, "fix")).conflicts == [name]


@pytest.mark.parametrize("how", ["device", "pipe", "folder", "huge", "loop"])
async def test_index_that_is_no_file_of_git_is_not_copied(repo: Repo, how: str) -> None:
    index = repo.folder / ".git" / "index"
    index.unlink()
    match how:
        case "device":
            index.symlink_to("/dev/zero")
        case "pipe":
            os.mkfifo(index)
        case "folder":
            index.mkdir()
        case "loop":
            index.symlink_to("index")
        case _:
            index.touch()
            os.truncate(index, MAX_INDEX + 1)
    with pytest.raises(Conflict, match=r"index .*(cannot be copied|the limit is)"):
        await asyncio.wait_for(diff(repo.folder, ["HEAD"]), 60)


async def test_copy_of_an_index_is_as_old_as_the_index(repo: Repo) -> None:
    index = repo.folder / ".git" / "index"
    os.utime(index, ns=(1, 1_700_000_000_123_456_789))
    async with beside(repo.folder) as git:
        copy = await git.ask("rev-parse", "--git-path", "index")
        assert copy != str(index)
        assert _written(Path(copy)) == _written(index)


def _written(path: Path) -> int:
    return path.stat().st_mtime_ns

"""What names a remote, and what has only the looks of it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from tests.support.repo import Repo

from midflight.errors import Conflict, MidflightError
from midflight.git import store as stores
from midflight.git.remote import Remote, is_ref, session_ref
from midflight.git.store import Store, forget

SESSION = "5e" * 16


@pytest.mark.parametrize(
    "url",
    [
        "https://host.example/team/shop.git",
        "https://host.example:8443/shop",
        "ssh://git@host.example:22/shop.git",
        "git@host.example:team/shop.git",
        "host:shop",
        "host:shop@v2",
        "/srv/git/my shop.git",
    ],
)
def test_address_of_a_remote_is_taken_as_it_is(url: str) -> None:
    assert Remote.parse(url).url == url


def test_file_url_is_the_path() -> None:
    assert Remote.parse("file:///srv/shop.git") == Remote.parse("/srv/shop.git")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "shop",
        "../shop",
        "ext::sh -c id",
        "fd::17",
        "-uevil",
        "--upload-pack=touch x",
        "-oProxyCommand=touch x",
        "ssh://-oProxyCommand=touch/x",
        "ssh://-u@host/x",
        "git@-oProxyCommand=touch:x",
        "-u@host:x",
        "git@host:-x",
        "git@host:/-x",
        "git@host::x",
        "http://host/shop",
        "git://host/shop",
        "ftp://host/shop",
        "file://host/shop",
        "https://host/a b",
        "https://host/a\nb",
        "https://host/shop?token=secret",
        "https://host/shop#x",
        "https://host",
        "HTTPS+ext://host/x",
        "/srv/a\nb",
        "/",
        "https://hóst/shop",
    ],
)
def test_what_is_no_address_of_a_remote_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no address"):
        Remote.parse(text)


@pytest.mark.parametrize(
    "url",
    [
        "https://pat:hunter22@host.example/shop",
        "https://ghp_hunter22@host.example/shop",
        "ssh://git:hunter22@host.example/shop",
        "https://:hunter22@host.example/shop",
        "git:hunter22@host.example:shop",
    ],
)
def test_credentials_in_an_address_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ValueError, match="password or a token") as refused:
        Remote.parse(url)
    assert "hunter22" not in str(refused.value)


@pytest.mark.parametrize("text", ["main", "v1.0", "fix/it", "refs/pull/12/head", "a1" * 20, "猫"])
def test_name_of_a_branch_or_a_commit_is_a_ref(text: str) -> None:
    assert is_ref(text)


@pytest.mark.parametrize(
    "text",
    ["", "-x", "--upload-pack=x", "a b", "a:b", "a..b", "a@{1}", "a^", "a~1", "*", "/a", "a/"],
)
def test_what_is_more_than_a_name_is_no_ref(text: str) -> None:
    assert not is_ref(text)


async def test_store_finds_what_a_ref_names(repo: Repo, remote: Repo, tmp_path: Path) -> None:
    first = repo.git("rev-parse", "HEAD")
    remote.git("tag", "v1", first)
    second = repo.commit("more", "x")
    repo.git("push", "-q", "origin", "main", "HEAD:refs/pull/1/head")
    store = Store(Remote.parse(str(remote.folder)), tmp_path / "work")

    assert await store.fetch(SESSION, "v1") == first
    assert await store.fetch(SESSION, None) == second
    assert await store.fetch(SESSION, "main") == second
    assert await store.fetch(SESSION, first) == first
    assert await store.fetch(SESSION, "refs/pull/1/head") == second
    with pytest.raises(Conflict, match="has no nowhere"):
        await store.fetch(SESSION, "nowhere")


async def test_fetches_of_one_remote_wait_for_each_other(remote: Repo, tmp_path: Path) -> None:
    store = Store(Remote.parse(str(remote.folder)), tmp_path / "work")
    found = await asyncio.gather(*(store.fetch(SESSION, None) for _ in range(4)))
    assert set(found) == {remote.git("rev-parse", "main")}


async def test_empty_remote_is_an_error_that_says_so(tmp_path: Path) -> None:
    empty = Repo(tmp_path)
    empty.git("init", "-q", "--bare", "empty.git")
    store = Store(Remote.parse(str(tmp_path / "empty.git")), tmp_path / "work")
    with pytest.raises(Conflict, match=r"has no commit yet|has no refs/heads"):
        await store.fetch(SESSION, None)


async def test_server_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, and nothing else."""
    monkeypatch.setattr(stores, "FETCH_S", 0.3)
    monkeypatch.setattr(stores, "PUSH_S", 0.3)
    taken = []
    server = await asyncio.start_server(lambda *streams: taken.append(streams), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        remote = Remote.parse(f"https://127.0.0.1:{port}/shop.git")
        with pytest.raises(MidflightError, match="took more than 0 s"):
            await Store(remote, tmp_path / "work").fetch(SESSION, None)
        with pytest.raises(MidflightError, match="took more than 0 s"):
            await forget(remote, SESSION)
        assert taken
        for _, writer in taken:
            writer.close()


async def test_settings_of_a_store_that_somebody_has_changed_do_nothing(
    remote: Repo, tmp_path: Path
) -> None:
    """What works on this machine could write there."""
    store = Store(Remote.parse(str(remote.folder)), tmp_path / "work")
    await store.fetch(SESSION, None)
    ran = tmp_path / "ran"
    store.folder.joinpath("config").write_text(
        f'[core]\n\tbare = true\n\tsshCommand = "touch {ran}"\n'
        f'\talternateRefsCommand = "touch {ran}"\n'
        f'[url "ext::touch {ran} "]\n\tinsteadOf = {remote.folder}\n'
    )
    assert await store.fetch(SESSION, None) == remote.git("rev-parse", "main")
    assert not ran.exists()


async def test_hooks_and_programs_of_a_remote_folder_are_not_run(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    """The remote is a folder: what git does there it does as the user."""
    ran = tmp_path / "ran"
    for hook in ("pre-receive", "update", "post-receive", "post-update", "reference-transaction"):
        path = remote.folder / "hooks" / hook
        path.write_text(f"#!/bin/sh\ntouch {ran}\n")
        path.chmod(0o755)
    remote.git("config", "core.alternateRefsCommand", f"touch {ran}")
    remote.git("config", "uploadpack.packObjectsHook", f"touch {ran}")
    remote.git("config", "core.fsmonitor", f"touch {ran}")
    (remote.folder / "objects/info/alternates").write_text(f"{repo.folder}/.git/objects\n")
    store = Store(Remote.parse(str(remote.folder)), tmp_path / "work")
    commit = await store.fetch(SESSION, None)
    await store.push(commit, SESSION, repo.folder / ".git/objects")
    assert remote.git("rev-parse", session_ref(SESSION)) == commit
    await forget(store.remote, SESSION)
    assert not ran.exists()


async def test_ref_of_a_session_is_removed_once_and_missed_by_nobody(
    repo: Repo, remote: Repo, tmp_path: Path
) -> None:
    store = Store(Remote.parse(str(remote.folder)), tmp_path / "work")
    await store.push(await store.fetch(SESSION, None), SESSION, repo.folder / ".git/objects")
    assert session_ref(SESSION) in remote.snapshots()
    await forget(store.remote, SESSION)
    assert remote.snapshots() == []
    await forget(store.remote, SESSION)


async def test_no_question_of_git_waits_for_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key of an unknown host, a user's name, a password."""
    asked = tmp_path / "asked"
    program = tmp_path / "askpass"
    program.write_text(f"#!/bin/sh\ntouch {asked}\n")
    program.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(program))
    ssh = tmp_path / "bin" / "ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/ssh\nexit 255\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(Conflict, match="git fetch failed"):
        await Store(Remote.parse("git@host.example:shop.git"), tmp_path / "work").fetch(
            SESSION, "x"
        )
    said = (tmp_path / "ssh").read_text()
    assert "BatchMode=yes" in said
    assert "ConnectTimeout" in said
    assert not asked.exists()

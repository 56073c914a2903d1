from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.faults.manifest import fault
from tests.journal.conftest import Hosts
from tests.support.journal import PROGRAMS, begin, options

from midflight.errors import StoreFailed, StoreRefused
from midflight.journal import Journal, JournalLocation
from midflight.journal.location import MAX_SOCKET_BYTES


@pytest.fixture
def no_mask() -> Iterator[None]:
    """Let files be made as open as they are asked to be."""
    mask = os.umask(0)
    yield
    os.umask(mask)


def _mode(path: Path) -> str:
    return oct(stat.S_IMODE(path.stat().st_mode))


@fault("C4")
async def test_files_are_private_from_the_first_moment_whatever_the_umask(
    tmp_path: Path, open_host: Hosts, no_mask: None
) -> None:
    folder = tmp_path / "new" / "state"

    journal = await open_host(folder)
    await begin(journal)
    socket = journal.socket_path()

    assert _mode(folder.parent) == _mode(folder) == _mode(socket.parent) == "0o700"
    files = [path for path in folder.iterdir() if path.is_file()]
    assert len(files) >= 3  # the journal, its log, its index
    assert {_mode(path) for path in files} == {"0o600"}


@fault("C4")
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
async def test_folder_open_to_others_is_refused_and_left_as_it_is(
    tmp_path: Path, mode: int
) -> None:
    folder = tmp_path / "my state"
    folder.mkdir()
    folder.chmod(mode)

    with pytest.raises(StoreRefused, match="open to others") as refused:
        await Journal(folder).open()

    assert refused.value.hint == f"chmod 700 '{folder}'"
    assert _mode(folder) == oct(mode)
    assert list(folder.iterdir()) == []


@fault("C4")
@pytest.mark.parametrize("mode", [0o777, 0o757, 0o722])
async def test_folder_above_that_others_may_write_to_is_refused(tmp_path: Path, mode: int) -> None:
    above = tmp_path / "shared" / "more"
    folder = above / "mine" / "state"
    folder.mkdir(parents=True)
    folder.chmod(0o700)
    above.chmod(mode)
    with pytest.raises(StoreRefused, match="can be written to by others") as refused:
        await Journal(folder).open()
    assert refused.value.hint == f"chmod go-w {above}"
    link = tmp_path / "link"
    link.symlink_to(folder.parent)
    with pytest.raises(StoreRefused, match="can be written to by others"):
        JournalLocation(link / "state")
    above.chmod(mode | stat.S_ISVTX)  # as /tmp: nobody can move there what belongs to others
    JournalLocation(folder)


@fault("C4")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_folder_above_of_another_user_is_refused(tmp_path: Path) -> None:
    above = tmp_path / "theirs"
    folder = above / "state"
    folder.mkdir(parents=True, mode=0o700)
    os.chown(above, 65534, 65534)
    with pytest.raises(StoreRefused, match=f"{above}, above .* another user .uid 65534"):
        JournalLocation(folder)


@fault("C4")
async def test_journal_open_to_others_is_refused(tmp_path: Path) -> None:
    async with Journal(tmp_path):
        pass
    file = tmp_path / "journal.sqlite"
    file.chmod(0o644)
    before = file.read_bytes()

    with pytest.raises(StoreRefused) as refused:
        await Journal(tmp_path).open()

    assert refused.value.hint == f"chmod 600 {file}"
    assert (_mode(file), file.read_bytes()) == ("0o644", before)


@fault("C4")
async def test_link_is_not_followed(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    link = tmp_path / "link"
    link.symlink_to(real)
    (real / "journal.sqlite").symlink_to(tmp_path / "elsewhere")

    for folder in (link, real):
        with pytest.raises(StoreRefused, match="symbolic link"):
            await Journal(folder).open()

    dangling = tmp_path / "dangling"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(StoreRefused, match="symbolic link"):
        await Journal(dangling).open()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "nowhere").exists()


@fault("C4")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
async def test_folder_or_file_of_another_user_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)

    with pytest.raises(StoreRefused, match="another user"):
        await Journal(folder).open()

    os.chown(folder, 0, 0)
    file = folder / "journal.sqlite"
    file.touch(mode=0o600)
    os.chown(file, 65534, 65534)
    with pytest.raises(StoreRefused, match="another user"):
        await Journal(folder).open()


@fault("D2")
def test_folder_that_cannot_be_written_to_is_an_error_at_the_start(tmp_path: Path) -> None:
    # Root may write everywhere, so somebody else tries, who cannot enter pytest's own folder.
    folder = Path(tempfile.mkdtemp(prefix="midflight-locked-"))
    folder.chmod(0o500)
    try:
        done = subprocess.run(
            [sys.executable, str(PROGRAMS / "reader_of_locked.py"), str(folder), str(tmp_path)],
            env={name: value for name, value in os.environ.items() if "COVERAGE" not in name},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert list(folder.iterdir()) == []
    finally:
        folder.rmdir()

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"store_failed: the folder {folder} cannot be written to (chmod 700 {folder})\n"
    )


@fault("D2")
async def test_folder_that_cannot_be_made_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreFailed, match="cannot be made or read: Not a directory"):
        await Journal(tmp_path / "file" / "state").open()


@fault("D2")
async def test_journal_that_vanishes_is_not_written_to_any_more(
    tmp_path: Path, open_host: Hosts
) -> None:
    journal = await open_host(tmp_path / "state")
    await begin(journal)
    (tmp_path / "state" / "journal.sqlite").rename(tmp_path / "moved")

    with pytest.raises(StoreFailed, match="is gone"):
        await journal.host.beat()

    (tmp_path / "state" / "journal.sqlite").touch(mode=0o600)
    with pytest.raises(StoreFailed, match="replaced"):
        await journal.create("fix", options())
    assert (tmp_path / "state" / "journal.sqlite").read_bytes() == b""


def test_state_folder_follows_the_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))

    location = JournalLocation()

    assert location.folder.is_relative_to(tmp_path)
    assert location.folder.name == "midflight"


def test_socket_has_a_short_path_in_a_private_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Path(f"/tmp/mf-{os.getpid()}")
    monkeypatch.setattr("tempfile.tempdir", str(short))

    location = JournalLocation(tmp_path / ("long" * 30))
    try:
        path = location.socket("a" * 32)
        assert len(os.fsencode(path)) < 100
        assert path.is_relative_to(short)
        assert _mode(path.parent) == "0o700"
        path.parent.chmod(0o755)
        with pytest.raises(StoreRefused, match="open to others"):
            location.socket("a")
    finally:
        path.parent.rmdir()
        short.rmdir()


def test_socket_fits_also_where_state_and_temporary_folder_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 20)
    monkeypatch.setattr(tempfile, "tempdir", str(long / "tmp"))
    socket = JournalLocation(long / "state").socket("h" * 12)
    assert len(os.fsencode(socket)) <= MAX_SOCKET_BYTES
    assert _mode(socket.parent) == "0o700"

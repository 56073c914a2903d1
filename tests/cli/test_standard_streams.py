"""Standard streams that are closed or full, and folders whose names are no text: one clear line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.program import COMMAND

pytestmark = pytest.mark.skipif(not Path("/dev/full").exists(), reason="a system without it")

NO_SUCH_SESSION = ("show", "nothing-of-that-name")


def run(
    arguments: tuple[str, ...], redirected: str, state: Path, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the program from a shell that redirects its streams."""
    line = f"exec {shlex.join([*COMMAND, *arguments])} {redirected}"
    env = {**os.environ, "XDG_STATE_HOME": str(state), "XDG_CONFIG_HOME": str(state / "config")}
    return subprocess.run(
        ["/bin/sh", "-c", line],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("ls",), ("ls", "--json")])
def test_output_on_a_full_disk_is_one_line_and_a_failure(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    done = run(arguments, ">/dev/full", tmp_path / "state")
    assert (done.returncode, done.stderr) == (
        1,
        "midflight: the output cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_nothing_but_the_output(closed: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert run(("ls",), closed, state).returncode == 0
    done = run(NO_SUCH_SESSION, closed, state)
    assert done.returncode == 4
    assert done.stderr.startswith("midflight: no session") or "2>&-" in closed


def test_nothing_that_is_opened_takes_the_place_of_a_closed_stream(tmp_path: Path) -> None:
    """What a program writes to its output would else go into the journal."""
    state = tmp_path / "state"
    assert run(("ls",), ">&-", state).returncode == 0
    journal = state / "midflight" / "journal.sqlite"
    assert journal.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.skipif(sys.platform != "linux", reason="a name has to be UTF-8 there")
@pytest.mark.parametrize(
    "arguments",
    [("run", "--agent", "fake", "go"), ("run", "-d", "--agent", "fake", "go"), ("worktree", "ls")],
)
def test_folder_with_a_name_that_is_no_text_is_one_line(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    done = run(arguments, "", tmp_path / "state", folder)
    assert done.returncode == 2
    first, hint = done.stderr.splitlines()
    assert "is not written in UTF-8" in first
    assert hint.startswith("hint: ")


@pytest.mark.skipif(sys.platform != "linux", reason="a name has to be UTF-8 there")
def test_commands_that_need_no_folder_work_in_one_that_is_no_text(tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    done = run(("ls",), "", tmp_path / "state", folder)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform != "linux", reason="a name has to be UTF-8 there")
def test_state_folder_with_a_name_that_is_no_text_is_one_line(tmp_path: Path) -> None:
    state = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    done = run(("ls",), "", state)
    assert done.returncode == 1
    assert "is not written in UTF-8" in done.stderr
    assert "XDG_STATE_HOME" in done.stderr

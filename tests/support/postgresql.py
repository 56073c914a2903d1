"""Debian's PostgreSQL, one server of it for all tests of a process, and what is done without it."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midflight.agents.process.reaper import Reaper

__all__ = ["need_postgresql", "postgresql"]

ALL = os.environ.get("MIDFLIGHT_TEST_POSTGRES") == "1"


def need_postgresql(name: str = "initdb") -> str:
    """Return the path of one of its programs, which Debian keeps out of PATH.

    Where there is none the test is skipped, or fails if ``MIDFLIGHT_TEST_POSTGRES`` is 1.
    """
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    if found is None:
        if ALL:
            pytest.fail("PostgreSQL is missing: apt-get install postgresql")
        pytest.skip("PostgreSQL is not installed")
    return found


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Path]:
    """Start a PostgreSQL of our own, on a Unix socket only; return the folder of the socket."""
    initdb, control = need_postgresql("initdb"), need_postgresql("pg_ctl")
    root = os.geteuid() == 0  # it refuses to run as root
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if root else {}
    # Not below pytest's own folder, which another user cannot enter; and socket paths are short.
    folder = Path(tempfile.mkdtemp(prefix="midflight-pg-"))
    if root:
        known = pwd.getpwnam("postgres")
        os.chown(folder, known.pw_uid, known.pw_gid)

    def run(program: str, *arguments: str) -> None:
        done = subprocess.run(
            [program, "-D", str(folder / "data"), *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
            check=False,
            **user,
        )
        assert done.returncode == 0, done.stdout

    try:
        run(initdb, "-U", "midflight", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-k {folder} -c listen_addresses='' -c fsync=off"
        # What it says goes to a file: it keeps its output open for as long as it lives.
        run(control, "-w", "-t", "30", "-l", f"{folder}/log", "-o", options, "start")
        leader = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        reaper = Reaper(leader, f"postgresql {folder}", folder)  # if the tests are killed
        try:
            yield folder
        finally:
            run(control, "-m", "immediate", "-w", "-t", "30", "stop")
            reaper.let_go()
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A PostgreSQL of the benchmark's own, on a Unix socket, with its settings as they come."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Server", "program", "server"]

START_S = 60


def program(name: str) -> str | None:
    """Find one of PostgreSQL's programs; Debian keeps them out of PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(installed[-1]) if installed else shutil.which(name)


class Server:
    """A server that runs."""

    def __init__(self, folder: Path) -> None:
        """``folder`` has its data and its socket."""
        self._folder = folder
        self.url = f"postgresql://midflight@/postgres?host={folder}"
        self.conninfo = f"host={folder} user=midflight dbname=postgres"

    def used(self) -> float:
        """Return the processor time that it has taken, in seconds, with those that have ended."""
        main = psutil.Process(int((self._folder / "data/postmaster.pid").read_text().split()[0]))
        own = main.cpu_times()
        spent = own.user + own.system + own.children_user + own.children_system
        for child in main.children():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = child.cpu_times()
                spent += times.user + times.system
        return spent


@contextlib.contextmanager
def server() -> Iterator[Server]:
    """Start one, and end it with all that it holds."""
    root = os.geteuid() == 0  # as whom it refuses to run
    user: dict[str, Any] = {"user": "postgres", "group": "postgres"} if root else {}
    with tempfile.TemporaryDirectory(prefix="midflight-pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        if root:
            known = pwd.getpwnam("postgres")
            os.chown(folder, known.pw_uid, known.pw_gid)

        def run(wanted: str, *arguments: str) -> None:
            found = program(wanted)
            assert found, "PostgreSQL is missing: apt-get install postgresql"
            subprocess.run(
                [found, "-D", str(folder / "data"), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                timeout=2 * START_S,
                check=True,
                **user,
            )

        run("initdb", "-U", "midflight", "-A", "trust", "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses=''"
        run("pg_ctl", "-w", "-t", str(START_S), "-l", f"{folder}/log", "-o", options, "start")
        try:
            yield Server(folder)
        finally:
            run("pg_ctl", "-m", "immediate", "-w", "-t", str(START_S), "stop")

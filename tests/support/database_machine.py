"""PostgreSQL on a machine of its own, which others reach over the network with TLS.

All of it is in that machine's memory: no disk is written to, and it is gone with the machine.
"""

from __future__ import annotations

import pwd
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.machines import Network
from tests.support.postgresql import need_postgresql

__all__ = ["DatabaseMachine", "need_database_machine"]

START_S = 60.0

_SETTINGS = """
listen_addresses = '*'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
unix_socket_directories = '{folder}'
fsync = off
shared_buffers = 16MB
max_wal_size = 16MB
min_wal_size = 4MB
"""

_ACCESS = """
local   all all             trust
hostssl all all 10.77.0.0/24 trust
"""


def need_database_machine() -> None:
    """Skip or fail a test that needs one where it cannot be."""
    need_postgresql()
    if shutil.which("openssl") is None:
        pytest.skip("the program 'openssl' is missing, which makes the server's certificate")


class DatabaseMachine:
    """A server with a database and nothing in it. ``megabytes`` is how much room it has."""

    def __init__(self, network: Network, megabytes: int = 128) -> None:
        """Start it."""
        self.machine = network.machine("database")
        self._control = need_postgresql("pg_ctl")
        self._data = network.folder / "data"
        self._shared = network.folder / "database"
        self._certificate = self._shared / "server.crt"
        self._data.mkdir()
        self._shared.mkdir()
        owner = pwd.getpwnam("postgres")
        options = f"size={megabytes}m,mode=0700,uid={owner.pw_uid},gid={owner.pw_gid}"
        self.machine.run("mount", "-t", "tmpfs", "-o", options, "none", str(self._data))
        self._run(
            need_postgresql("initdb"),
            *("-D", f"{self._data}/pg", "-U", "midflight", "-A", "trust", "-E", "UTF8"),
            *("--no-sync", "--no-instructions", "--wal-segsize=1", "--locale=C"),
        )
        self._certify()
        shutil.chown(self._shared, "postgres", "postgres")
        for file, text in (("postgresql.conf", _SETTINGS), ("pg_hba.conf", _ACCESS)):
            written = self._shared / file
            written.write_text(text.format(folder=self._shared))
            how = ">>" if file == "postgresql.conf" else ">"
            self.machine.run("/bin/sh", "-c", f"cat {written} {how} {self._data}/pg/{file}")
        self.start()

    def _certify(self) -> None:
        """Make a certificate for its address, signed by itself."""
        key = self._shared / "server.key"
        subprocess.run(
            [
                *(
                    "openssl",
                    "req",
                    "-x509",
                    "-newkey",
                    "ec",
                    "-pkeyopt",
                    "ec_paramgen_curve:P-256",
                ),
                *("-nodes", "-days", "1", "-keyout", key, "-out", self._certificate),
                *("-subj", "/CN=database", "-addext", f"subjectAltName=IP:{self.machine.address}"),
            ],
            check=True,
            capture_output=True,
            timeout=START_S,
        )
        shutil.chown(key, "postgres", "postgres")

    def _run(self, *command: str) -> None:
        self.machine.run(*command, user="postgres", cwd="/", timeout=START_S, env={"LC_ALL": "C"})

    @property
    def url(self) -> str:
        """The address of a journal there, for the other machines."""
        where = f"postgresql://midflight@{self.machine.address}/postgres"
        return f"{where}?sslmode=verify-full&sslrootcert={self._certificate}"

    @property
    def local_url(self) -> str:
        """The same for who is on no machine: its socket is a file that all see."""
        return f"postgresql://midflight@/postgres?host={self._shared}"

    @property
    def log(self) -> Path:
        """What it says."""
        return self._shared / "log"

    # What befalls it ------------------------------------------------------------------------

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self._pg_ctl("-t", "30", "-l", str(self.log), "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends each connection first, ``immediate`` is a crash."""
        self._pg_ctl("-m", mode, "-t", "30", "stop")

    def _pg_ctl(self, *arguments: str) -> None:
        self._run(self._control, "-D", f"{self._data}/pg", "-w", *arguments)

    def fill(self) -> None:
        """Let something else take all the room that is left on its disk."""
        balloon = f"head -c 1G /dev/zero > {self._data}/balloon || true"
        self.machine.run("/bin/sh", "-c", balloon)

    def make_room(self) -> None:
        """Give the room back; a server that has given up is started, as a supervisor would."""
        self.machine.run("rm", f"{self._data}/balloon")
        if not self.runs():
            self.start()

    def runs(self) -> bool:
        """Tell whether it is there."""
        command = [self._control, "-D", f"{self._data}/pg", "status"]
        asked = subprocess.run(
            self.machine.enter(*command, user="postgres"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=START_S,
            check=False,
            cwd="/",
        )
        return asked.returncode == 0

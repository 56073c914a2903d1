"""A repository with much in it, as a remote: for sessions that take their files along."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

__all__ = ["make_remote"]

FILE_BYTES = 20_000
FILES_IN_A_FOLDER = 100


def make_remote(folder: Path, files: int) -> str:
    """Make a bare repository of so many files, which no compression makes smaller."""
    remote = folder / "remote.git"
    git = ["git", "-C", str(remote)]
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(remote)], check=True)
    command = [*git, "fast-import", "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        write = process.stdin.write
        write(b"commit refs/heads/main\ncommitter bench <bench@localhost> 0 +0000\ndata 4\nmuch\n")
        for number in range(files):
            path = f"part-{number // FILES_IN_A_FOLDER}/file-{number}"
            write(f"M 644 inline {path}\ndata {FILE_BYTES}\n".encode())
            write(os.urandom(FILE_BYTES) + b"\n")
        write(b"done\n")
    assert process.returncode == 0
    return str(remote)

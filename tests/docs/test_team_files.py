"""What docs/team.md has people copy can be used."""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from midflight.cli.command_table import add_options
from midflight.journal import BEAT_S, TTL_S

ASSETS = Path(__file__).parent.parent.parent / "docs" / "assets"
PAGE = (ASSETS.parent / "team.md").read_text(encoding="utf-8")


def _worker(words: list[str]) -> argparse.Namespace:
    """Return what the command line makes of a worker's options."""
    parser = argparse.ArgumentParser()
    add_options("worker", parser)
    return parser.parse_args(words)


def test_unit_of_a_worker_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = (ASSETS / "midflight-worker.service").read_text(encoding="utf-8")
    (started,) = re.findall(r"^ExecStart=(.*)$", unit, re.MULTILINE)
    program, verb, *words = shlex.split(started)
    assert verb == "worker"
    assert _worker(words).capacity == 4
    assert "postgresql://builder1@db.example/team" in unit
    (watchdog_s,) = re.findall(r"^WatchdogSec=(\d+)$", unit, re.MULTILINE)
    assert int(watchdog_s) < TTL_S - BEAT_S, "it is killed before others have its sessions"
    assert "\nType=notify\n" in unit
    assert "\nWatchdogSignal=SIGKILL\n" in unit

    if (systemd := shutil.which("systemd-analyze")) is None:
        pytest.skip("systemd is not installed")
    copy = tmp_path / "midflight-worker.service"
    copy.write_text(unit.replace(program, sys.executable), encoding="utf-8")
    done = subprocess.run(
        [systemd, "verify", str(copy)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_container_file_of_a_worker_has_commands_that_are_some() -> None:
    lines = (ASSETS / "worker.Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    steps = [line.partition(" ") for line in lines.splitlines() if line and line[0] != "#"]
    kinds = [kind for kind, _, _ in steps]
    assert kinds[0] == "FROM"
    assert set(kinds) <= {"FROM", "RUN", "USER", "WORKDIR", "ENTRYPOINT", "CMD"}
    for kind, _, rest in steps:
        if kind == "RUN":
            subprocess.run(["/bin/sh", "-n", "-c", rest], timeout=60, check=True)
    told = {kind: json.loads(rest) for kind, _, rest in steps if kind in {"ENTRYPOINT", "CMD"}}
    program, verb, *words = told["ENTRYPOINT"] + told["CMD"]
    assert (program, verb) == ("midflight", "worker")
    work = Path(str(_worker(words).work))
    assert f"install -d -o midflight {work}" in lines, "a folder that its user may write"
    assert f"WORKDIR {work}" in lines


def test_roles_of_the_page_are_granted_as_the_page_says() -> None:
    made = set(re.findall(r"^CREATE ROLE (\w+) LOGIN", PAGE, re.MULTILINE))
    granted = re.findall(r"^\$ midflight journal grant (\w+) --as (\w+)", PAGE, re.MULTILINE)
    parser = argparse.ArgumentParser()
    add_options("journal", parser)
    for role, kind in granted:
        assert parser.parse_args(["grant", role, "--as", kind]).kind == kind
    assert made - {"midflight"} <= {role for role, _ in granted}

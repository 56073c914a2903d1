from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.cli.program import COMMAND

from midflight.agents import claude_cli

SECRET = "sk-ant-dummy-0123456789"


def doctor(home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    coverage = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE")}
    return subprocess.run(
        [*COMMAND, "doctor"],
        env={"PATH": os.environ["PATH"], "HOME": str(home), **coverage, **more},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


@pytest.mark.parametrize(
    "name", ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "CLAUDE_CODE_OAUTH_TOKEN"]
)
def test_a_key_makes_it_ready_and_is_never_shown(tmp_path: Path, name: str) -> None:
    done = doctor(tmp_path, **{name: SECRET})
    assert done.returncode == 0
    assert f"{name} is set" in done.stdout
    assert str(claude_cli.find(None)) in done.stdout
    assert SECRET not in done.stdout + done.stderr


def test_a_login_makes_it_ready_and_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / ".claude"
    folder.mkdir()
    (folder / ".credentials.json").write_text(SECRET)
    done = doctor(tmp_path)
    assert done.returncode == 0
    assert "logged in" in done.stdout
    assert SECRET not in done.stdout


@pytest.mark.parametrize("more", [{}, {"ANTHROPIC_API_KEY": " "}], ids=["none", "blank"])
def test_without_a_key_it_says_what_to_do(tmp_path: Path, more: dict[str, str]) -> None:
    done = doctor(tmp_path, **more)
    assert done.returncode == 1
    assert "export ANTHROPIC_API_KEY" in done.stdout
    assert "midflight demo" in done.stdout

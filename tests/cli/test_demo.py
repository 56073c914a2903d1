from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.support.program import COMMAND, Program, watched

from midflight.testing.plugin import need

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]


def bare(home: Path, path: str = os.environ["PATH"]) -> dict[str, str]:
    """A machine with nothing set up: no key, no login, no settings."""
    run = {"MIDFLIGHT_TEST_RUN": os.environ["MIDFLIGHT_TEST_RUN"]}
    return {"PATH": path, "HOME": str(home), **watched(), **run}


def found_in(folder: Path) -> set[Path]:
    return set(folder.iterdir())


AT_ONCE = (
    sys.executable,
    str(Path(__file__).parents[1] / "support" / "programs" / "demo_at_once.py"),
)


async def demo(
    env: dict[str, str], cwd: Path, *more: str, command: Sequence[str] = COMMAND
) -> tuple[int, str, str]:
    program = await Program.start(["demo", *more], env, cwd, command)
    try:
        return await program.done()
    finally:
        await program.kill()


@pytest.mark.agent
async def test_the_tour_shows_every_step_and_changes_real_files(
    claude_home: Path, project: Path
) -> None:
    before = found_in(claude_home)
    code, out, err = await demo(bare(claude_home), project)
    assert (code, err) == (0, "")
    for part in (
        "The model behind it is scripted",
        'you> midflight "Add input validation',
        "you> An empty name must be refused too.",
        "  [tool] Read users.py",
        "The agent asks for leave to use Write",
        "you> y",
        "you> /redirect No rewrite.",
        "Result: interrupted (redirected)",
        "  [tool] Edit users.py",
        "Ran 3 tests",
        "Cost: $0.0",
        "What has changed on disk:",
        "2 files changed",
        "+EMAIL = re.compile(",
        "The files are as you asked for.",
    ):
        assert part in out
    assert found_in(claude_home) == before, "the user's own home is left alone"
    assert not found_in(project)


@pytest.mark.long  # what the tour shows is shown by OpenCode's rows each time
@pytest.mark.agent
async def test_the_tour_is_the_same_on_opencode(claude_home: Path, project: Path) -> None:
    need("" if shutil.which("opencode") else "OpenCode is not on PATH")
    before = found_in(claude_home)
    code, out, err = await demo(bare(claude_home), project, "--agent", "opencode", command=AT_ONCE)
    assert (code, err) == (0, "")
    for part in (
        "The agent is the real OpenCode",
        "The agent asks for leave to use write",
        '  -EMAIL = re.compile(r"[a-z]+',
        "Result: interrupted (redirected)",
        "Ran 3 tests",
        "Cost: $0.0",
        "The files are as you asked for.",
        'midflight --agent opencode "your task"',
    ):
        assert part in out
    assert found_in(claude_home) == before, "the user's own home is left alone"
    assert not found_in(project)


async def test_without_opencode_its_tour_names_the_install_command(
    claude_home: Path, project: Path, tmp_path: Path
) -> None:
    code, out, err = await demo(bare(claude_home, str(tmp_path)), project, "--agent", "opencode")
    assert (code, out) == (1, "")
    assert err == "midflight: OpenCode is not installed\nhint: npm install -g opencode-ai\n"


@pytest.mark.agent
async def test_the_tour_works_without_git_and_never_uses_a_key(
    claude_home: Path, project: Path, tmp_path: Path
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "bash", "ls", "cat", "env", "node"):
        if found := shutil.which(name):
            (programs / name).symlink_to(found)
    env = bare(claude_home, str(programs)) | {
        "ANTHROPIC_API_KEY": "sk-dummy-of-the-user",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    code, out, err = await demo(env, project, command=AT_ONCE)
    assert (code, err) == (0, "")
    assert "+EMAIL = re.compile(" in out
    assert "files changed" not in out
    assert "sk-dummy" not in out


@pytest.mark.agent
async def test_the_tour_can_be_stopped(claude_home: Path, project: Path) -> None:
    program = await Program.start(["demo"], bare(claude_home), project)
    try:
        await program.reads("[tool] Read")
        program.process.send_signal(signal.SIGINT)
        code, _, err = await program.done()
    finally:
        await program.kill()
    assert (code, err) == (130, "")


def test_the_demo_is_a_command() -> None:
    done = subprocess.run(
        [*COMMAND, "demo", "--help"], capture_output=True, check=False, timeout=100
    )
    assert done.returncode == 0

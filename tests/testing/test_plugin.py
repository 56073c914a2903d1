from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import midflight.testing.plugin

SOURCE = Path(midflight.testing.plugin.__file__).parents[2]


def run_pytest(folder: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a test file with no plugin but ours and anyio's, as a user would."""
    (folder / "test_it.py").write_text(test, encoding="utf-8")
    env = os.environ | {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(SOURCE),
        "ANTHROPIC_AUTH_TOKEN": "the user's own",
    }
    plugins = ["-p", "anyio", "-p", "midflight.testing.plugin"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *arguments, "test_it.py"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


ASYNC = """
import pytest
pytestmark = pytest.mark.anyio
@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys; import pytest; known = set(sys.modules);"
        "import midflight.testing.plugin; new = set(sys.modules) - known;"
        "print(sorted(new & {'starlette', 'uvicorn', 'psutil'}))"
    )
    env = os.environ | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_script_that_is_not_played_to_its_end_fails_its_test(tmp_path: Path) -> None:
    test = ASYNC + (
        "from midflight.testing import Text\n"
        "async def test_it(scripted_model):\n"
        "    model = await scripted_model([Text('never asked')])\n"
        "    assert model.url.startswith('http://127.0.0.1:')\n"
    )
    done = run_pytest(tmp_path, test)
    assert done.returncode == 1, done.stdout
    assert "1 step(s) left over" in done.stdout


def test_agent_gets_its_own_home_and_nothing_of_the_users(tmp_path: Path) -> None:
    test = ASYNC + (
        "import os\n"
        "async def test_it(scripted_model, agent_env, claude_home, tmp_path):\n"
        "    env = agent_env(await scripted_model([]))\n"
        "    assert env['HOME'] == str(claude_home) and tmp_path in claude_home.parents\n"
        "    assert 'ANTHROPIC_AUTH_TOKEN' not in env\n"
        "    assert 'ANTHROPIC_AUTH_TOKEN' not in os.environ\n"
    )
    done = run_pytest(tmp_path, test)
    assert done.returncode == 0, done.stdout


LEAK = """
import subprocess, sys
import midflight.testing.plugin as plugin
plugin._GRACE_S = 0.2
SLEEP = "import time; print(1, flush=True); time.sleep(60)"
def start(code, **options):
    command = [sys.executable, "-c", code]
    return subprocess.Popen(command, stdout=subprocess.PIPE, **options)
"""


def test_process_that_outlives_a_test_fails_it_alone_and_is_killed(tmp_path: Path) -> None:
    """A child, and a process that left the tree and is found by its environment."""
    test = LEAK + (
        "process = None\n"
        "def test_leaks_a_child(no_agent_left):\n"
        "    global process\n"
        "    process = start(SLEEP)\n"
        "    process.stdout.readline()\n"
        "def test_it_is_gone():\n"
        "    import psutil\n"
        "    assert not psutil.pid_exists(process.pid)\n"
        "    process.wait(5)\n"
        "    process.stdout.close()\n"
        "def test_leaks_from_elsewhere(no_agent_left):\n"
        "    leave = 'import subprocess, sys; subprocess.Popen([sys.executable, \"-c\", %r], '\n"
        "    leave = leave % SLEEP + 'start_new_session=True)'\n"
        "    process = start(leave)\n"
        "    process.stdout.readline()\n"
        "    process.wait(5)\n"
        "    process.stdout.close()\n"
        "def test_leaves_nothing(no_agent_left):\n"
        "    with start('print(1)') as process:\n"
        "        process.wait(5)\n"
    )
    done = run_pytest(tmp_path, test)
    assert done.stdout.count("processes left after the test") >= 2, done.stdout
    assert "4 passed, 2 errors" in done.stdout
    for name in ("test_leaks_a_child", "test_leaks_from_elsewhere"):
        assert f"ERROR test_it.py::{name}" in done.stdout

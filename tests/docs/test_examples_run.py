"""The programs in the documentation run, on the real agent, as they are printed."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import midflight
from midflight.testing import ModelRequest, ScriptedModel, Text, ToolCall

ROOT = Path(__file__).parent.parent.parent
BLOCK = re.compile(r"^```python.*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str) -> list[str]:
    """Return the Python programs of a page, but not its fragments."""
    found = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    return [block for block in found if "import midflight" in block or "from midflight" in block]


def obliging(request: ModelRequest) -> Any:
    """Play a model that works a little, whatever it is asked."""
    if request.tool_results:
        return Text("It is done.")
    return [Text("I will look. "), ToolCall("Bash", {"command": "ls"})]


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/tutorial.md"])
async def test_the_programs_of_a_page_run(
    page: str,
    tmp_path: Path,
    agent_env: Callable[[ScriptedModel], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    programs = blocks(page)
    assert programs
    monkeypatch.chdir(tmp_path)
    async with ScriptedModel(obliging) as model:
        for name, value in agent_env(model).items():
            monkeypatch.setenv(name, value)
        for program in programs:
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(
                program.replace("asyncio.run(main())", "await main()"), page, "exec", flags
            )
            running = eval(code, {"midflight": midflight})  # noqa: S307 - our own pages
            if running is not None:
                await running
    assert "It is done." in capsys.readouterr().out


def test_the_tests_in_the_page_on_testing_pass(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    for number, program in enumerate(BLOCK.findall(page)):
        name = "conftest.py" if "def anyio_backend" in program else f"test_{number}.py"
        (tmp_path / name).write_text(program, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n", encoding="utf-8")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr

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
from midflight.testing.opencode import OpenCodeServer

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


async def run(program: str, page: str) -> None:
    """Run a program as it stands, its awaiting top level included."""
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    code = compile(program.replace("asyncio.run(main())", "await main()"), page, "exec", flags)
    running = eval(code, {"midflight": midflight})  # noqa: S307 - our own pages
    if running is not None:
        await running


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/tutorial.md"])
async def test_programs_of_a_page_run(
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
            await run(program, page)
    assert "It is done." in capsys.readouterr().out


@pytest.mark.usefixtures("no_agent_left")
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
async def test_program_runs_on_opencode_with_one_line_changed(
    page: str,
    opencode_server: OpenCodeServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = opencode_server
    line = 'agent="claude",'
    (program,) = (block for block in blocks(page) if line in block)
    assert program.count(line) == 1
    monkeypatch.chdir(server.cwd)
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    async with ScriptedModel(obliging, port=server.model_port):
        # The server of the tests saves the time to start one.
        there = f'agent="opencode", server_url="{server.url}",'
        await run(program.replace(line, there), page)
    assert "[tool] bash" in (out := capsys.readouterr().out)
    assert "It is done." in out


FILES = re.compile(r'^```\w+ title="(.+?)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
WITH_OPENCODE = "test_with_opencode.py"


def page_on_testing() -> dict[str, str]:
    """Return the files that the page on testing shows, by name."""
    return dict(FILES.findall((ROOT / "docs" / "testing.md").read_text(encoding="utf-8")))


SOME_CHECKS = "not (has_the_row or the_table_says or keeps_its_promises) or idle or stale or cancel"
"""The page's last tests are whole suites, which tests/conformance and tests/journal try."""


@pytest.mark.agent
def test_page_on_testing_passes_in_a_fresh_project(tmp_path: Path) -> None:
    files = page_on_testing()
    del files[WITH_OPENCODE]  # its server takes long to start; the next test has one
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", SOME_CHECKS],
        cwd=tmp_path,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "9 passed" in run.stdout


@pytest.mark.usefixtures("no_agent_left")
async def test_page_on_testing_passes_with_opencode(
    scripted_model: Callable[..., Any], opencode_server: OpenCodeServer
) -> None:
    names: dict[str, Any] = {}
    exec(page_on_testing()[WITH_OPENCODE], names)  # noqa: S102 - our own page
    await names["test_the_note_is_written_by_opencode_too"](scripted_model, opencode_server)

"""The examples are run as they stand; only the environment points them to a scripted model."""

from __future__ import annotations

import asyncio
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.conftest import environment

from midflight.testing import ModelRequest, ScriptedModel, Step, Text, ToolCall, Wait, Words
from midflight.testing.plugin import need

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

EXAMPLES = Path(__file__).parents[2] / "examples"


async def run(name: str, model: ScriptedModel, home: Path, cwd: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        EXAMPLES / name,
        env=environment(model, home),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode()


async def test_seed_has_three_turns_in_one_conversation(
    model: Callable[..., Awaitable[ScriptedModel]], claude_home: Path, project: Path
) -> None:
    write = {"file_path": str(project / "users.py"), "content": "checked = True\n"}
    scripted = await model(
        [Text("I add it."), ToolCall("Write", write)],
        Text("Validated."),
        Text("Tested."),
        Text("Fixed."),
    )
    out = await run("seed.py", scripted, claude_home, project)
    assert "I add it.  [tool] Write\n" in out
    results = re.findall(r"^(?:Result: (.*)|Cost: \$0\.0)", out, re.MULTILINE)
    assert results == ["Validated.", "", "Tested.", "", "Fixed.", ""]
    assert (project / "users.py").read_text() == "checked = True\n"
    assert "Validated." in str(scripted.requests[3].messages)


async def test_steer_uses_every_verb(
    scripted_model: Callable[..., Awaitable[ScriptedModel]], claude_home: Path, project: Path
) -> None:
    def script(request: ModelRequest) -> Step:
        said = request.last_user_text
        if "Fix that first." in said:
            return Text("Fixed.")
        if "changelog entry" in said:
            return Text("Written.")
        if "empty names" in said:
            return Text("Refused.")
        return [Words("I begin "), Wait("never")]

    out = await run("steer.py", await scripted_model(script), claude_home, project)
    lines = out.splitlines()
    assert "[turn 1: interrupted, redirected]" in out
    assert "[turn 2: completed, end_turn] Fixed." in lines
    assert "'Also refuse empty names.': answered, end_turn" in lines
    assert "'Then write the changelog entry.': answered, end_turn" in lines
    assert "Cost: $0.0" in out


async def test_opencode_has_two_turns_in_one_conversation(
    model: Callable[..., Awaitable[ScriptedModel]], claude_home: Path, project: Path
) -> None:
    need("" if shutil.which("opencode") else "OpenCode is not on PATH")
    write = {"file_path": str(project / "users.py"), "content": "checked = True\n"}
    scripted = await model(ToolCall("Write", write), Text("Validated."), Text("Tested."))
    out = await run("opencode.py", scripted, claude_home, project)
    results = re.findall(r"^(?:completed: (.*)|Cost: \$0\.0)", out, re.MULTILINE)
    assert results == ["Validated.", "", "Tested.", ""]
    assert (project / "users.py").read_text() == "checked = True\n"
    assert "Validated." in str(scripted.requests[2].messages)


def test_each_example_names_its_dependencies() -> None:
    for path in EXAMPLES.glob("*.py"):
        head = path.read_text().split("# ///\n")[0]
        assert "# /// script" in head
        assert "# dependencies = [" in head

"""Every line with curl in docs/http.md does what it says there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from tests.host.test_shared_host import one_environment, started
from tests.server.conftest import TOKEN, Server
from tests.support.repo import Repo

from midflight import commands as c
from midflight.host import Host
from midflight.testing import Text, ToolCall
from midflight.testing.fake import agent

__all__ = ["one_environment", "started"]

PAGE = Path(__file__).parents[2] / "docs" / "http.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.startswith("curl ")]


def _commands() -> set[str]:
    return {str(kind.__struct_config__.tag) for kind in c.Command.__subclasses__()}


async def test_page_has_every_route_and_every_command(server: Server) -> None:
    text = PAGE.read_text("utf-8")
    for route in server.routes:
        assert re.sub(r"{(\w)\w*}", lambda m: m[1].upper(), route.path) in text, route.path
    of_sessions = [line for line in LINES if "/sessions/" in line]
    shown = {word for line in of_sessions for word in re.findall(r'"?type\\?": \\?"(\w+)', line)}
    assert shown == _commands() - {"relocate"}  # which needs a worker
    assert '"type": "relocate"' in text


class Shell:
    """Runs the lines as a person would, in this folder and with this model."""

    def __init__(self, server: Server, folder: Path, env: dict[str, str]) -> None:
        self._server = server
        self._env = json.dumps({"env": env})[1:-1]
        self._folder = folder
        self.env = {
            "PATH": os.environ["PATH"],
            "AUTH": f"Authorization: Bearer {TOKEN}",
            "JSON": "Content-Type: application/json",
            "URL": server.url,
            "S": "fix",
        }

    async def run(self, line: str) -> tuple[int, str]:
        """Return curl's exit code and what it has got."""
        streams = " -N " in line
        line = line.replace("/home/ada/shop", str(self._folder))
        line = line.replace('"task":', '"agent": "fake", "task":')
        if "/schedules" not in line:  # which have no variables
            line = line.replace('"task":', f'{self._env}, "task":')
        line = line.replace("curl", "curl -sS --fail-with-body", 1)
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f"exec {line}", env=self.env, stdout=asyncio.subprocess.PIPE, stderr=-2
        )
        async with asyncio.timeout(30):
            if streams and process.stdout:
                out = await process.stdout.readuntil(b"id: ")
                process.terminate()
                await process.communicate()
                return 0, out.decode()
            out, _ = await process.communicate()
        return process.returncode or 0, out.decode()

    async def learn(self) -> None:
        """Wait for what the next line needs: a request, or a rule."""
        while True:
            _, info = await self._server.call("/sessions/fix")
            if info["pending"] or info["rules"]:
                self.env["R"] = info["pending"][0]["request"] if info["pending"] else ""
                self.env["RULE"] = info["rules"][0] if info["rules"] else ""
                return


@pytest.fixture
async def shell(
    server: Server,
    started: list[Host],
    fake_model: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """Return a shell with a repository, whose model asks first and then is done."""
    if shutil.which("curl") is None:
        pytest.fail("curl is missing: apt-get install curl")
    folder = tmp_path / "work"
    folder.mkdir()
    Repo(folder).git("init", "-q")
    write = ToolCall("Write", {"file_path": "new", "content": "by the agent"})
    asked: list[object] = []

    def answer(request: object) -> Any:
        asked.append(request)
        return write if len(asked) == 1 else Text("done")

    model = await fake_model(answer)
    monkeypatch.setitem(agent._models, "", model)  # noqa: SLF001 - no option of a schedule names one
    return Shell(server, folder, model.env(tmp_path))


async def test_every_line_works_in_its_order(shell: Shell) -> None:
    assert len(LINES) > 20
    for line in LINES:
        if "$R" in line:
            await shell.learn()
        code, out = await shell.run(line)
        assert code == 0, f"{line}\n{out}"

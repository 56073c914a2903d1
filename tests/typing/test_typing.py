"""The public surface as two type checkers see it: what must pass passes, what must fail fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.program import unwatched

from midflight.options import Options, SessionOptions
from midflight.testing.plugin import need

ROOT = Path(__file__).parents[2]
PYRIGHT = Path(__file__).parent / "npm" / "node_modules" / ".bin" / "pyright"

PASSES = """
import asyncio
from pathlib import Path

import midflight


def handler(
    request: midflight.PermissionRequested | midflight.QuestionRequested,
) -> midflight.Answer:
    return midflight.Answer(request=request.request, decision="deny", reason="not now")


async def watch(session: midflight.BaseSession) -> float | None:
    await session.send("also this", delivery="queue")
    await session.set_permission_mode("plan")
    async for event in session.stream():
        if isinstance(event, midflight.TextDelta):
            print(event.text)
    return session.total_cost_usd


async def main() -> None:
    options: midflight.SessionOptions = {"model": "sonnet", "max_turns": 3}
    async with midflight.dispatch(
        "go",
        agent="claude",
        cwd=Path(),
        max_budget_usd=1,
        allowed_tools=["Bash"],
        add_dirs=[Path()],
        plugins=["plugins/mine"],
        permission_mode="acceptEdits",
        on_usage_limit="wait",
        on_request=handler,
        attended=None,
    ) as session:
        await watch(session)
        message = await session.redirect("rather this")
        result = await message.result()
        print(result.text, result.cost_usd)
    async with midflight.open(**options) as opened:
        await watch(opened)
    async with midflight.connect() as client:
        waiting = await client.sessions(status="waiting")
        print([info.name for info in waiting])
        remote = await client.dispatch("go", id="mine", **options)
        await watch(remote)
    async with midflight.Host() as host:
        await watch(await host.dispatch("go", effort="high"))


asyncio.run(main())
print(midflight.run("go", on_event=print, max_turns=1).status)
"""

FAILS = """
import midflight


async def main(client: midflight.Client, host: midflight.Host) -> None:
    midflight.dispatch("go", agnt="claude")
    midflight.dispatch("go", permission_mode="yolo")
    midflight.dispatch("go", max_turns="3")
    midflight.dispatch("go", allowed_tools="Bash")
    midflight.open(cwd=3)
    midflight.run("go", modle="sonnet")
    await client.dispatch("go", agnt="claude")
    await client.sessions(status="waitng")
    await host.dispatch("go", timeout="90s")
    await host.keep_warm(env=["A=1"])
    session = await client.session()
    await session.send("x", delivery="qeue")
    await session.set_permission_mode("yolo")
    await session.answer("r", "maybe")
    message: midflight.Message = await session.interrupt()
    remote: midflight.RemoteSession = midflight.open()
"""


def _wrong_lines() -> set[int]:
    lines = FAILS.splitlines()
    first = next(number for number, line in enumerate(lines, 1) if "def main" in line)
    return {
        number
        for number, line in enumerate(lines, 1)
        if number > first and line.strip() and "client.session()" not in line
    }


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    (tmp_path / "passes.py").write_text(PASSES)
    (tmp_path / "fails.py").write_text(FAILS)
    return tmp_path


def _mypy(folder: Path) -> list[tuple[str, int]]:
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-error-summary"),
            *("--config-file", os.devnull, "--cache-dir", str(ROOT / ".mypy_cache" / "programs")),
            *("passes.py", "fails.py"),
        ],
        cwd=folder,
        env=unwatched() | {"MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode in {0, 1}, done.stderr
    found = re.findall(r"^(\w+\.py):(\d+): error", done.stdout, re.MULTILINE)
    return [(name, int(line)) for name, line in found]


def _pyright(folder: Path) -> list[tuple[str, int]]:
    need("" if PYRIGHT.exists() else "pyright is not installed: ./scripts/test installs it")
    config = {"extraPaths": [str(ROOT / "src")], "typeCheckingMode": "strict"}
    (folder / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [str(PYRIGHT), "--outputjson", "--pythonpath", sys.executable, "--project", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    report = json.loads(done.stdout)
    return [
        (Path(found["file"]).name, found["range"]["start"]["line"] + 1)
        for found in report["generalDiagnostics"]
        if found["severity"] == "error"
    ]


@pytest.mark.timeout(180)
@pytest.mark.parametrize("checker", [_mypy, _pyright], ids=["mypy", "pyright"])
def test_type_checkers_tell_right_programs_from_wrong_ones(
    checker: Callable[[Path], list[tuple[str, int]]], programs: Path
) -> None:
    found = checker(programs)
    assert [line for name, line in found if name == "passes.py"] == []
    assert {line for name, line in found if name == "fails.py"} == _wrong_lines()


def test_session_options_and_options_have_the_same_names() -> None:
    assert SessionOptions.__annotations__.keys() == set(Options.__struct_fields__)

"""Record the board, dark and light, as a picture of the pages: python scripts/picture_board.py.

The sessions are those of the real Claude Code; the model that all of them ask is scripted. tmux
keeps the screen, and must be installed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from picture import ASSETS, picture
from picture_orchestrate import PATIENCE_S, Screen
from rich.terminal_theme import SVG_EXPORT_THEME, TerminalTheme

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import (
    HttpError,
    ModelRequest,
    ScriptedModel,
    Step,
    Text,
    ToolCall,
    Usage,
    Wait,
)

COLUMNS, LINES = 110, 32

LIGHT = TerminalTheme(
    (255, 255, 255),
    (32, 32, 32),
    [(0, 0, 0), (176, 31, 39), (23, 104, 58), (138, 74, 0), (26, 86, 196), (138, 42, 140),
     (0, 97, 110), (110, 110, 110)],
)  # fmt: skip
"""The colours of a terminal with a light background."""

CHECKOUT = "config/env.ts"
BEFORE = """\
export function env() {
  const raw = process.env;
  return { apiUrl: raw.API_URL ?? "http://localhost:8000" };
}
"""
OLD = '  return { apiUrl: raw.API_URL ?? "http://localhost:8000" };'
NEW = """\
  return { apiUrl: raw.API_URL ?? "http://localhost:8787",
           checkoutTimeoutMs: Number(raw.CHECKOUT_TIMEOUT_MS ?? 15_000) };"""

TESTS = "uv run --frozen pytest tests/api/test_users.py tests/api/test_signup.py -x -q"
CLOCK = {
    "question": "Which clock should the scheduler use?",
    "header": "Clock",
    "multiSelect": False,
    "options": [
        {"label": "Monotonic", "description": "Never jumps. Breaks two tests."},
        {"label": "Injected", "description": "A Clock argument, default monotonic."},
    ],
}

STEPS: dict[str, list[Step]] = {
    "checkout-flow": [
        [Usage(90_000, 2_000), ToolCall("Read", {"file_path": CHECKOUT})],
        [
            Usage(20_000, 1_000),
            Text("The timeout belongs beside the address."),
            ToolCall("Edit", {"file_path": CHECKOUT, "old_string": OLD, "new_string": NEW}),
        ],
    ],
    "users-validation": [[Usage(120_000, 4_000), ToolCall("Bash", {"command": TESTS})]],
    "flaky-clock": [[Usage(30_000, 2_000), ToolCall("AskUserQuestion", {"questions": [CLOCK]})]],
    "post-validation": [
        [Usage(900_000, 30_000), ToolCall("TodoWrite", {"todos": []})],
        [Text("Five sessions."), Wait("the end")],
    ],
    "orders-validation": [
        ToolCall("Bash", {"command": "uv run pytest -q tests/api/test_orders.py"})
    ],
    "payments-validation": [
        ToolCall("Bash", {"command": "uv run mypy --strict src/shop/payments"})
    ],
    "invoices-validation": [HttpError(400)],
    "carts-validation": [
        [Usage(150_000, 7_000), Text("Two files have changed, and the carts are validated.")]
    ],
    "docs-links": [[Text("Every link of the handbook is looked at."), Wait("the end")]],
    "upgrade-pydantic": [HttpError(529, times=99)],
    "csv-export": [[Usage(210_000, 14_000), Text("The export has its header row, in nine files.")]],
    "dead-code": [ToolCall("Read", {"file_path": CHECKOUT}), Text("never said")],
}
"""What the model says in each session, by its name."""

FAMILY = ("users-validation", "orders-validation", "payments-validation", "invoices-validation")
FOLDERS = {"checkout-flow": "storefront", "dead-code": "storefront", "docs-links": "handbook"}


def script(request: ModelRequest) -> Step | None:
    """Play a session's steps: it is known by its task, which is its name."""
    first = str(request.messages[0])
    for name, steps in STEPS.items():
        if f"<{name}>" in first:
            return steps.pop(0) if len(steps) > 1 else steps[0]
    return Text("Done.")


@contextlib.contextmanager
def environment(folder: Path) -> Iterator[None]:
    """Keep the journal in a folder."""
    os.environ["XDG_STATE_HOME"] = str(folder / "state")
    yield


async def begin(host: Host, model: ScriptedModel, folder: Path) -> None:
    """Begin all sessions; return when each is where the picture shows it."""
    home = folder / "home"
    env = {**model.env(home), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    sessions: dict[str, Session] = {}
    for name in STEPS:
        cwd = home / "src" / FOLDERS.get(name, "shop-api")
        cwd.mkdir(parents=True, exist_ok=True)
        (cwd / CHECKOUT).parent.mkdir(exist_ok=True)
        (cwd / CHECKOUT).write_text(BEFORE)
        options = Options.build(
            cwd=cwd,
            env=env,
            name=name,
            model="sonnet",
            max_turns=1 if name == "dead-code" else 20,
            max_budget_usd=10.0 if name == "post-validation" else 2.0,
            allowed_tools=["Bash"] if name in FAMILY[1:] else None,
        )
        family = name in FAMILY or name == "carts-validation"
        parent = sessions["post-validation"].id if family and name != FAMILY[0] else ""
        sessions[name] = await host.begin(f"<{name}>", options, parent=parent)
    for name, kind in {
        "checkout-flow": e.PermissionRequested,
        "users-validation": e.PermissionRequested,
        "flaky-clock": e.QuestionRequested,
        "orders-validation": e.ToolStarted,
        "payments-validation": e.ToolStarted,
        "invoices-validation": e.TurnEnded,
        "carts-validation": e.TurnEnded,
        "upgrade-pydantic": e.Retry,
        "csv-export": e.TurnEnded,
        "dead-code": e.TurnEnded,
    }.items():
        async with asyncio.timeout(PATIENCE_S):
            async for event in sessions[name].events():
                if isinstance(event, kind):
                    break


async def recorded(folder: Path) -> str:
    """Return the screen of the board."""
    stub = folder / "bin" / "uv"
    stub.parent.mkdir()
    stub.write_text("#!/bin/sh\nsleep 120\n")
    stub.chmod(0o755)
    async with ScriptedModel(script, timeout_s=2 * PATIENCE_S) as model:
        with environment(folder):
            async with Host() as host:
                await host.serve()
                await begin(host, model, folder)
                return await screen_of(folder)


async def screen_of(folder: Path) -> str:
    """Open the board in a terminal, choose what the picture shows, and return the screen."""
    env = {name: os.environ[name] for name in ("PATH", "XDG_STATE_HOME")}
    env |= {"HOME": str(folder / "home"), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    settings = shlex.join(f"{name}={value}" for name, value in env.items())
    program = shlex.join([sys.executable, "-m", "midflight.cli.main"])
    screen = Screen(str(folder / "tmux"))
    screen.run(
        *("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES)),
        *("-c", str(folder), f"env -i {settings} {program}"),
    )
    try:
        await screen.sees("Waits for you 3")
        await screen.sees("y allow")
        await screen.sees("done: Two files")
        screen.run("send-keys", "g")
        await screen.sees("checkoutTimeoutMs")
        return screen.run("capture-pane", "-p", "-e").rstrip()
    finally:
        screen.run("kill-server")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        text = asyncio.run(recorded(Path(place)))
    for name, theme in {"board": SVG_EXPORT_THEME, "board-light": LIGHT}.items():
        target = ASSETS / f"{name}.svg"
        target.write_text(picture(text, "midflight", COLUMNS, theme), encoding="utf-8")

"""Record `midflight run` at work, dark and light: python scripts/picture_terminal.py.

The agent is the real Claude Code; the model that it asks is scripted. tmux keeps the screen, and
must be installed.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from pathlib import Path

from picture import ASSETS, picture
from picture_board import LIGHT
from picture_orchestrate import PATIENCE_S, Screen

from midflight.testing import ModelRequest, ScriptedModel, Step, Text, ToolCall, Usage, Words

COLUMNS, LINES = 92, 34

TASK = "Validate what POST /users gets"
OLD, NEW = "    return save(user)", "    return save(UserIn(**user))"
STEPS: list[Step] = [
    [
        Usage(40_000, 900),
        Words("I look at how the other endpoints do it first."),
        ToolCall("Read", {"file_path": "users.py"}),
    ],
    [
        Usage(20_000, 800),
        Words("They use a **model**. I do the same here:"),
        ToolCall("Edit", {"file_path": "users.py", "old_string": OLD, "new_string": NEW}),
    ],
    [
        Usage(20_000, 700),
        Words("Now the tests of both endpoints."),
        ToolCall("Bash", {"command": "sh tests.sh --both"}),
    ],
]


def script(_: ModelRequest) -> Step:
    """Play the steps, and end."""
    return STEPS.pop(0) if STEPS else Text("Done.")


async def recorded(folder: Path) -> str:
    """Return the screen while a command runs and two messages wait."""
    home, shop = folder / "home", folder / "shop"
    home.mkdir()
    shop.mkdir()
    (shop / "tests.sh").write_text("sleep 300\n")
    (shop / "users.py").write_text(f"def create(user):\n{OLD}\n")
    async with ScriptedModel(script, timeout_s=PATIENCE_S) as model:
        env = {**model.env(home), "XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm-256color"}
        program = [sys.executable, "-m", "midflight.cli.main", "run", TASK, "--allow", "Bash"]
        command = shlex.join([*program, "--max-turns", "20", "--max-budget-usd", "2"])
        settings = shlex.join(f"{name}={value}" for name, value in env.items())
        screen = Screen(str(folder / "tmux"))
        screen.run(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES)),
            *("-c", str(shop), f"env -i {settings} {command}"),
        )
        try:
            await screen.sees("a: allow")
            await asyncio.sleep(1)  # noqa: TID251 - an answer counts once the request was seen
            screen.types("a")
            await screen.sees("tests.sh")
            screen.types("names may be up to 120 characters, not 64")
            await screen.sees("120 characters")
            screen.types("/queue then write a line for the changelog")
            await screen.sees("changelog")
            await asyncio.sleep(3)  # noqa: TID251 - so that the command has run for a while
            shown = screen.run("capture-pane", "-p", "-e")
        finally:
            screen.run("kill-server")
    return shown.rstrip()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ada-", ignore_cleanup_errors=True) as place:
        text = asyncio.run(recorded(Path(place)))
    title = f'midflight "{TASK}"'
    (ASSETS / "terminal.svg").write_text(picture(text, title, COLUMNS), encoding="utf-8")
    light = picture(text, title, COLUMNS, LIGHT)
    (ASSETS / "terminal-light.svg").write_text(light, encoding="utf-8")

"""Record `midflight orchestrate` at work, as a picture of the README: python scripts/picture_….

The agents are the real Claude Code; the model that all of them ask is scripted. A terminal program
draws the screen anew again and again, so tmux keeps the screen, and must be installed.
"""

from __future__ import annotations

import asyncio
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from picture import ASSETS, picture

from midflight.testing import ModelRequest, ScriptedModel, Step, Text, ToolCall, Wait

COLUMNS, LINES = 92, 29
PATIENCE_S = 60.0

TASK = "Validate the users of POST /users, and test it"
STEER = "tell the tests that plus signs are allowed"

BOSS: list[Step] = [
    [
        Text("Two sessions: one for the code, one for its tests."),
        ToolCall("mcp__midflight__dispatch", {"task": "Do the CODE", "name": "validation"}),
        ToolCall("mcp__midflight__dispatch", {"task": "Do the TESTS", "name": "tests"}),
    ],
    Text("Both are at work. I hear of it when they end a turn or ask something."),
    [
        ToolCall(
            "mcp__midflight__send",
            {"session": "tests", "text": "Plus signs are allowed in addresses: test that too."},
        )
    ],
    Text("Told. It reads it at its next step."),
    Text("The tests want to run. That is yours to decide."),
]
CHILDREN: dict[str, list[Step]] = {
    "Do the CODE": [
        ToolCall("Read", {"file_path": "users.py"}),
        [Text("The check belongs in front of the query."), Wait("the end")],
    ],
    "Do the TESTS": [
        [
            Text("I read the handler first."),
            Wait("steered"),
            ToolCall("Read", {"file_path": "users.py"}),
        ],
        ToolCall("Bash", {"command": "pytest -q tests/test_users.py"}),
    ],
}


def script(request: ModelRequest) -> Step | None:
    """Play each conversation's steps; a child is known by its task."""
    first = str(request.messages[0])
    for task, steps in CHILDREN.items():
        if task in first:
            return steps.pop(0) if steps else Text("Done.")
    return BOSS.pop(0) if BOSS else Text("Noted.")


class Screen:
    """A terminal in tmux."""

    def __init__(self, socket: str) -> None:
        self._tmux = ["tmux", "-S", socket]

    def run(self, *arguments: str) -> str:
        """Have tmux do something, and return what it says."""
        done = subprocess.run([*self._tmux, *arguments], capture_output=True, text=True, check=True)
        return done.stdout

    async def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        end = time.monotonic() + PATIENCE_S
        while text not in self.run("capture-pane", "-p"):
            if time.monotonic() > end:
                raise SystemExit(f"{text!r} did not come:\n{self.run('capture-pane', '-p')}")
            await asyncio.sleep(0.1)  # noqa: TID251 - tmux tells nobody

    def types(self, text: str) -> None:
        """Type a line."""
        self.run("send-keys", "-l", text)
        self.run("send-keys", "Enter")


async def recorded(folder: Path) -> str:
    """Return the screen at the moment that shows most."""
    home, shop = folder / "home", folder / "shop"
    home.mkdir()
    shop.mkdir()
    (shop / "users.py").write_text("def create(user): ...\n")
    async with ScriptedModel(script, timeout_s=2 * PATIENCE_S) as model:
        env = {**model.env(home), "XDG_STATE_HOME": str(folder / "state"), "TERM": "xterm-256color"}
        program = [sys.executable, "-m", "midflight.cli.main", "orchestrate", TASK]
        command = shlex.join([*program, "--max-budget-usd", "5"])
        settings = shlex.join(f"{name}={value}" for name, value in env.items())
        screen = Screen(str(folder / "tmux"))
        screen.run(
            *("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(LINES)),
            *("-c", str(shop), f"env -i {settings} {command}"),
        )
        try:
            await screen.sees("turn 1 completed")
            await screen.sees("* tests  running")
            screen.types(STEER)
            await screen.sees("Told.")
            model.signal("steered")
            await screen.sees("turn 3 completed")
            shown = screen.run("capture-pane", "-p", "-e")
            screen.run("send-keys", "n", "Enter")
            model.signal("the end")
        finally:
            screen.run("kill-server")
            await asyncio.to_thread(end, env)
    return shown.rstrip()


def end(env: dict[str, str]) -> None:
    """End the sessions that were dispatched: they live on."""
    for name in ("validation", "tests"):
        program = [sys.executable, "-m", "midflight.cli.main", "stop", name]
        subprocess.run(program, env=env, capture_output=True, check=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        text = asyncio.run(recorded(Path(place)))
    target = ASSETS / "orchestrate.svg"
    target.write_text(picture(text, "midflight orchestrate"), encoding="utf-8")

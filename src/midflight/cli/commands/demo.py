"""``midflight demo``: the real agent program against a scripted model, on a real small project.

Only the answers of the model are made up. The agent is Claude Code or OpenCode itself; it reads,
edits and runs files in a temporary folder, and every step in is one that a person could type.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import difflib
import json
import os
import subprocess
import tempfile
import textwrap
from pathlib import Path
from typing import Any

from midflight import dispatch
from midflight import events as e
from midflight._util.programs import find_program
from midflight.agents.opencode import program as opencode_setup
from midflight.cli.commands.demo_script import AFTER, BEFORE, REDIRECT, STEER, TASK, TEST, steps
from midflight.cli.output import BOLD, CYAN, DIM, GREEN, RED, Fragment, columns, write
from midflight.cli.signals import Stopper, until_stopped
from midflight.cli.terminal.render import approval, output_lines
from midflight.cli.terminal.transcript import Transcript
from midflight.cli.terminal.wrap import wrapped
from midflight.session.session import Session
from midflight.testing import ScriptedModel
from midflight.testing.home import make_home

PRIVATE = ("ANTHROPIC_", "CLAUDE", "OPENCODE", "XDG_", "AWS_", "GOOGLE_", "VERTEX_")
READING_S = 0.8
"""How long the person reads before they type something."""

NAMES = {"claude": "Claude Code", "opencode": "OpenCode"}
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")

INTRODUCTION = """\
A tour of midflight. The agent is the real {}, at work on real files in a temporary folder. The \
model behind it is scripted: it needs no key and no network, and costs nothing (the cost shown is \
what those tokens would have cost). Lines with "you>" are typed by the demo.\
"""


def demo(args: argparse.Namespace) -> int:
    """Play the tour; 0 if the files on disk are changed as they should be, else 1.

    Raises `AgentUnavailable` where the agent is not installed.
    """
    agent: str = args.agent
    # With OpenCode the model is the one of the scripted model's own configuration.
    options: dict[str, Any] = {"agent": agent}
    if agent == "opencode":
        options["agent_path"] = opencode_setup.find(None)
    else:
        options["model"] = "sonnet"
    with tempfile.TemporaryDirectory(prefix="midflight-demo-", ignore_cleanup_errors=True) as made:
        folder = Path(made).resolve()
        project, home = folder / "shop", folder / "home"
        project.mkdir()
        make_home(home)
        (project / "users.py").write_text(BEFORE)
        drop_user_environment()
        _write_claude_state(home)
        git = _commit(project)
        write(f"{textwrap.fill(INTRODUCTION.format(NAMES[agent]), columns() or 88)}\n\n")
        code = asyncio.run(_play(project, home, options))
        return code or _show_changes(project, agent, git=git)


def drop_user_environment() -> None:
    """Take the user's keys and settings out of this process, before an agent inherits them."""
    for name in list(os.environ):
        if name.startswith(PRIVATE) or name.upper() in PROXIES:
            del os.environ[name]


def _write_claude_state(home: Path) -> None:
    """Have Claude Code ask nothing that it asks at its first start."""
    state = {"hasCompletedOnboarding": True, "hasTrustDialogAccepted": True}
    (home / ".claude.json").write_text(json.dumps(state))


def _commit(project: Path) -> bool:
    """Make the project a git repository; False where there is no git."""
    if find_program("git") is None:
        return False
    identity = ("-c", "user.name=midflight demo", "-c", "user.email=demo@localhost")
    _git(project, "init", "--quiet")
    _git(project, "add", ".")
    _git(project, *identity, "commit", "--quiet", "--no-gpg-sign", "-m", "A small shop")
    return True


def _git(project: Path, *arguments: str) -> str:
    """Run git on the project, without the settings of the machine and its user."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(
        [str(find_program("git")), *arguments],
        cwd=project,
        env=clean | nowhere,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


async def _play(project: Path, home: Path, options: dict[str, Any]) -> int:
    """Dispatch the task and step in, as the script of the tour has it."""
    model = ScriptedModel(steps(project), timeout_s=60)
    async with model:
        session = dispatch(TASK, cwd=project, env=model.env(home), attended=True, **options)
        code = await until_stopped(Stopper(), Tour(session, model).run())
        if code:
            with contextlib.suppress(AssertionError):
                model.finish()  # that the script was not played to its end is known
    return code


class Tour:
    """The agent's side and the person's side, shown in the order in which they happen."""

    def __init__(self, session: Session, model: ScriptedModel) -> None:
        """Nothing happens yet."""
        self._session = session
        self._model = model
        self._transcript = Transcript(session.options.cwd, width=columns())

    async def run(self) -> int:
        """Show the session to its end; 0 if the last turn was completed."""
        self._type(f'midflight "{TASK}"')
        stepping_in = asyncio.get_running_loop().create_task(self._step_in())
        completed = False
        try:
            async with self._session:
                async for event in self._session.stream():
                    write(self._transcript.take(event))
                    match event:
                        case e.PermissionRequested():
                            await self._approve(event)
                        case e.ToolEnded(name="Bash" | "bash", output=text):
                            write(self._transcript.lines(output_lines(text)))
                        case e.TurnEnded(status=status):
                            completed = status == "completed"
        finally:
            stepping_in.cancel()
        return 0 if completed else 1

    async def _step_in(self) -> None:
        """Type what the person types, each time the model has reached the place for it."""
        await self._model.reached("steer")
        await asyncio.sleep(READING_S)
        self._type(STEER, "steers: the agent reads it at its next step")
        await self._session.send(STEER)
        self._model.signal("steer")
        await self._model.reached("redirect")
        await asyncio.sleep(READING_S)
        self._type(f"/redirect {REDIRECT}", "stops the turn, and starts one for this")
        await self._session.redirect(REDIRECT)

    async def _approve(self, request: e.PermissionRequested) -> None:
        """Show what the agent asks permission for, and allow it, as the person would."""
        shown = approval(request.effects, self._session.options.cwd)
        head = (BOLD, f"\nThe agent asks for leave to use {request.name}:\n")
        write(self._transcript.lines([head, *shown]))
        await asyncio.sleep(READING_S)
        self._type("y", "allows exactly this")
        await self._session.answer(request.request, "allow")

    def _type(self, text: str, what: str = "") -> None:
        lines: list[Fragment] = [(f"{BOLD};{CYAN}", f"\nyou> {text}\n")]
        if what:
            lines.append((DIM, f"     ({what})\n"))
        write(self._transcript.lines(lines))


def _show_changes(project: Path, agent: str, *, git: bool) -> int:
    """Show what is different on disk, and check it against what was asked for."""
    write([(BOLD, "\nWhat has changed on disk:\n\n")])
    if git:
        _git(project, "add", "--intent-to-add", ".")
        _print(_git(project, "diff", "--stat"))
        _print("\n" + _git(project, "diff"))
    else:
        for name, before in (("users.py", BEFORE), ("test_users.py", "")):
            _print("".join(_diff(before, _read(project / name), name)))
    expected = {"users.py": AFTER, "test_users.py": TEST}
    wrong = [name for name, text in expected.items() if _read(project / name) != text]
    if wrong:
        write([(RED, f"\nNot as expected: {', '.join(wrong)}\n")])
        return 1
    write([(GREEN, "\nThe files are as you asked for.\n")])
    _print("With a key, the same for real:\n")
    which = "" if agent == "claude" else f"--agent {agent} "
    _print(f'  midflight {which}"your task"        (midflight doctor says what is missing)\n')
    return 0


def _print(text: str) -> None:
    """Print whole lines, broken between words where a terminal is narrower than they are."""
    write(wrapped([("", text)], columns()) if columns() else text)


def _diff(before: str, after: str, name: str) -> list[str]:
    return list(
        difflib.unified_diff(
            before.splitlines(keepends=True), after.splitlines(keepends=True), name, name
        )
    )


def _read(path: Path) -> str:
    return path.read_text() if path.is_file() else ""

"""``midflight schedule``: what is said when one is made, listed, changed and looked back at."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Open
from tests.journal.conftest import server
from tests.support.schedules import DAY, DUE, Begins, Clock, daily

from midflight import Options
from midflight.cli.commands.completion import candidates
from midflight.cli.main import execute
from midflight.info import ScheduleInfo
from midflight.journal import Journal
from midflight.lineage import SESSION_VARIABLE
from midflight.schedules.firing import Firing
from midflight.testing import FakeModel, ScriptedModel
from midflight.testing.fake import agent

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("state")]

__all__ = ["server"]

Model = Callable[..., Awaitable[ScriptedModel]]

NOBODY = "midflight: nothing fires while no `midflight serve` runs\n"


@pytest.fixture
def say(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Return a function that runs ``midflight schedule`` here; its agent is the fake one."""
    monkeypatch.setenv("MIDFLIGHT_AGENT", "fake")
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    monkeypatch.setattr("tzlocal.unix._cache_tz_name", None)
    monkeypatch.setitem(agent._models, "", FakeModel([]))  # noqa: SLF001 - options can name none

    def run(*arguments: str) -> tuple[int, str, str]:
        code = execute(["schedule", *arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return run


Say = Callable[..., tuple[int, str, str]]


def stored(name: str) -> ScheduleInfo:
    async def find() -> ScheduleInfo:
        async with Journal() as journal:
            return await journal.schedules.find(name)

    return asyncio.run(find())


def fire(*names: str, now: float) -> None:
    """Have daily schedules fired at a moment, without a session."""

    async def run() -> None:
        async with Journal() as journal:
            await journal.host.register("", fires=True)
            for name in names:
                await journal.schedules.add(daily(name))
            firing = Firing(journal, Begins(), Clock(now))
            await firing.look()
            await firing.settled()
            await journal.host.leave()

    asyncio.run(run())


def test_schedule_is_kept_with_the_options_of_run(say: Say, project: Path) -> None:
    (project / "more").mkdir()
    options = ("--allow", "Edit,Bash(npm test)", "--cwd", "more", "--permission-mode", "plan")
    run = ("run", "Check the deps", *options, "--max-budget-usd", "2", "--then", "and more", "-d")
    code, out, err = say("0 7 * * 1-5", "--zone", "Europe/Berlin", "--", *run)
    assert (code, err) == (0, NOBODY)
    assert out.startswith("check-the-deps: next on ")
    assert out.endswith(" 07:00 Europe/Berlin\n")
    kept = stored("check")
    assert (kept.cron, kept.task, kept.then) == ("0 7 * * 1-5", "Check the deps", ("and more",))
    assert kept.options == {
        "agent": "fake",
        "allowed_tools": ["Edit", "Bash(npm test)"],
        "permission_mode": "plan",
        "max_budget_usd": 2.0,
        "cwd": str(project / "more"),
    }
    Options.build(**kept.options)


def test_schedule_has_an_address_and_no_folder_for_its_checkouts(say: Say, project: Path) -> None:
    run = ("run", "go", "--permission-mode", "plan", "--repo")
    code, _, err = say("0 7 * * *", "--", *run, "git@git.example:shop.git", "--ref", "main")
    assert (code, err) == (0, NOBODY)
    assert stored("go").options == {
        "agent": "fake",
        "permission_mode": "plan",
        "repo": "git@git.example:shop.git",
        "ref": "main",
        "cwd": ".",
    }
    Options.build(**stored("go").options)
    assert "which git remote get-url origin says" in say("0 7 * * *", "--", *run, str(project))[2]
    (project / ".git").mkdir()
    (project / "objects").mkdir()  # it is no bare repository for that
    assert "which git remote get-url origin says" in say("0 7 * * *", "--", *run, str(project))[2]
    on_worker = ("0 7 * * *", "--", "run", "there", "--permission-mode", "plan", "--on", "gpu")
    assert "or with --cwd a folder of the worker" in say(*on_worker)[2]
    code, _, err = say("0 7 * * *", "--", *run, "https://u:secret@git.example/shop.git")
    assert (code, "secret" in err) == (2, False)


def test_label_of_its_workers_stands_on_either_side(
    say: Say, server: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", server)
    run = ("run", "go", "--cwd", str(project), "--permission-mode", "plan", "--name")
    for line in (("--on", "gpu", "--", *run, "a"), ("--", *run, "b", "--on", "gpu")):
        assert say("0 7 * * *", *line)[0] == 0
    assert (stored("a").on, stored("b").on) == ("gpu", "gpu")
    assert stored("a").options == stored("b").options


def test_zone_is_that_of_who_makes_it(say: Say) -> None:
    code, out, err = say("30 6 * * *", "--json", "--", "run", "go", "--name", "dawn")
    assert code == 0
    assert json.loads(out)["zone"] == "Asia/Kolkata"
    assert "midflight: In the mode default the agent asks" in err
    assert say()[1].splitlines()[1].split("  ")[:2] == ["dawn", "30 6 * * *"]
    assert " 06:30 Asia/Kolkata" in say()[1]


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("0 7 * * *",), "what is to begin stands behind --: run, with its task"),
        (("0 7 * * *", "--", "ls"), "what is to begin stands behind --"),
        (("0 7 * * *", "--", "run"), "there is no task"),
        (("0", "7", "--", "run", "go"), "the times are one argument, in quotes"),
        (("7 o'clock", "--", "run", "go"), '"7 o\'clock" says no times'),
        (("0 7 * * *", "--zone", "Mars", "--", "run", "go"), "'Mars' is no time zone"),
        (("0 7 * * *", "--label", "gpu", "--", "run", "go"), "there is no option --label"),
        (("0 7 * * *", "--on", "gpu", "--", "run", "go", "--cwd", "."), "--on: a worker needs a"),
        (("0 7 * * *", "--on", "a", "--", "run", "go", "--on", "b"), "--on: two labels are named"),
        (("0 7 * * *", "--", "run", "go", "--trust"), "--trust: it would obey whatever"),
        (("0 7 * * *", "--", "run", "go", "--notify", "x://k"), "--notify: a schedule cannot"),
        (("0 7 * * *", "--", "run", "go", "--resume", "a"), "--resume: a schedule cannot"),
        (("0 7 * * *", "--", "run", "go", "--json"), "--json: a schedule cannot"),
        (("0 7 * * *", "--", "run", "go", "--wrong"), "there is no option --wrong"),
        (("0 7 * * *", "--", "run", "go", "--max-turns", "0"), "--max-turns: expected"),
        (("0 7 * * *", "--", "run", "go", "--cwd", "nowhere"), "--cwd: "),
        (("0 7 * * *", "--", "run", "go", "--worktree"), "git"),
        (("0 7 * * *", "--", "run", "go", "--with-changes"), "commit and push them"),
        (("0 7 * * *", "--", "run", "go", "--ref", "main"), "--ref: there is no repository"),
        (("pause",), "which schedule is to pause?"),
        (("now", "nothing"), "there is no schedule 'nothing'"),
    ],
)
def test_what_cannot_be_is_an_error_and_keeps_nothing(
    say: Say, arguments: tuple[str, ...], what: str
) -> None:
    code, out, err = say(*arguments)
    assert (code != 0, out) == (True, "")
    assert what in err
    assert say()[1].startswith("No schedules yet")


def test_schedule_is_paused_resumed_and_removed(say: Say) -> None:
    say("0 7 * * *", "--", "run", "go", "--name", "morning")
    assert say("pause", "morn") == (0, "morning: rests\n", "")
    assert say()[1].splitlines()[1].split("  ")[2] == "paused"
    code, out, err = say("resume", "morn")
    assert (code, err) == (0, NOBODY)
    assert out.startswith("morning: next on ")
    assert say("history", "morn")[1].startswith("morning has not run yet; next on ")
    assert json.loads(say("remove", "morn", "--json")[1])["name"] == "morning"
    assert say() == (0, f"No schedules yet. To make one: {EXAMPLE}\n", "")


EXAMPLE = 'midflight schedule "0 7 * * 1-5" -- run "your task"'


def test_missed_runs_are_said(say: Say) -> None:
    fire("morning", now=DUE + 2 * DAY + 3600)
    assert "3 missed from then on" in say()[1].splitlines()[1]
    _, line = say("history", "morning")[1].splitlines()
    assert line.split("  ")[:2] == ["Fri 2024-10-04 07:00 UTC", "3 missed from then on"]
    [run] = json.loads(say("history", "morning", "--json")[1])
    assert (run["state"], run["missed"], run["due"]) == ("missed", 3, DUE)


def test_agent_makes_and_changes_no_schedule(say: Say, monkeypatch: pytest.MonkeyPatch) -> None:
    say("0 7 * * *", "--", "run", "go", "--name", "morning")
    monkeypatch.setenv(SESSION_VARIABLE, "0123456789abcdef")
    for arguments in (
        ("0 8 * * *", "--", "run", "go"),
        ("remove", "morning"),
        ("now", "morning"),
        (),
    ):
        code, out, err = say(*arguments)
        assert (code, out) == (1, "")
        assert err.startswith("midflight: an agent makes and changes no schedules")
    assert candidates(["schedule", "pause", ""]) == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("schedule pau", "pause"),
        ("schedule pause m", "morning"),
        ("schedule --js", "--json"),
        ("schedule x -- r", "run"),
        ("schedule x -- run go --permission-mode p", "plan"),
        ("schedule x -- run go --max-t", "--max-turns"),
    ],
)
def test_shell_is_offered_what_fits(say: Say, line: str, words: str) -> None:
    say("0 7 * * *", "--", "run", "go", "--name", "morning")
    assert candidates(line.split(" ")) == words.split()


async def test_person_is_asked_when_it_is_made(
    model: Model, fake_terminal: Open, project: Path
) -> None:
    """For the permission mode, and whether the folder is trusted: nobody could be asked later."""
    settings = {"hooks": {"Stop": [{"hooks": [{"type": "command", "command": "touch x"}]}]}}
    (project / ".claude").mkdir()
    (project / ".claude" / "settings.json").write_text(json.dumps(settings))
    where = {"XDG_STATE_HOME": os.environ["XDG_STATE_HOME"], "TZ": "UTC"}
    run = ("--", "run", "go", "--name", "morning", "--agent", "claude")
    screen = await fake_terminal(await model(), "schedule", "0 7 * * *", *run, **where)
    await screen.sees("Permission mode (")
    screen.types("acceptEdits")
    await screen.sees("touch x")
    await screen.sees("[g]o on without them")
    screen.types("g")
    await screen.sees("morning: next on")
    assert await screen.ends() == 0
    async with Journal() as journal:
        kept = (await journal.schedules.find("morning")).options
    assert (kept["permission_mode"], kept["trust"]) == ("acceptEdits", False)

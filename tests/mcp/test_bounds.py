"""What MCP dispatches is what the user has listed, and nothing else."""

from __future__ import annotations

import os
import subprocess
from argparse import Namespace
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.mcp.conftest import OpenTools
from tests.mcp.test_lineage import begin
from tests.support.fake_host import OpenHost
from tests.support.mcp_tools import WRITE
from tests.support.model_scripts import by_task

from midflight.cli.commands.mcp import bounds_of
from midflight.config.reading import user_path
from midflight.errors import InvalidConfig, NotAllowed
from midflight.lineage import SESSION_VARIABLE
from midflight.mcp.bounds import ROOT, DispatchBounds
from midflight.testing import Silence
from midflight.trust import store
from midflight.trust.stake import StakeFile

SHELL = "acp:/bin/sh -c 'touch run'"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the server start in a folder that has another one beside it."""
    del state  # which only has to be there
    for name in ("here/below", "beside"):
        (tmp_path / name).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "here"


def refused(bounds: DispatchBounds, folder: object, *more: Path) -> bool:
    try:
        bounds.folder(str(folder), more)
    except NotAllowed:
        return True
    return False


# Agents -------------------------------------------------------------------------------------


@fault("S16")
@pytest.mark.parametrize("agent", [SHELL, "acp:opencode acp", "/bin/sh", "nobody"])
def test_command_that_the_user_has_not_listed_is_no_agent(agent: str) -> None:
    with pytest.raises(NotAllowed):
        DispatchBounds().agent(agent)
    with pytest.raises(NotAllowed):
        DispatchBounds(agents=("claude", f"{agent} --more")).agent(agent)
    assert DispatchBounds(agents=(agent,)).agent(agent) == agent


def test_agents_that_are_listed_are_those_that_there_are() -> None:
    assert (DispatchBounds().agent(""), DispatchBounds().agent("gemini")) == ("claude", "gemini")
    only = DispatchBounds(agents=("opencode", "gemini"))
    assert (only.agent(""), only.agent("gemini")) == ("opencode", "gemini")
    for wanted in ("claude", "acp:gemini"):
        with pytest.raises(NotAllowed):
            only.agent(wanted)
    with pytest.raises(NotAllowed):
        DispatchBounds(agents=()).agent("")


# Folders ------------------------------------------------------------------------------------


@fault("S16")
def test_folder_is_the_servers_own_or_below(here: Path, tmp_path: Path) -> None:
    mine = DispatchBounds()
    assert mine.folder("", ()) == here
    assert mine.folder("below", ()) == here / "below"
    (here / "link").symlink_to(tmp_path / "beside")
    for folder in ("..", "../beside", here / "link", tmp_path, "/", "~", f"{here}-more"):
        assert refused(mine, folder)
    assert not refused(mine, tmp_path / "beside", tmp_path / "beside")  # the caller's session


@fault("S16")
def test_folders_that_are_listed_are_those_that_there_are(here: Path, tmp_path: Path) -> None:
    listed = DispatchBounds(dirs=(tmp_path / "beside",))
    assert listed.folder("", ()) == tmp_path / "beside"
    assert refused(listed, here)
    assert DispatchBounds(dirs=(tmp_path,)).folder("", ()) == here
    assert refused(DispatchBounds(dirs=()), here)


@fault("S16")
def test_server_that_no_folder_was_chosen_for_works_nowhere(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert refused(DispatchBounds(), here)
    assert refused(DispatchBounds(), "")


@fault("S16")
def test_folder_of_a_repository_that_is_trusted_may_be_worked_in(tmp_path: Path) -> None:
    beside = tmp_path / "beside"
    (beside / ".git").mkdir()
    assert refused(DispatchBounds(), beside)
    with store.changed() as trusted:
        trusted.add([StakeFile(str(beside / ".git"), "x", "1", beside / "x")])
    assert not refused(DispatchBounds(), beside)


def test_other_worktrees_of_the_repository_may_be_worked_in(here: Path, tmp_path: Path) -> None:
    env = {**os.environ, "HOME": str(tmp_path)}
    for command in (
        "init -q .",
        "-c user.name=x -c user.email=x commit -q --allow-empty -m x",
        "worktree add -q ../tree",
    ):
        subprocess.run(["git", *command.split()], cwd=here, env=env, check=True)
    assert not refused(DispatchBounds(), tmp_path / "tree")
    (tmp_path / "beside" / ".git").write_text(f"gitdir: {here}/.git/worktrees/tree\n")
    assert refused(DispatchBounds(), tmp_path / "beside")  # which only says that it is one
    assert refused(DispatchBounds(dirs=(here / "below",)), here)


# Leave --------------------------------------------------------------------------------------


@fault("S16")
def test_client_that_is_no_session_has_what_its_user_has_listed() -> None:
    plain = DispatchBounds()
    assert [plain.mode(mode, None) for mode in (None, "plan")] == ["default", "plan"]
    assert plain.budget(0, "copilot") is None
    for mode in ("acceptEdits", "bypassPermissions"):
        with pytest.raises(NotAllowed):
            plain.mode(mode, None)
    with pytest.raises(NotAllowed):
        plain.check_tools(["Read"])
    wide = DispatchBounds(
        permission_mode="acceptEdits", allowed_tools=("Bash",), max_budget_usd=2.0
    )
    assert wide.mode("acceptEdits", None) == "acceptEdits"
    wide.check_tools(["Bash(git log)"])
    assert [wide.budget(asked, "fake") for asked in (0, 1, 5)] == [2.0, 1, 2.0]
    with pytest.raises(NotAllowed, match="limit of \\$2 cannot be kept with copilot"):
        wide.budget(0, "copilot")
    assert DispatchBounds(permission_mode="plan").mode(None, None) == "plan"


def test_session_has_its_own_mode_whatever_is_listed_for_others() -> None:
    wide = DispatchBounds(permission_mode="acceptEdits")
    assert wide.mode(None, "plan") == "plan"
    with pytest.raises(NotAllowed):
        wide.mode("acceptEdits", "default")
    assert DispatchBounds(permission_mode="plan").mode("acceptEdits", "acceptEdits")


# Where the user says it ---------------------------------------------------------------------


def listed(text: str, *dirs: str) -> DispatchBounds:
    path = user_path()
    assert path is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    args = Namespace(max_depth=None, max_children=None, worktree=False, dir=list(dirs) or None)
    return bounds_of(args)


def test_bounds_stand_in_the_users_file(tmp_path: Path, here: Path) -> None:
    text = f"""
        [mcp]
        dirs = ["~/src", "{here}"]
        agents = ["claude", "acp:mine --acp"]
        permission_mode = "acceptEdits"
        allowed_tools = ["Edit"]
        max_budget_usd = 2.5
    """
    bounds = listed(text)
    assert bounds.dirs == (Path("~/src").expanduser(), here)
    assert (bounds.agents, bounds.allowed_tools) == (("claude", "acp:mine --acp"), ("Edit",))
    assert (bounds.permission_mode, bounds.max_budget_usd) == ("acceptEdits", 2.5)
    assert listed(text, str(tmp_path)).dirs == (tmp_path,)  # what is typed
    assert listed("") == DispatchBounds()


@pytest.mark.parametrize(
    "line",
    [
        *("dir = []", 'dirs = "~"', "dirs = [1]", 'agents = ["nobody"]'),
        *('permission_mode = "all"', "max_budget_usd = 0", "allowed_tools = 1"),
    ],
)
def test_bound_that_cannot_be_meant_is_refused_by_name(line: str) -> None:
    with pytest.raises(InvalidConfig, match=rf"mcp\.{line.partition(' ')[0]}"):
        listed(f"[mcp]\n{line}\n")


# Through the tool ---------------------------------------------------------------------------


@fault("S16")
async def test_dispatch_runs_no_command_and_reaches_no_folder_that_is_not_listed(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path
) -> None:
    _, host = await open_host()
    tools = await open_tools(dirs=(tmp_path / "work",))
    work = str(tmp_path / "work")
    asked: dict[str, Any]
    for asked in (
        {"agent": SHELL, "cwd": work},
        {"agent": "fake", "cwd": str(tmp_path)},
        {"agent": "fake", "cwd": work, "permission_mode": "acceptEdits"},
        {"agent": "fake", "cwd": work, "allowed_tools": ["Bash"]},
    ):
        assert "not_allowed" in await tools.refused("dispatch", task="x", **asked)
    assert host.live() == []
    assert not (tmp_path / "work" / "run").exists()


@fault("S19")
async def test_no_tool_reaches_a_session_that_the_agent_has_not_begun(
    open_host: OpenHost, open_tools: OpenTools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that asks for what the agent may answer."""
    model, host = await open_host(by_task(boss=[Silence()], other=[WRITE]))
    boss = await begin(host, model, tmp_path / "work", "boss")
    other = await begin(host, model, tmp_path / "work", "other")
    while not other.pending:
        await anext(other.events(other.last_seq))
    monkeypatch.setenv(SESSION_VARIABLE, boss.id)
    tools = await open_tools(may_answer=True)
    calls: dict[str, dict[str, Any]] = {
        "send": {"session": "other", "text": "x"},
        "redirect": {"session": "other", "text": "x"},
        "wait": {"sessions": ["other"], "timeout_s": 0},
        "worktree": {"session": "other", "action": "discard"},
    }
    for name in ("interrupt", "answer", "read", "diff", "stop"):
        calls[name] = {"session": "other"}
    for name, args in calls.items():
        assert "not_allowed" in await tools.refused(name, **args)
    assert [each["session"] for each in (await tools.ask("sessions"))["sessions"]] == ["boss"]
    assert len(other.pending) == 1
    assert other.status == "waiting"

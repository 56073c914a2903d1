"""The files with defaults: what is read, what is refused, and with which error."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault

import midflight
from midflight.config.files import read_project, read_user
from midflight.config.merge import KEYS, MCP_KEYS, NARROWING, TERMINAL_KEYS, WORKTREE_KEYS, resolve
from midflight.config.reading import user_path
from midflight.errors import InvalidConfig
from midflight.options import Options

AGENTS = ("claude", "fake")
PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

Write = Callable[[str | bytes], Path]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the test a home folder of its own."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    return folder


@pytest.fixture
def user(home: Path) -> Write:
    """Return a function that writes the user's file."""

    def write(content: str | bytes) -> Path:
        path = user_path()
        assert path is not None
        assert path.is_relative_to(home)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o644)
        return path

    return write


@pytest.fixture
def project(home: Path) -> Path:
    """Return the root of a git repository."""
    folder = home / "shop"
    (folder / ".git").mkdir(parents=True)
    return folder


# ------------------------------------------------------------------ reading


def test_where_there_is_no_file_there_are_no_defaults(home: Path, project: Path) -> None:
    assert read_user(AGENTS) is None
    assert read_project(project, AGENTS) is None
    assert list(home.iterdir()) == [project]


@fault("C1")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("max_turn = 3", ":1: max_turn: there is no such key (did you mean max_turns?)"),
        ("\n\nxyzzy = 3", ":3: xyzzy: there is no such key (known: agent, model, "),
        ("[agent]", ":1: agent: expected text"),
        ("[limits]\nmax_turns = 3", ":1: limits: there is no such key"),
        ("max_turns = '3'", ":1: max_turns: expected a whole number"),
        ("max_turns = 0", ":1: max_turns: expected a whole number from 1 up"),
        ("timeout = nan", ":1: timeout: expected a finite number"),
        ("timeout = 2026-01-01", ":1: timeout: expected a finite number"),
        ("allowed_tools = 'Bash'", ":1: allowed_tools: expected a list"),
        ("allowed_tools = [\n  3,\n]", ":1: allowed_tools: expected text"),
        ("permission_mode = 'yolo'", ":1: permission_mode: 'yolo' is not one of"),
        ("agent = 'claud'", ":1: agent: there is no agent 'claud' (did you mean claude?)"),
        ("agent = 'xyzzy'", ":1: agent: there is no agent 'xyzzy' (known: claude)"),
        ("plugins = 'one'", ":1: plugins: expected a list"),
        ("plugins = [{path = 'one'}]", ":1: plugins: expected a path as text"),
        ("add_dirs = ['missing']", "missing does not exist"),
        ("add_dirs = ['']", ":1: add_dirs: expected a folder"),
        ("agent_path = 7", ":1: agent_path: expected a path as text"),
        ("env = {KEY = 'x'}", ":1: env: this option cannot be set in a file"),
        ("agents = 3", ":1: agents: expected tables such as [agents.NAME]"),
        ("[agents]\nclaude = 3", ":2: agents.claude: expected a table"),
        ("[agents.claud]", ":1: agents.claud: there is no agent 'claud' (did you mean claude?)"),
        ('[agents.""]\nmodel = "m"', "there is no agent ''"),
        ("#\n[agents.fake]\nmax_turn = 3", ":3: agents.fake.max_turn: there is no such key"),
        ("#\nagents.fake.max_turn = 3", ":2: agents.fake.max_turn: there is no such key"),
        ("agents = {fake = {max_turn = 3}}", ": agents.fake.max_turn: there is no such key"),
        ('[agents."acp:a b"] # x\nagent = "fake"', ":2: agents.acp:a b.agent: it cannot stand"),
        ("max_turns = 3\nmodel = ", ":2: is not TOML"),
        ("max_turns = 3\nmodel = 'a", ":2: is not TOML"),
        ("a = 1\na = 2", ":2: is not TOML"),
        ("a = " + "[" * 5000, ": is not TOML"),
        ("a = " + "9" * 5000, ": is not TOML"),
        (b"#\n\n# \xff", ":3: is not UTF-8 text"),
        ("#" * 100_001, ": is over 100000 bytes long"),
    ],
)
def test_an_invalid_entry_is_an_error_with_its_line(
    user: Write, content: str | bytes, said: str
) -> None:
    path = user(content)
    with pytest.raises(InvalidConfig) as caught:
        read_user(AGENTS)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert caught.value.file == str(path)
    assert f"{path}:{caught.value.line}: " in str(caught.value) or caught.value.line is None


def test_an_error_has_its_parts_for_programs(user: Write) -> None:
    user("\n[agents.fake]\nmax_turns = 0\n")
    with pytest.raises(InvalidConfig) as caught:
        read_user(AGENTS)
    error = caught.value
    assert (error.code, error.line, error.key) == ("invalid_config", 3, "agents.fake.max_turns")


def test_paths_in_a_file_are_relative_to_it(user: Write, home: Path) -> None:
    folder = user("").parent
    (folder / "docs").mkdir()
    user('plugins = ["one", "/two"]\nadd_dirs = ["docs", "~"]\nagent_path = "bin/agent"')
    file = read_user(AGENTS)
    assert file is not None
    assert file.values("fake") == {
        "plugins": (folder / "one", Path("/two")),
        "add_dirs": (folder / "docs", home),
        "agent_path": folder / "bin" / "agent",
    }


def test_the_table_of_an_agent_behind_a_command_is_for_that_command(user: Write) -> None:
    user('agent = "acp:some agent"\n[agents."acp:some agent"]\nmax_turns = 4\n')
    file = read_user(AGENTS)
    assert resolve({}, variable=None, user=file, project=None).options == {
        "agent": "acp:some agent",
        "max_turns": 4,
    }
    assert file is not None
    assert file.where("acp:some agent", "max_turns").startswith(f"{file.path}:3: ")


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_can_write_is_refused_with_the_remedy(user: Write, mode: int) -> None:
    path = user("max_turns = 3")
    path.chmod(mode)
    with pytest.raises(InvalidConfig, match="can be written by other users") as caught:
        read_user(AGENTS)
    command = caught.value.hint.split("then: ")[1]
    assert os.system(command) == 0  # noqa: S605 - a person would type it into a shell
    assert read_user(AGENTS) is not None


def test_a_file_below_a_folder_that_others_can_write_is_refused(user: Write) -> None:
    path = user("max_turns = 3")
    path.parent.chmod(0o777)
    with pytest.raises(InvalidConfig, match=r"could be replaced by who") as caught:
        read_user(AGENTS)
    command = caught.value.hint.split("then: ")[1]
    assert os.system(command) == 0  # noqa: S605 - as above
    assert read_user(AGENTS) is not None


def test_a_file_of_another_user_is_refused(user: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = user("max_turns = 3")
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)
    with pytest.raises(InvalidConfig, match=r"belongs to another user .*sudo chown"):
        read_user(AGENTS)


def test_a_link_counts_as_the_file_that_it_leads_to(user: Write, tmp_path: Path) -> None:
    path = user("")
    path.unlink()
    path.symlink_to(tmp_path / "mine.toml")
    with pytest.raises(InvalidConfig, match="is a link to a file that does not exist"):
        read_user(AGENTS)
    (tmp_path / "mine.toml").write_text("max_turns = 3")
    (tmp_path / "mine.toml").chmod(0o600)
    assert read_user(AGENTS) is not None
    (tmp_path / "mine.toml").chmod(0o666)
    with pytest.raises(InvalidConfig, match="can be written"):
        read_user(AGENTS)


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop"])
def test_a_pipe_or_device_is_refused_and_not_waited_for(user: Write, kind: str) -> None:
    path = user("")
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(path)
    with pytest.raises(InvalidConfig, match=r"is not a regular file|cannot be read"):
        read_user(AGENTS)


@pytest.mark.parametrize("name", ["HOME", "XDG_CONFIG_HOME"])
def test_a_place_that_depends_on_the_current_folder_is_not_read(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "here")
    monkeypatch.chdir(tmp_path)
    for place in ("here/midflight", "here/.config/midflight"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.toml").write_text("agent = 'fake'")
    assert read_user(AGENTS) is None


def test_a_user_without_a_home_folder_has_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "here")
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 2)
    assert user_path() is None
    assert read_user(AGENTS) is None


def test_the_library_reads_neither_files_nor_the_variable(
    user: Write, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_AGENT", "fake")
    user("max_turns = 3")
    (project / "midflight.toml").write_text("max_budget_usd = 1")
    options = midflight.dispatch("hello", cwd=project).options
    assert options == Options(cwd=project)


# ------------------------------------------------------------------ the project's file


def test_the_nearest_file_up_to_the_root_of_the_repository_is_the_projects(
    project: Path, home: Path
) -> None:
    deep = project / "a" / "b"
    deep.mkdir(parents=True)
    (home / "midflight.toml").write_text("max_turns = 1")
    assert read_project(deep, AGENTS) is None
    for turns, folder in ((2, project), (3, project / "a"), (4, deep)):
        (folder / "midflight.toml").write_text(f"max_turns = {turns}")
        file = read_project(deep, AGENTS)
        assert file is not None
        assert file.top == {"max_turns": turns}


def test_outside_of_a_repository_the_home_folder_is_the_last_one(home: Path) -> None:
    deep = home / "a" / "b"
    deep.mkdir(parents=True)
    (home.parent / "midflight.toml").write_text("max_turns = 1")
    assert read_project(deep, AGENTS) is None
    (home / "midflight.toml").write_text("max_turns = 2")
    assert read_project(deep, AGENTS) is not None


def test_elsewhere_only_the_folder_itself_is_looked_at(tmp_path: Path) -> None:
    deep = tmp_path / "elsewhere" / "a"
    deep.mkdir(parents=True)
    (deep.parent / "midflight.toml").write_text("max_turns = 1")
    assert read_project(deep, AGENTS) is None
    (deep / "midflight.toml").write_text("max_turns = 2")
    assert read_project(deep, AGENTS) is not None


@fault("S7")
@pytest.mark.parametrize("key", [key for key in KEYS if key not in NARROWING])
@pytest.mark.parametrize("table", ["", "[agents.fake]\n"], ids=["top", "agent"])
def test_a_project_cannot_set_what_could_widen_or_redirect(
    project: Path, key: str, table: str
) -> None:
    (project / "midflight.toml").write_text(f"{table}{key} = 'x'")
    with pytest.raises(InvalidConfig, match=rf"{key}: a project can only narrow"):
        read_project(project, AGENTS)


@fault("S7")
@pytest.mark.parametrize("key", ["env", "mcp_servers", "setting_sources", "system_prompt", "cwd"])
def test_no_file_can_set_what_may_be_secret_or_load_more(project: Path, key: str) -> None:
    (project / "midflight.toml").write_text(f"{key} = 'x'")
    with pytest.raises(InvalidConfig, match=rf"{key}: this option cannot be set in a file"):
        read_project(project, AGENTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("terminal = 1", "terminal: expected a table"),
        ("[terminal]\nnotify = 'no'", "terminal.notify: expected true or false, got 'no'"),
        ("[terminal]\nnotfiy = true", "terminal.notfiy: there is no such key"),
    ],
)
def test_what_the_terminal_does_is_true_or_false(user: Write, text: str, said: str) -> None:
    user(text)
    with pytest.raises(InvalidConfig, match=said):
        read_user(AGENTS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("worktree = 'npm ci'", "worktree: expected a table"),
        ("[worktree]\nsetpu = 'npm ci'", "worktree.setpu: there is no such key"),
        ("[worktree]\nsetup = ['npm', 'ci']", "worktree.setup: expected text"),
        ("[worktree]\nsetup = ' '", "worktree.setup: there is nothing to run"),
    ],
)
def test_setup_of_a_new_folder_is_one_command(user: Write, text: str, said: str) -> None:
    user(text)
    with pytest.raises(InvalidConfig, match=said):
        read_user(AGENTS)


@fault("S7")
def test_a_project_names_no_command_for_a_new_folder(project: Path) -> None:
    (project / "midflight.toml").write_text("[worktree]\nsetup = 'touch ran'")
    with pytest.raises(InvalidConfig, match="worktree: there is no such key"):
        read_project(project, AGENTS)


def test_a_project_may_be_shared_with_others(project: Path) -> None:
    (project / "midflight.toml").write_text("max_turns = 1")
    (project / "midflight.toml").chmod(0o666)
    assert read_project(project, AGENTS) is not None


def test_a_project_lists_nothing_that_mcp_may_dispatch(project: Path) -> None:
    (project / "midflight.toml").write_text('[mcp]\npermission_mode = "plan"\n')
    with pytest.raises(InvalidConfig, match="mcp"):
        read_project(project, AGENTS)


# ------------------------------------------------------------------ documentation


def test_the_examples_in_the_documentation_are_read_and_show_every_key(
    user: Write, home: Path, project: Path
) -> None:
    mine, theirs = re.findall(r"^```toml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (home / "notes").mkdir()
    user(mine)
    (project / "midflight.toml").write_text(theirs)
    own, narrow = read_user(AGENTS), read_project(project, AGENTS)
    assert own is not None
    assert narrow is not None
    assert set(own.top) == set(KEYS)
    assert own.journal == "postgresql://ada@db.example/team"
    assert set(own.mcp) == set(MCP_KEYS)
    assert set(own.terminal) == set(TERMINAL_KEYS)
    assert set(own.worktree) == set(WORKTREE_KEYS)
    options = resolve({}, variable=None, user=own, project=narrow).options
    assert (options["max_turns"], options["max_budget_usd"]) == (30, 2.5)
    assert options["permission_mode"] == "default"
    assert options["disallowed_tools"] == ("WebFetch", "Bash(git push *)")


def test_the_documentation_lists_each_key_that_a_project_may_set() -> None:
    table = PAGE.read_text().split("## A project's file")[1].split("## What you type")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(NARROWING)

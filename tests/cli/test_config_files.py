from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.faults.manifest import fault

import midflight
from midflight.cli.config.files import read_project, read_user, user_path
from midflight.cli.config.merge import KEYS, NARROWING, Defaults, resolve
from midflight.errors import InvalidConfig
from midflight.options import PERMISSION_MODES, Options

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


def settled(
    said: dict[str, Any] | None = None,
    user: dict[str, Any] | None = None,
    project: dict[str, Any] | None = None,
    variable: str | None = None,
) -> dict[str, Any]:
    """Return the options that come of values in these places, without the agent's name."""
    files = {"user": Defaults(top=user or {}), "project": Defaults(top=project or {})}
    options = dict(resolve(said or {}, variable=variable, **files).options)
    del options["agent"]
    return options


# ------------------------------------------------------------------ who wins


def test_without_defaults_only_the_command_line_counts() -> None:
    nothing = resolve({"max_turns": 3}, variable=None, user=None, project=None)
    assert nothing.options == {"agent": Options(cwd=Path()).agent, "max_turns": 3}
    assert not nothing.overruled


def test_command_line_then_variable_then_file_choose_the_agent() -> None:
    file = Defaults(top={"agent": "of the file"})

    def chosen(said: dict[str, Any], variable: str | None, user: Defaults | None) -> str:
        agent = resolve(said, variable=variable, user=user, project=None).options["agent"]
        assert isinstance(agent, str)
        return agent

    assert chosen({"agent": "said"}, "of the variable", file) == "said"
    assert chosen({}, "of the variable", file) == "of the variable"
    assert chosen({}, None, file) == "of the file"
    assert chosen({}, None, None) == Options(cwd=Path()).agent


def test_the_table_of_an_agent_is_for_that_agent_and_wins_over_the_top() -> None:
    file = Defaults(
        top={"max_turns": 1, "timeout": 5.0},
        agents={"claude": {"max_turns": 2}, "fake": {"max_turns": 3, "effort": "low"}},
    )
    assert file.values("fake") == {"max_turns": 3, "timeout": 5.0, "effort": "low"}
    assert file.values("claude") == {"max_turns": 2, "timeout": 5.0}
    assert file.values("other") == {"max_turns": 1, "timeout": 5.0}


def test_a_model_beside_an_agent_is_not_given_to_another_agent() -> None:
    named = {"agent": "fake", "model": "m", "effort": "low", "agent_path": "/a", "timeout": 5.0}
    assert Defaults(top=named).values("claude") == {"timeout": 5.0}
    assert Defaults(top=named).values("fake").keys() == {
        "model",
        "effort",
        "agent_path",
        "timeout",
    }
    assert Defaults(top={"model": "m"}).values("claude") == {"model": "m"}


@pytest.mark.parametrize("limit", ["max_turns", "max_budget_usd", "timeout", "stall_timeout"])
def test_of_two_limits_the_smaller_holds(limit: str) -> None:
    assert settled(user={limit: 5}, project={limit: 3}) == {limit: 3}
    assert settled(user={limit: 3}, project={limit: 5}) == {limit: 3}
    assert settled(project={limit: 5}) == {limit: 5}


def test_of_two_permission_modes_the_stricter_holds() -> None:
    order = ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"]
    assert set(order) == set(PERMISSION_MODES)
    for place, strict in enumerate(order):
        for loose in order[place:]:
            for mine, theirs in ((strict, loose), (loose, strict)):
                both = settled(user={"permission_mode": mine}, project={"permission_mode": theirs})
                assert both == {"permission_mode": strict}


def test_a_project_cannot_loosen_the_mode_that_holds_without_a_file() -> None:
    assert settled(project={"permission_mode": "bypassPermissions"}) == {}
    assert settled(project={"permission_mode": "plan"}) == {"permission_mode": "plan"}


@pytest.mark.parametrize(
    ("mine", "project", "left"),
    [
        (("Read", "Edit"), ("Edit", "Write"), ("Edit",)),
        (("Read", "Edit"), (), ()),
        (("Bash",), ("Bash(ls)",), ("Bash(ls)",)),
        (("Bash(ls)", "Bash(rm)"), ("Bash",), ("Bash(ls)", "Bash(rm)")),
        (("Bash(ls)",), ("Bash(rm)",), ()),
        (("Bash",), ("Bash(ls),Edit",), ()),
        (("Bash",), ("Bash(ls),Edit(x)",), ()),
        (("Bash",), ("Bash(ls) Edit(x)",), ()),
        ((), ("Edit",), ()),
        (None, ("Edit",), None),
    ],
)
def test_a_project_allows_nothing_and_leaves_what_both_allow(
    mine: tuple[str, ...] | None, project: tuple[str, ...], left: tuple[str, ...] | None
) -> None:
    user = {} if mine is None else {"allowed_tools": mine}
    assert settled(user=user, project={"allowed_tools": project}).get("allowed_tools") == left


RULES = st.lists(st.sampled_from(["Bash", "Bash(ls)", "Bash(rm)", "Edit", "Edit(x)"])).map(tuple)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(("max_turns", "max_budget_usd", "timeout", "stall_timeout"), st.integers(1, 9)),
    "permission_mode": st.sampled_from(PERMISSION_MODES),
    "allowed_tools": RULES,
    "disallowed_tools": RULES,
}
TABLES = st.fixed_dictionaries({}, optional=VALUES)


def allows(rules: tuple[str, ...] | None, rule: str) -> bool:
    return bool({rule, rule.partition("(")[0]} & set(rules or ()))


@given(user=TABLES, project=TABLES)
def test_no_project_widens_anything(user: dict[str, Any], project: dict[str, Any]) -> None:
    order = ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"]
    alone, both = (Options.build(**settled(user=user, project=other)) for other in ({}, project))
    for limit in ("max_turns", "max_budget_usd", "timeout", "stall_timeout"):
        mine, left = getattr(alone, limit), getattr(both, limit)
        assert mine is None or left <= mine
    assert order.index(both.permission_mode) <= order.index(alone.permission_mode)
    assert set(alone.disallowed_tools or ()) <= set(both.disallowed_tools or ())
    for rule in both.allowed_tools or ():
        assert allows(alone.allowed_tools, rule)


def test_the_command_line_holds_against_the_project_and_that_is_told() -> None:
    said = {"max_turns": 9, "permission_mode": "acceptEdits", "allowed_tools": ("Edit", "Bash")}
    project = {"max_turns": 3, "permission_mode": "plan", "allowed_tools": ("Edit",)}
    file = Defaults(path=Path("p.toml"), top=project, lines={"max_turns": 4})
    result = resolve(said, variable=None, user=None, project=file)
    assert {name: result.options[name] for name in said} == said
    assert result.overruled == {
        "max_turns": "p.toml:4: max_turns",
        "permission_mode": "p.toml: permission_mode",
        "allowed_tools": "p.toml: allowed_tools",
    }


def test_options_that_are_narrow_enough_are_not_overruled() -> None:
    said = {"max_turns": 2, "disallowed_tools": ("Bash",), "permission_mode": "plan"}
    project = Defaults(
        top={"max_turns": 3, "disallowed_tools": ("Edit",), "permission_mode": "plan"}
    )
    assert resolve(said, variable=None, user=None, project=project).overruled == {}


def test_denials_of_all_sources_add_up() -> None:
    three: dict[str, Any] = {
        place: {"disallowed_tools": (tool, "Bash")}
        for place, tool in (("said", "Edit"), ("user", "Write"), ("project", "Read"))
    }
    denied = settled(**three)["disallowed_tools"]
    assert sorted(denied) == ["Bash", "Edit", "Read", "Write"]


def test_a_tool_allowed_by_its_exact_rule_is_not_denied_by_a_file() -> None:
    said = {"allowed_tools": ("Edit", "Bash(ls)")}
    denials = {"disallowed_tools": ("Edit", "Bash")}
    assert settled(said, user=denials)["disallowed_tools"] == ("Bash",)
    file = Defaults(path=Path("p.toml"), top=denials)
    result = resolve(said, variable=None, user=None, project=file)
    assert result.options["disallowed_tools"] == ("Bash",)
    assert result.overruled == {"disallowed_tools": "p.toml: disallowed_tools"}


def test_each_default_names_its_source() -> None:
    user = Defaults(
        path=Path("u.toml"),
        top={"timeout": 9.0, "max_turns": 9, "model": "m"},
        agents={"fake": {"effort": "low"}},
        lines={"timeout": 2, "agents.fake.effort": 5},
    )
    project = Defaults(path=Path("p.toml"), top={"timeout": 10.0, "max_turns": 3})
    sources = resolve({"model": "x"}, variable="fake", user=user, project=project).sources
    assert sources == {
        "agent": "MIDFLIGHT_AGENT",
        "timeout": "u.toml:2: timeout",
        "max_turns": "p.toml: max_turns",
        "effort": "u.toml:5: agents.fake.effort",
    }


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
        ("timeout = 2026-01-01", ":1: timeout: expected a number"),
        ("allowed_tools = 'Bash'", ":1: allowed_tools: expected a list"),
        ("allowed_tools = [\n  3,\n]", ":1: allowed_tools: expected text"),
        ("permission_mode = 'yolo'", ":1: permission_mode: 'yolo' is not one of"),
        ("agent = 'claud'", ":1: agent: there is no agent 'claud' (did you mean claude?)"),
        ("agent = 'xyzzy'", ":1: agent: there is no agent 'xyzzy' (known: claude, fake)"),
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


def test_a_project_may_be_shared_with_others(project: Path) -> None:
    (project / "midflight.toml").write_text("max_turns = 1")
    (project / "midflight.toml").chmod(0o666)
    assert read_project(project, AGENTS) is not None


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
    options = resolve({}, variable=None, user=own, project=narrow).options
    assert (options["max_turns"], options["max_budget_usd"]) == (30, 2.5)
    assert options["permission_mode"] == "default"
    assert options["disallowed_tools"] == ("WebFetch", "Bash(git push *)")


def test_the_documentation_lists_each_key_that_a_project_may_set() -> None:
    table = PAGE.read_text().split("## A project's file")[1].split("## What you type")[0]
    rows = re.findall(r"^\| (`.*?`) \|", table, re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(NARROWING)

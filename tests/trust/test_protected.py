"""Which files no agent writes unasked: all that decides what may run next time, however named."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.manifest import fault

from midflight.agents.acp.content import AcpCall
from midflight.agents.acp.permissions import AcpPermissions
from midflight.agents.acp.presets import PRESETS
from midflight.agents.claude.hooks import Hooks
from midflight.agents.claude.trust import OBEYED as CLAUDE
from midflight.agents.opencode.trust import OBEYED as OPENCODE
from midflight.agents.shared.obeyed import protected
from midflight.effects import CommandEffect, EditEffect, rule_of
from midflight.journal import JournalLocation
from midflight.options import Options
from midflight.trust import stake
from midflight.trust.protected import MOST_WORDS, Protected

FOLDER = (
    *(".git/config", ".git/hooks/pre-commit", ".git/info/attributes", ".git/worktrees/w/config"),
    *(".claude/settings.json", ".claude/settings.local.json", ".claude/hooks/check.sh"),
    *(".claude/agents/a.md", ".claude/commands/c.md", ".claude/skills/s/SKILL.md", ".mcp.json"),
    *("opencode.json", "opencode.jsonc", ".opencode/plugin/a.js", ".opencode/tool/t.ts"),
    *(".opencode/node_modules/zod/index.js", "midflight.toml", "deep/er/.claude/settings.json"),
    *("deep/.opencode/opencode.json", ".gemini/settings.json", ".codex/config.toml", ".cursor/x"),
    *(".github/hooks/a.json", ".claude/worktrees/w/.claude/settings.json", "sub/.git"),
)
"""In the folder of a session; none of them is there yet."""

HOME = (
    *(".claude/settings.json", ".claude/CLAUDE.md", ".claude/projects/p/a.jsonl", ".claude.json"),
    *(".config/opencode/opencode.json", ".config/opencode/AGENTS.md", ".config/goose/config.yaml"),
    *(".local/share/opencode/auth.json", ".cache/opencode/node_modules/p/index.js", ".gitconfig"),
    *(".config/git/config", ".gemini/settings.json", ".config/agents/skills/s/SKILL.md"),
    *(".config/cursor/cli-config.json", ".agents/plugins/p/hooks/hooks.json"),
)
"""The user's own."""

STATE = ("trust.json", "journal.sqlite", "journal.sqlite-wal", "hosts/a.sock", "new")

FREE = (
    *(
        "a.py",
        "src/git/config",
        "CLAUDE.md",
        "AGENTS.md",
        ".claude/CLAUDE.md",
        ".claude/rules/a.md",
    ),
    *(".gitignore", ".github/workflows/ci.yml", "claude/settings.json", "docs/.mcp.json.md"),
    *(".opencode/plans/p.md", ".claude/worktrees/w/a.py", ".env", "x.git/y"),
)
"""Text, what agents keep for themselves, and all else."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    for variable in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(variable, raising=False)
    home.mkdir()
    return home


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    cwd = tmp_path / "repo"
    (cwd / ".git").mkdir(parents=True)
    return cwd


def judge(cwd: Path, **options: object) -> Protected:
    return protected(Options.build(cwd=cwd, **options))


def plain(root: Path, name: str) -> str:
    return f"{root}/{name}"


def relative(root: Path, name: str) -> str:
    """As seen from the session's folder, which is above."""
    return f"{root.name}/{name}"


def roundabout(root: Path, name: str) -> str:
    """Through folders that are not there, and back."""
    folder, _, last = name.rpartition("/")
    return f"{root}/none/./../{folder}//none/../{last}"


def other_case(root: Path, name: str) -> str:
    """As a disk that ignores case takes it for the same; nor does it see what nobody sees."""
    return f"{root}/{name.swapcase()[:2]}\u200c{name.swapcase()[2:]}"


def linked_folder(root: Path, name: str) -> str:
    """Through a link to the folder that it is in."""
    place = root / name
    place.parent.mkdir(parents=True, exist_ok=True)
    (root / "way").symlink_to(place.parent)
    return f"{root}/way/{place.name}"


def linked_file(root: Path, name: str) -> str:
    """Through a link to a link to it; it need not be there."""
    (root / "first").symlink_to(name)
    (root / "innocent.txt").symlink_to("first")
    return f"{root}/innocent.txt"


def through_the_target(root: Path, name: str) -> str:
    """By ``..`` behind a link, which the system takes from where the link leads."""
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    below = (root / name).parent / "below"
    below.mkdir()
    (root / "way").symlink_to(below)
    return f"{root}/way/../{Path(name).name}"


SPELLINGS = (
    *(plain, relative, roundabout, other_case, linked_folder, linked_file, through_the_target),
)
Spelling = Callable[[Path, str], str]


def spelled(base: Path, names: tuple[str, ...], spelling: Spelling) -> dict[str, str]:
    """Return how each file is spelled, each in a folder of its own: the links have room there."""
    found = {}
    for number, name in enumerate(names):
        root = base / f"r{number}"
        root.mkdir()
        found[name] = spelling(root, name)
    return found


@fault("S8")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_file_in_any_folder_is_protected_however_it_is_spelled(
    home: Path, cwd: Path, spelling: Spelling
) -> None:
    paths = spelled(cwd, FOLDER, spelling)
    protected = judge(cwd)
    assert [name for name, path in paths.items() if not protected(path)] == []


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_other_files_are_not_protected_however_they_are_spelled(
    home: Path, cwd: Path, spelling: Spelling
) -> None:
    paths = spelled(cwd, FREE, spelling)
    protected = judge(cwd)
    assert [name for name, path in paths.items() if protected(path)] == []


@fault("S8")
@pytest.mark.parametrize("place", ["repo", "home", "home/work"])
def test_settings_of_the_user_are_protected_wherever_a_session_works(
    home: Path, cwd: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / place).mkdir(exist_ok=True)
    protected = judge(tmp_path / place)
    ways = [f"{home}/{name}" for name in HOME] + [f"~/{name}" for name in HOME]
    assert [way for way in ways if not protected(way)] == []
    assert not protected("~/notes.md")
    assert not protected("~/.config/other/x")


@fault("S8")
def test_journal_configuration_and_trust_of_midflight_are_protected(
    home: Path, cwd: Path, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    protected = judge(home, env={"XDG_STATE_HOME": str(home / "agents"), "HOME": "/nowhere"})
    ways = [f"{state}/{name}" for name in STATE] + ["~/.config/midflight/config.toml"]
    ways[-1] = f"{home}/.config/midflight/config.toml"
    assert [way for way in ways if not protected(way)] == []
    assert not protected(f"{state}/worktrees/w/a.py")  # where some systems keep them


@fault("S8")
def test_journal_that_a_program_names_is_protected(
    home: Path, cwd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder in which its sockets lie where their paths would be too long."""
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        monkeypatch.setattr(tempfile, "tempdir", short)
        named = tmp_path / ("named" * 20)
        assert not judge(cwd)(f"{named}/journal.sqlite")
        socket = JournalLocation(named).socket("x")
        assert socket.parent.parent == Path(short)
        protected = judge(cwd)
        ways = [*(f"{named}/{name}" for name in STATE), f"{socket.parent}/a.sock"]
        assert [way for way in ways if not protected(way)] == []
    assert not protected(f"{tmp_path}/t/other")


def test_homes_of_agents_that_variables_name_are_protected(home: Path, cwd: Path) -> None:
    variables = {
        "CLAUDE_CONFIG_DIR": "settings.json",
        "OPENCODE_CONFIG_DIR": "plugin/a.js",
        "XDG_CONFIG_HOME": "opencode/opencode.json",
        "XDG_DATA_HOME": "opencode/auth.json",
        "CODEX_HOME": "config.toml",
        "GIT_CONFIG_GLOBAL": "",
    }
    protected = judge(cwd, env={name: str(cwd / name) for name in variables})
    ways = [f"{name}/{file}" for name, file in variables.items()]
    assert [way for way in ways if not protected(way)] == []


def test_what_the_model_itself_keeps_in_its_home_is_free(home: Path, cwd: Path) -> None:
    protected = judge(cwd)
    assert not protected("~/.claude/plans/a-plan.md")
    assert not protected("~/.claude/projects/p/memory/MEMORY.md")
    assert protected("~/.claude/plans/../settings.json")
    (home / ".claude" / "plans").mkdir(parents=True)
    (home / ".claude" / "plans" / "a.md").symlink_to("../settings.json")
    assert protected("~/.claude/plans/a.md")


@fault("S8")
def test_git_of_a_worktree_is_protected_under_any_name(home: Path, tmp_path: Path) -> None:
    def git(*words: str | Path) -> None:
        env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"}
        named = ("-c", "user.name=n", "-c", "user.email=e@e")
        subprocess.run(["git", *named, *words], check=True, capture_output=True, env=env)

    first, bare, tree = tmp_path / "first", tmp_path / "store", tmp_path / "tree"
    git("init", "-q", first)
    git("-C", first, "commit", "-q", "--allow-empty", "-m", "x")
    git("clone", "-q", "--bare", first, bare)
    git("-C", bare, "worktree", "add", tree)
    git("-C", bare, "config", "core.hooksPath", "scripts/hooks")
    protected = judge(tree)
    for way in ("config", "hooks/pre-commit", "worktrees/tree/config.worktree"):
        assert protected(f"{bare}/{way}"), way
    assert protected(".git")
    assert protected("scripts/hooks/pre-commit")
    assert not protected("scripts/build.sh")


@fault("S8")
@pytest.mark.parametrize("config", ["", "hooksPath = ~nobody-here/x", "hooksPath = a\0b"])
def test_configuration_of_git_that_makes_no_sense_is_in_no_way(
    home: Path, cwd: Path, config: str
) -> None:
    """It may be a pipe, or name what cannot be: it is not waited for, and the rest is protected."""
    place = cwd / ".git" / "config"
    if config:
        place.write_text(f"[core]\n\t{config}\n")
    else:
        os.mkfifo(place)
    protected = judge(cwd)
    assert protected(".git/config")
    assert not protected("a.py")


def test_what_a_link_in_the_folder_leads_to_is_protected_there_too(home: Path, cwd: Path) -> None:
    (cwd / "settings").mkdir()
    (cwd / ".claude").symlink_to("settings")
    (cwd / ".git" / "hooks").symlink_to("../my-hooks")
    protected = judge(cwd)
    assert protected("settings/settings.json")
    assert protected("my-hooks/pre-commit")
    assert not protected("other/settings.json")


def test_file_that_a_command_of_the_folder_names_is_protected(home: Path, cwd: Path) -> None:
    (cwd / "scripts").mkdir()
    (cwd / "scripts" / "check.sh").write_text("true")
    (cwd / ".mcp.json").write_text('{"mcpServers": {"s": {"command": "scripts/check.sh"}}}')
    options = Options.build(cwd=cwd)
    at_stake = stake.look(options, CLAUDE)
    assert protected(options, at_stake)("scripts/check.sh")
    assert not protected(options, at_stake)("scripts/other.sh")


def test_all_that_trust_is_about_is_protected(home: Path, cwd: Path) -> None:
    names = (*CLAUDE.names, *OPENCODE.names)
    names += tuple(name for preset in PRESETS.values() for name in preset.files)
    protected = judge(cwd)
    assert [name for name in names if not protected(f"deep/er/{name}")] == []


@pytest.mark.parametrize("path", ["a\0b", "\ud800"])
def test_name_that_no_disk_has_is_asked_for(home: Path, cwd: Path, path: str) -> None:
    assert judge(cwd)(path)


@fault("S8")
@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("cp evil .git/hooks/pre-commit", True),
        ("cd .. && touch repo/.mcp.json", True),
        ("echo x >midflight.toml", True),
        ("echo x | tee -a '.claude/settings.json'", True),
        ("dd if=x of=.opencode/plugin/a.js", True),
        ("mv x way/y", True),
        ("cp evil .g''it/hooks/pre-commit", True),
        ('cp evil mid"flight".toml', True),
        ("cp evil midfli\\ght.toml", True),
        ("cat .git/config", False),
        ("cp a b", False),
        ("grep -r touch src", False),
    ],
)
def test_command_that_writes_and_names_a_protected_file_is_found(
    home: Path, cwd: Path, command: str, named: bool
) -> None:
    (cwd / "way").symlink_to(".git/hooks")
    assert judge(cwd).named_in(command, str(cwd)) is named


@fault("S8")
def test_edit_of_a_protected_file_says_so_and_has_no_rule(home: Path, cwd: Path) -> None:
    (cwd / "way").symlink_to(".git")
    command = CommandEffect(command="ls", cwd=str(cwd))
    effects = (
        EditEffect(path=f"{cwd}/a.py"),
        EditEffect(path=f"{cwd}/.mcp.json"),
        EditEffect(path=f"{cwd}/way/config", target=f"{cwd}/.git/config"),
        command,
    )
    free, *guarded, same = judge(cwd).marked(effects)
    assert (free, same) == (effects[0], command)
    assert all(isinstance(each, EditEffect) and each.protected for each in guarded)
    assert rule_of([free], str(cwd)) == f"Edit({cwd}/**)"
    assert [rule_of([each], str(cwd)) for each in guarded] == ["", ""]


@fault("S8")
@pytest.mark.parametrize(
    "command",
    [["cp", "evil", ".mcp.json"], "cp evil .mcp.json" + " " * 5000, ["cp evil .mcp.json"]],
)
def test_command_of_an_acp_agent_is_looked_at_in_any_form(
    home: Path, cwd: Path, command: object
) -> None:
    permissions = AcpPermissions(Options.build(cwd=cwd, agent="acp:x", allowed_tools=["Bash"]))
    permissions.protected = judge(cwd)
    call = AcpCall(id="1")
    call.learn({"kind": "execute", "title": "a command", "rawInput": {"command": command}})
    assert permissions.verdict(call) == "ask"


@fault("S8")
@pytest.mark.parametrize("tool", ["Bash", "Monitor", "PowerShell"])
def test_every_shell_of_claude_is_looked_at(home: Path, cwd: Path, tool: str) -> None:
    hooks = Hooks(Options.build(cwd=cwd))
    hooks.protected = judge(cwd)
    (called,) = [
        hook["hookCallbackIds"]
        for hook in hooks.registered()
        if tool in str(hook["matcher"]).split("|")
    ]
    about = {
        "tool_name": tool,
        "tool_input": {"command": "cp evil .mcp.json"},
        "tool_use_id": "1",
        "cwd": str(cwd),
    }
    assert isinstance(called, list)
    request = {"subtype": "hook_callback", "callback_id": called[0], "input": about}
    assert "ask" in str(hooks.answer(request))


@fault("S8")
@pytest.mark.parametrize(
    ("count", "name", "named"), [(2_000, ".mcp.json", True), (2_000, "b", False)]
)
def test_protected_file_behind_many_words_is_found(
    home: Path, cwd: Path, count: int, name: str, *, named: bool
) -> None:
    command = f"touch {' '.join(f'a{number}' for number in range(count))} && cp a {name}"
    assert judge(cwd).named_in(command, str(cwd)) is named


@fault("S8")
def test_command_with_more_words_than_are_looked_at_is_asked_for(home: Path, cwd: Path) -> None:
    command = f"touch {' '.join(f'a{number}' for number in range(MOST_WORDS))}"
    assert judge(cwd).named_in(command, str(cwd))

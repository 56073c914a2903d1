"""What OpenCode may do without asking: the permission modes, the options, and nothing by guess."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

from midflight.agents.opencode.permissions import (
    BASE,
    OpenCodePermissions,
    PermissionRequest,
    as_config,
    check,
    rules,
    skills,
    tool,
)
from midflight.agents.opencode.program import check_options
from midflight.agents.shared.obeyed import protected
from midflight.errors import UnsupportedOption
from midflight.options import PERMISSION_MODES, Options
from midflight.trust.protected import WHY


def asked(
    permission: str = "bash", name: str = "", patterns: Any = (), **given: Any
) -> PermissionRequest:
    told = {"id": "per", "sessionID": "ses", "permission": permission, "patterns": patterns}
    if permission == "edit":
        told["metadata"] = {"filepath": str(Path("a.py").absolute())}
    return PermissionRequest(told, name or permission, given)


def edit(metadata: Any, call: str = "c", **more: Any) -> PermissionRequest:
    about = {"tool": {"messageID": "m", "callID": call}, "metadata": metadata, **more}
    told = {"id": "per", "sessionID": "ses", "permission": "edit", "patterns": ["a"], **about}
    return PermissionRequest(told, "write", {})


def judge(**options: Any) -> OpenCodePermissions:
    built = Options.build(**options)
    policy = OpenCodePermissions(built)
    policy.protected = protected(built)
    return policy


def verdict(request: PermissionRequest, **options: Any) -> str:
    return judge(**options)(request).decision


@pytest.mark.parametrize(
    "command",
    [
        *("ls", "ls -la src", "ls -R", "cat README.md docs/a-b.md", "pwd", "echo a=b", "id -u"),
        *(
            "grep -n word src/a.py",
            "grep -inE -A3 word a b",
            "head -n 5 a",
            "tail -n5 a",
            "wc -l a",
        ),
        *("du -sh src", "tail +5 a", "head --lines=5 a", "ls --all", "which python3"),
    ],
)
@pytest.mark.parametrize("mode", PERMISSION_MODES)
def test_plain_command_that_only_reads_in_the_folder_is_never_asked(
    mode: str, command: str
) -> None:
    assert verdict(asked(command=command), permission_mode=mode) == "allow"


@fault("S9")
@pytest.mark.parametrize(
    "command",
    [
        "",
        "touch a",
        "ls; touch a",
        "ls && touch a",
        "ls | tee a",
        "ls\ntouch a",
        "ls & touch a",
        "echo x > ~/.bashrc",
        "echo x >> a",
        "echo $(touch a)",
        "echo `touch a`",
        "cat ../secret",
        "cat a/../../secret",
        "cat /etc/passwd",
        "cat ~/.ssh/id_rsa",
        "cat $HOME/.netrc",
        "grep -r 'x' .",
        "cat *",
        "cat .env",
        "head conf/.env.local",
        "lsof",
        "catnap",
        "LS=1 ls",
        "git diff",
        "find . -delete",
        "rg --pre=sh x",
        "grep -r . .",
        "grep -rn word src",
        "grep -nR word src",
        "grep --recursive word src",
        "grep --rec word src",
        "grep -d recurse word src",
        "grep -drecurse word src",
        "grep --directories=recurse word src",
        "grep -f list a",
        "grep -fsafe a",
        "rgrep word src",
        "rg word",
        "git grep word",
        "git show HEAD:conf",
        "find . -type f",
        "tar cf - src",
        "head src/*",
        "tail -f a",
        "cat .e[n]v",
        "cat .ENV",
        "cat conf/Prod.Env.local",
        "wc --files0-from list",
        "wc --files0-from=list",
        "wc --fi=list",
        "du -Xlist",
        "cat -- a",
        "\u0435cho hello",
        "echo h\u0435llo",
        "grep -f/etc/passwd a",
        "wc --files0-from=/etc/passwd",
        "ls " + "\u202e" + "a",
        "echo {a,b}",
        "cat <a",
        "ls \\\n touch",
        "echo !!",
        " ls",
    ],
)
def test_command_that_could_do_anything_else_is_asked_for(command: str) -> None:
    assert verdict(asked(command=command)) == "ask"


def test_link_that_leads_out_of_the_folder_is_asked_for(tmp_path: Path) -> None:
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    outside.mkdir()
    (inside / "way").symlink_to(outside)
    (inside / "plain").mkdir()
    assert verdict(asked(command="cat plain/x"), cwd=inside) == "allow"
    assert verdict(asked(command="cat way/x"), cwd=inside) == "ask"


@fault("S9")
@pytest.mark.parametrize("target", [".env", "conf/.env.local", "Prod.ENV"])
def test_link_to_a_file_with_secrets_is_asked_for(tmp_path: Path, target: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / target).write_text("TOKEN=s3cret")
    (tmp_path / "plain").symlink_to(tmp_path / target)
    (tmp_path / "other").write_text("x")
    assert verdict(asked(command="cat other"), cwd=tmp_path) == "allow"
    assert verdict(asked(command="cat plain"), cwd=tmp_path) == "ask"


def test_command_counts_as_one_only_by_its_text() -> None:
    assert verdict(asked(command=["ls"])) == "ask"
    assert verdict(asked("edit", command="ls")) == "ask"


@pytest.mark.parametrize(
    ("mode", "edit", "command", "outside", "unknown"),
    [
        ("default", "ask", "ask", "ask", "ask"),
        ("acceptEdits", "allow", "ask", "ask", "ask"),
        ("plan", "deny", "deny", "ask", "deny"),
        ("dontAsk", "ask", "ask", "ask", "ask"),
        ("bypassPermissions", "ask", "ask", "ask", "ask"),
    ],
)
def test_mode_decides_its_own_requests_and_leaves_others_to_the_session(
    mode: str, edit: str, command: str, outside: str, unknown: str
) -> None:
    policy = judge(permission_mode=mode)
    requests = [
        asked("edit", "write"),
        asked(command="make"),
        asked("external_directory", "bash"),
        asked("shout_it"),
    ]
    assert [policy(each).decision for each in requests] == [edit, command, outside, unknown]


def test_mode_can_be_switched_at_any_time() -> None:
    policy = judge()
    policy.mode = "acceptEdits"
    assert policy(asked("edit", "write")).decision == "allow"


@pytest.mark.parametrize("name", ["Bash", "bash"])
def test_allowed_tool_runs_unasked_by_either_name(name: str) -> None:
    assert verdict(asked(command="make"), allowed_tools=[name]) == "allow"
    assert verdict(asked("external_directory", "bash"), allowed_tools=[name]) == "allow"
    assert verdict(asked("edit", "write"), allowed_tools=[name]) == "ask"


def test_allowed_editor_is_no_permission_for_another_one() -> None:
    assert verdict(asked("edit", "edit"), allowed_tools=["Edit"]) == "allow"
    assert verdict(asked("edit", "write"), allowed_tools=["Edit"]) == "ask"


@pytest.mark.parametrize("name", ["Bash", "Edit", "mcp__good__shout"])
def test_plan_mode_changes_nothing_by_an_allowed_tool_either(name: str) -> None:
    request = asked({"Bash": "bash", "Edit": "edit"}.get(name, "good_shout"), command="rm a")
    assert verdict(request, allowed_tools=[name], permission_mode="plan") == "deny"


def test_opencodes_own_notes_are_read_without_asking() -> None:
    notes = "/home/x/.local/share/opencode/tool-output/*"
    assert verdict(asked("external_directory", "read", [notes])) == "allow"
    assert verdict(asked("external_directory", "bash", [notes])) == "ask"
    assert verdict(asked("external_directory", "read", [notes, "/etc/*"])) == "ask"


def test_reading_command_in_another_folder_is_asked_for() -> None:
    assert verdict(asked(command="cat a", workdir="/tmp")) == "ask"


def test_disallowed_tool_is_refused_even_where_it_is_allowed_too() -> None:
    both = {"allowed_tools": ["Bash"], "disallowed_tools": ["Bash"]}
    assert verdict(asked(command="ls"), **both) == "deny"


def test_folders_that_were_added_are_worked_in_without_asking(tmp_path: Path) -> None:
    def outside(*patterns: str) -> str:
        request = asked("external_directory", "read", patterns)
        return verdict(request, add_dirs=[tmp_path])

    assert outside(f"{tmp_path}/*") == "allow"
    assert outside(f"{tmp_path}/deep/er/*") == "allow"
    assert outside(f"{tmp_path}/*", "/etc/*") == "ask"
    assert outside(f"{tmp_path}/../*") == "ask"
    assert outside(f"{tmp_path}-other/*") == "ask"
    assert outside() == "ask"


def test_rule_about_a_part_of_a_tool_is_refused_before_anything_starts() -> None:
    with pytest.raises(UnsupportedOption, match=r"allowed_tools.*Bash\(git"):
        check(Options.build(allowed_tools=["Bash(git:*)"]))


def added(**options: Any) -> list[tuple[str, str]]:
    """Return the session's rules behind those that every session has."""
    told = rules(Options.build(**options), [], "build")
    assert told[: len(BASE)] == BASE
    return [(rule["permission"], rule["action"]) for rule in told[len(BASE) :]]


def test_disallowed_tool_is_not_even_offered() -> None:
    assert added() == []
    assert added(disallowed_tools=["Bash", "mcp__good__shout", "mcp__other"]) == [
        ("bash", "deny"),
        ("good_shout", "deny"),
        ("other_*", "deny"),
    ]


PROTECTED: tuple[dict[str, Any], ...] = (
    {"filepath": "{cwd}/.git/hooks/pre-commit"},
    {"filepath": "{cwd}/way/config"},
    {
        "filepath": "a.py, b.py",
        "files": [{"filePath": "{cwd}/a.py"}, {"filePath": "{cwd}/.mcp.json"}],
    },
    {"filepath": "a.py", "files": [{"filePath": "{cwd}/a.py", "movePath": "{cwd}/opencode.json"}]},
    {},
    {"filepath": None},
    {"files": []},
    {"files": ["a.py"]},
)
"""What OpenCode tells of an edit: a protected file, several, and nothing that is understood."""


@fault("S8")
@pytest.mark.parametrize("metadata", PROTECTED)
def test_edit_of_a_protected_file_is_asked_for_whatever_is_allowed(
    tmp_path: Path, metadata: dict[str, Any]
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "way").symlink_to(".git")
    told = json.loads(json.dumps(metadata).replace("{cwd}", str(tmp_path)))
    policy = judge(cwd=tmp_path, permission_mode="acceptEdits", allowed_tools=["Edit", "Write"])
    assert policy(edit(told)) == ("ask", WHY)
    policy.mode = "plan"
    assert policy(edit(told)).decision == "deny"
    assert policy(asked(command="cp a .git/config")).decision == "deny"


@fault("S8")
def test_allowed_command_that_names_a_protected_file_is_asked_for(tmp_path: Path) -> None:
    policy = judge(cwd=tmp_path, allowed_tools=["Bash"])
    assert policy(asked(command="cp a .mcp.json")).decision == "ask"
    assert policy(asked(command="cp a settings.json", workdir=".claude")).decision == "ask"
    assert policy(asked(command="cp a b")).decision == "allow"


def test_accepted_edit_that_a_link_leads_outside_is_asked_for(tmp_path: Path) -> None:
    inside, outside, more = (tmp_path / name for name in ("in", "out", "more"))
    for folder in (inside, outside, more):
        folder.mkdir()
    (inside / "link").symlink_to(outside)
    policy = judge(cwd=inside, add_dirs=[more], permission_mode="acceptEdits")

    def write(path: Path, call: str = "c") -> str:
        return policy(edit({"filepath": str(path)}, call)).decision

    assert write(inside / "new" / "a.py") == "allow"
    assert write(more / "a.py") == "allow"
    assert write(inside / "link" / "a.py") == "ask"
    assert write(outside / "a.py") == "ask"


def test_accepted_edit_outside_is_asked_for_only_once(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    policy = judge(cwd=tmp_path / "in", permission_mode="acceptEdits")
    outside = {"permission": "external_directory", "patterns": [f"{tmp_path}/out/*"]}
    assert policy(edit({}, "first", **outside)).decision == "ask"
    file = {"filepath": f"{tmp_path}/out/a.py"}
    assert policy(edit(file, "first")).decision == "allow"
    assert policy(edit({"filepath": f"{tmp_path}/other/a.py"}, "first")).decision == "ask"
    assert policy(edit(file, "second")).decision == "ask"


def test_editors_share_a_permission_so_one_alone_is_refused_when_it_asks() -> None:
    assert added(disallowed_tools=["Write"]) == []
    assert added(disallowed_tools=["Write", "Edit"]) == [("edit", "deny")]
    refused = {"disallowed_tools": ["Write"], "permission_mode": "acceptEdits"}
    assert verdict(asked("edit", "write"), **refused) == "deny"
    assert verdict(asked("edit", "edit"), **refused) == "allow"
    assert verdict(asked("edit", "apply_patch"), **refused) == "deny"
    assert verdict(asked("edit", "write"), disallowed_tools=["Edit"]) == "ask"


@pytest.mark.parametrize("name", ["mcp__my.garden", "mcp__my.garden__plant"])
def test_mcp_server_is_disallowed_as_a_whole_or_by_tool(name: str) -> None:
    assert verdict(asked("my_garden_plant"), disallowed_tools=[name]) == "deny"
    assert verdict(asked("my_gardens_plant"), disallowed_tools=[name]) == "ask"
    assert verdict(asked("my_garden_plant"), allowed_tools=[name]) == "allow"


LOOSE = [
    [{"permission": "bash", "pattern": "*", "action": "allow"}],
    [{"permission": "*", "pattern": "*", "action": "allow"}],
    [*BASE, {"permission": "zz_*", "pattern": "*", "action": "allow"}],
]


@pytest.mark.parametrize("permission", LOOSE)
def test_permissions_that_a_project_loosens_are_asked_for_again(permission: Any) -> None:
    told = rules(Options.build(), [{"name": "general", "permission": permission}], "build")
    assert told == [*BASE, {"permission": "task", "pattern": "*", "action": "ask"}]
    strict = [{"name": "general", "permission": [*LOOSE[1], *BASE]}]
    assert rules(Options.build(), strict, "build") == BASE


def test_denial_of_the_users_own_rules_stays_denied() -> None:
    rm = {"permission": "bash", "pattern": "rm *", "action": "deny"}
    taken_back = {"permission": "question", "pattern": "*", "action": "deny"}
    allowed = {"permission": "question", "pattern": "*", "action": "allow"}
    agents = [{"name": "mine", "permission": [taken_back, allowed, *BASE, rm]}]
    assert rules(Options.build(), agents, "mine") == [*BASE, rm]


def test_named_skills_are_the_only_ones_and_none_means_none() -> None:
    told = skills(Options.build(skills=["plug:alpha"]))
    assert [(rule["pattern"], rule["action"]) for rule in told] == [
        ("*", "deny"),
        ("alpha", "allow"),
    ]
    assert [rule["action"] for rule in skills(Options.build(skills=[]))] == ["deny"]
    assert skills(Options.build()) == []
    named = rules(Options.build(skills=["plug:alpha"]), [], "build")
    assert "skill" not in [rule["permission"] for rule in named]
    assert verdict(asked("skill", patterns=["alpha"]), skills=["plug:alpha"]) == "allow"
    assert verdict(asked("skill", patterns=["beta"]), skills=["plug:alpha"]) == "deny"


def test_call_that_is_not_known_to_be_harmless_is_asked_for() -> None:
    config = as_config(BASE)
    assert config["*"] == "ask"
    assert config["read"] == {"*": "allow", "*.env": "ask", "*.env.*": "ask"}
    assert "bash" not in config
    assert "edit" not in config


def test_claudes_names_mean_opencodes_tools() -> None:
    names = ("Bash", "WebFetch", "Task", "mcp__good__shout", "good_shout", "my_own")
    assert [tool(name) for name in names] == [
        "bash",
        "webfetch",
        "task",
        "good_shout",
        "good_shout",
        "my_own",
    ]


def test_link_into_the_folder_leads_to_no_folder_outside(tmp_path: Path) -> None:
    """OpenCode compares paths as text, and takes the folder behind a link for another one."""
    folder, link, out = tmp_path / "real", tmp_path / "link", tmp_path / "out"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "leads-out").symlink_to(out)
    options = {"cwd": link, "permission_mode": "acceptEdits"}
    for place, decision in ((link, "allow"), (link / "leads-out", "ask"), (tmp_path, "ask")):
        pattern = asked("external_directory", "write", [f"{place}/*"])
        assert verdict(pattern, **options) == decision, place
        told = edit({"filepath": str(place / "a.py")})
        assert verdict(told, **options) == decision, place


@pytest.mark.parametrize(
    "conversation", ["..", "a/../../config", "ses_1?x=1", "ses_1#", "%2e%2e", "ses 1", "", "\ud800"]
)
def test_conversation_that_is_no_part_of_a_path_is_refused(conversation: str) -> None:
    """It may come from a row that another role has written."""
    with pytest.raises(UnsupportedOption, match="no conversation of OpenCode"):
        check_options(Options(agent="opencode", cwd=Path("/"), resume=conversation))

"""What an agent hands down to the sessions that it begins: no more than any above it has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault

from midflight.config.reading import user_path
from midflight.errors import NotAllowed
from midflight.family import Family
from midflight.journal import SessionRow
from midflight.narrowing import STRICTEST_FIRST
from midflight.options import Options
from midflight.reach import Reach


def row(id: str, parent: str = "", **changed: Any) -> SessionRow:
    own = {"permission_mode": "default", "status": "idle", "total_cost_usd": 0.0}
    own |= {"agent": "claude", "cwd": "/", "agent_session": ""}
    own |= {name: changed.pop(name) for name in tuple(own) if name in changed}
    own["known_usd"] = own["total_cost_usd"] or 0.0
    return SessionRow(
        id=id,
        name=id,
        model="",
        options=changed,
        parent=parent,
        last="",
        pending=(),
        turns=0,
        seq=1,
        created=0.0,
        updated=0.0,
        host=None,
        address=None,
        **own,  # type: ignore[arg-type]
    )


def family(*rows: SessionRow, **more: Any) -> Family:
    return Family(rows, **more)


def asked(**options: Any) -> Options:
    return Options.build(**({"cwd": Path("/")} | options))


# Who is who ---------------------------------------------------------------------------------


def test_line_goes_from_a_session_to_those_above_it() -> None:
    known = family(row("a"), row("b", "a"), row("c", "b"))
    assert known.line(["c"]) == ("c", "b", "a")
    assert known.line(["a", "b", "c"]) == ("c", "b", "a")
    assert known.line([]) == ()


def test_session_in_no_journal_counts_as_the_one_around_it() -> None:
    known = family(row("a"))
    assert known.line(["a", "~nowhere"])[0] == "a"
    assert known.line(["~outer", "~inner"]) == ("inner", "outer")


@fault("S17")
@pytest.mark.parametrize("inside", [["gone"], ["gone", "~inner"], ["~outer", "gone"]], ids=str)
def test_program_of_a_session_in_another_journal_is_refused(inside: list[str]) -> None:
    """Whatever names that journal: here nothing above it is known, and nothing would bind it."""
    with pytest.raises(NotAllowed, match="not in this journal"):
        family(row("a")).line(inside)


@fault("S17")
@pytest.mark.parametrize("inside", [["a", "other"], ["b", "a", "other"], ["?"], ["a", "?"]])
def test_program_that_says_that_it_is_of_another_session_is_refused(inside: list[str]) -> None:
    with pytest.raises(NotAllowed):
        family(row("a"), row("b", "a"), row("other")).line(inside)


@fault("S19")
def test_descendants_are_what_a_session_has_begun_at_any_depth() -> None:
    known = family(row("a"), row("b", "a"), row("c", "b"), row("other"))
    assert [each for each in ("a", "b", "c", "other") if known.descends(each, "a")] == ["b", "c"]


# What is handed down ------------------------------------------------------------------------


@fault("S16", "S17")
@pytest.mark.parametrize("above", STRICTEST_FIRST)
@pytest.mark.parametrize("mode", STRICTEST_FIRST)
def test_permission_mode_is_none_that_is_wider(above: str, mode: str) -> None:
    known = family(row("a", permission_mode=above))
    if STRICTEST_FIRST.index(mode) <= STRICTEST_FIRST.index(above):
        assert known.begin(asked(permission_mode=mode), ["a"]).permission_mode == mode
    else:
        with pytest.raises(NotAllowed, match=f"{mode} is wider than {above}"):
            known.begin(asked(permission_mode=mode), ["a"])


@fault("S17")
def test_the_strictest_session_above_decides() -> None:
    known = family(row("a", permission_mode="plan"), row("b", "a", permission_mode="acceptEdits"))
    with pytest.raises(NotAllowed):
        known.begin(asked(permission_mode="default"), ["b", "a"])


@fault("S17")
@pytest.mark.parametrize("line", [[], ["nowhere"]], ids=["unseen", "in no journal"])
@pytest.mark.parametrize(
    "more", [{"permission_mode": "acceptEdits"}, {"allowed_tools": ["Edit"]}], ids=str
)
def test_caller_of_which_nothing_is_known_hands_nothing_down(
    line: list[str], more: dict[str, Any]
) -> None:
    known = family(
        row("a", permission_mode="bypassPermissions"), listed=Reach(folders=(Path("/"),))
    )
    assert known.begin(asked(), line) == asked()
    with pytest.raises(NotAllowed):
        known.begin(asked(**more), line)


@fault("S17")
def test_session_in_no_journal_has_no_folder_to_hand_down(user_journal: object) -> None:
    with pytest.raises(NotAllowed, match="outside of the folders"):
        family(row("a")).begin(asked(), ["nowhere"])


@fault("S16", "S17")
def test_allowed_tools_are_among_those_of_every_session_above() -> None:
    known = family(
        row("a", allowed_tools=["Bash(git log)", "Edit"]),
        row("b", "a", allowed_tools=["Bash", "Edit"]),
        row("free", permission_mode="bypassPermissions"),
    )
    line = ["b", "a"]
    assert known.begin(asked(allowed_tools=["Edit"]), line).allowed_tools == ("Edit",)
    known.begin(asked(allowed_tools=["Bash(git log)"]), line)
    for tools in (["Bash"], ["Bash(ls)"], ["Edit", "Write"]):
        with pytest.raises(NotAllowed, match="not among its own"):
            known.begin(asked(allowed_tools=tools), line)
    known.begin(asked(allowed_tools=["Bash"]), ["free"])


@fault("S17")
def test_what_is_denied_above_is_denied_below() -> None:
    known = family(
        row("a", disallowed_tools=["WebFetch"]), row("b", "a", disallowed_tools=["Bash"])
    )
    made = known.begin(asked(disallowed_tools=["Write"]), ["b", "a"])
    assert made.disallowed_tools == ("Write", "Bash", "WebFetch")


@fault("S16", "S17")
def test_budget_is_what_is_left_of_every_budget_above() -> None:
    known = family(
        row("a", max_budget_usd=1.0, total_cost_usd=0.25),
        row("b", "a", max_budget_usd=2.0, total_cost_usd=0.25),
        row("c", "a", total_cost_usd=0.25),
        row("other", total_cost_usd=9.0),
    )
    assert known.begin(asked(), ["b", "a"]).max_budget_usd == 0.25
    assert known.begin(asked(max_budget_usd=5), ["b", "a"]).max_budget_usd == 0.25
    assert known.begin(asked(max_budget_usd=0.1), ["b", "a"]).max_budget_usd == 0.1
    assert known.begin(asked(), ["c"]).max_budget_usd is None
    spent = family(row("a", max_budget_usd=1.0), row("b", "a", total_cost_usd=1.0))
    with pytest.raises(NotAllowed, match="budget is spent"):
        spent.begin(asked(), ["a"])


@fault("A15")
def test_child_of_unknown_cost_is_refused_below_a_budget() -> None:
    known = family(row("a", max_budget_usd=1.0), row("b", "a"), row("free"))
    with pytest.raises(NotAllowed, match="budget, and copilot tells neither"):
        known.begin(asked(agent="copilot"), ["b", "a"])
    assert known.begin(asked(agent="copilot"), ["free"]).max_budget_usd is None


@fault("A15")
def test_budget_cannot_be_handed_down_once_a_cost_is_not_known() -> None:
    """While a session works, what it has cost may still follow; else it does not."""
    above = row("a", max_budget_usd=1.0)
    working = row("b", "a", total_cost_usd=None, status="running")
    assert family(above, working).begin(asked(), ["a"]).max_budget_usd == 1.0
    with pytest.raises(NotAllowed, match="not known what b has cost"):
        family(above, row("b", "a", total_cost_usd=None)).begin(asked(), ["a"])


@fault("S17")
def test_depth_ends_where_any_session_above_says() -> None:
    three = [row("a"), row("b", "a"), row("c", "b")]
    family(*three).begin(asked(), ["b", "a"])
    with pytest.raises(NotAllowed, match="3 deep"):
        family(*three).begin(asked(), ["c", "b", "a"])
    with pytest.raises(NotAllowed, match="1 deep"):
        family(row("a", max_depth=1)).begin(asked(), ["a"])
    family(row("a", max_depth=4), *three[1:]).begin(asked(), ["c", "b", "a"])
    wide = row("b", "a", max_depth=9)
    with pytest.raises(NotAllowed, match="3 deep"):
        family(three[0], wide, three[2]).begin(asked(), ["c", "b", "a"])


@fault("S17")
def test_no_more_sessions_work_for_one_than_may() -> None:
    def children(count: int, status: str) -> list[SessionRow]:
        return [row(f"{status}{n}", "a", status=status) for n in range(count)]

    family(row("a"), *children(7, "running"), *children(20, "idle")).check_children("a")
    with pytest.raises(NotAllowed, match="8 sessions"):
        family(row("a"), *children(8, "waiting")).check_children("a")
    with pytest.raises(NotAllowed, match="1 sessions"):
        family(row("a", max_children=1), *children(1, "running")).check_children("a")
    family(row("a", max_children=1), *children(1, "starting")).check_children("a", "starting0")
    with pytest.raises(NotAllowed, match="8 sessions"):
        family(
            row("top"), row("a", "top", max_children=99), *children(8, "running")
        ).check_children("a")


@fault("S17")
def test_sessions_in_no_journal_work_for_those_that_they_are_inside_of() -> None:
    unkept = {f"x{number}": ("top", "a") for number in range(8)}
    known = family(row("top"), row("a", "top"), row("b"), unkept=unkept)
    for parent in ("a", "top"):
        with pytest.raises(NotAllowed, match="8 sessions"):
            known.check_children(parent)
    known.check_children("b")
    known.check_children("a", "x0")  # itself


# What is told -------------------------------------------------------------------------------


@fault("S17")
@pytest.mark.parametrize("above", STRICTEST_FIRST)
@pytest.mark.parametrize("mode", STRICTEST_FIRST)
def test_one_that_may_do_more_by_now_is_told_nothing(above: str, mode: str) -> None:
    known = family(row("a", permission_mode=above), row("b", "a", permission_mode=mode))
    if STRICTEST_FIRST.index(mode) <= STRICTEST_FIRST.index(above):
        known.check_told("b", ["a"])
    else:
        with pytest.raises(NotAllowed, match=f"{mode}, which is wider than {above}"):
            known.check_told("b", ["a"])


@fault("S17")
def test_all_that_a_family_spends_counts_for_each_of_it() -> None:
    def spent(*usd: float) -> Family:
        one, two, three = usd
        return family(
            row("a", max_budget_usd=1.0, total_cost_usd=one),
            row("b", "a", max_budget_usd=0.9, total_cost_usd=two),
            row("c", "a", max_budget_usd=0.9, total_cost_usd=three),
            row("other", max_budget_usd=1.0, total_cost_usd=9.0),
        )

    assert [spent(0.1, 0.4, 0.4).charge(each) for each in "abc"] == [None, None, None]
    over = spent(0.125, 0.375, 0.5)
    assert [over.charge(each) for each in "abc"] == [0.875, 0.625, 0.5]
    with pytest.raises(NotAllowed, match="budget is spent"):
        over.check_told("b", ["a"])
    assert over.charge("nobody") is None


# What it reaches ----------------------------------------------------------------------------


@pytest.fixture
def user_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the user's own state folder, in which nothing is trusted."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path


@fault("S16", "S17")
def test_agent_is_known_or_listed_or_the_callers_own(user_journal: object) -> None:
    own = row("a", agent="acp:mine --acp")
    mine, shell = asked(agent="acp:mine --acp"), asked(agent="acp:/bin/sh -c x")
    family(own).begin(asked(agent="gemini"), ["a"])
    family(own).begin(mine, ["a"])
    family(row("a"), listed=Reach(agents=("acp:mine --acp",))).begin(mine, ["a"])
    for known in (family(own), family(row("a", permission_mode="bypassPermissions"))):
        with pytest.raises(NotAllowed, match="not among those"):
            known.begin(shell, ["a"])
    with pytest.raises(NotAllowed, match="did you mean gemini"):
        family(own).begin(asked(agent="gemni"), ["a"])
    with pytest.raises(NotAllowed, match="not among those"):
        family(own).begin(shell, [])  # one of which nothing is known


@fault("S16", "S17")
def test_folders_are_the_callers_own_or_listed(user_journal: Path) -> None:
    for name in ("mine/below", "added", "listed", "other"):
        (user_journal / name).mkdir(parents=True)
    folders = {name: user_journal / name for name in ("mine", "added", "listed", "other")}
    known = family(
        row("a", cwd=str(folders["mine"]), add_dirs=[str(folders["added"])]),
        listed=Reach(folders=(folders["listed"],)),
    )
    for folder in (folders["mine"] / "below", folders["added"], folders["listed"]):
        known.begin(Options.build(cwd=folder), ["a"])
        known.begin(Options.build(cwd=folders["mine"], add_dirs=[folder]), ["a"])
    (folders["mine"] / "link").symlink_to(folders["other"])
    for folder in (folders["other"], folders["mine"] / "link", user_journal):
        with pytest.raises(NotAllowed, match="outside of the folders"):
            known.begin(Options.build(cwd=folder), ["a"])
        with pytest.raises(NotAllowed, match="outside of the folders"):
            known.begin(Options.build(cwd=folders["mine"], add_dirs=[folder]), ["a"])


@fault("S16", "S17")
@pytest.mark.parametrize(
    "more",
    [
        {"mcp_servers": {"s": {"command": "sh"}}},
        {"env": {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9"}},
        {"plugins": ["/plugin"]},
        {"agent_path": "/bin/sh"},
        {"server_url": "http://127.0.0.1:9"},
        {"repo": "git@host.example:theirs.git", "cwd": "."},
        {"setup": "npm ci"},
        {"resume": "of-the-user"},
    ],
    ids=lambda more: next(iter(more)),
)
@pytest.mark.parametrize("mode", ["default", "bypassPermissions"])
def test_programs_keys_and_conversations_are_not_the_agents_to_choose(
    user_journal: object, more: dict[str, Any], mode: str
) -> None:
    known = family(row("a", permission_mode=mode), row("other", agent_session="of-the-user"))
    for line in (["a"], []):
        with pytest.raises(NotAllowed, match=next(iter(more))):
            known.begin(asked(**more), line)


def test_what_the_caller_has_itself_it_can_hand_down(
    user_journal: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY", "1")
    has: dict[str, Any] = {
        "plugins": ["/plugin"],
        "agent_path": "/opt/claude",
        "server_url": "http://h:1",
    }
    known = family(row("a", **has), row("b", "a", agent_session="conversation"))
    more = asked(**has, env={"KEY": "1"}, resume="conversation", system_prompt="short")
    assert known.begin(more, ["a"]) == more


@fault("S16")
def test_repository_of_the_caller_is_worked_in_and_prepared_by_nobody(user_journal: object) -> None:
    known = family(row("a", repo="git@host.example:shop.git", setup="npm ci"))
    same = {"repo": "git@host.example:shop.git", "cwd": "."}
    known.begin(asked(**same), ["a"])
    with pytest.raises(NotAllowed, match="setup"):
        known.begin(asked(**same, setup="npm ci"), ["a"])


@fault("S16")
def test_users_file_lists_what_any_agent_may_dispatch(user_journal: Path) -> None:
    path = user_path()
    assert path is not None
    path.parent.mkdir(parents=True)
    path.write_text(
        'plugins = ["/mine"]\n[mcp]\ndirs = ["/work"]\nagents = ["acp:mine"]\n'
        '[agents.claude]\nadd_dirs = ["/usr"]\nagent_path = "/opt/claude"\n'
    )
    path.chmod(0o600)
    listed = Reach.listed()
    assert (listed.agents, listed.folders) == (("acp:mine",), (Path("/work"), Path("/usr")))
    assert listed.programs == {
        "plugins": {"/mine"},
        "agent_path": {"/opt/claude"},
        "server_url": set(),
        "repo": set(),
    }

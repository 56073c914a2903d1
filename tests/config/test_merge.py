"""Which value wins: the command line, the variable, the user's file or the project's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midflight.config.merge import Defaults, resolve
from midflight.options import PERMISSION_MODES, Options


def resolved(
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
    assert resolved(user={limit: 5}, project={limit: 3}) == {limit: 3}
    assert resolved(user={limit: 3}, project={limit: 5}) == {limit: 3}
    assert resolved(project={limit: 5}) == {limit: 5}


def test_of_two_permission_modes_the_stricter_holds() -> None:
    order = ["plan", "dontAsk", "default", "acceptEdits", "bypassPermissions"]
    assert set(order) == set(PERMISSION_MODES)
    for place, strict in enumerate(order):
        for loose in order[place:]:
            for mine, theirs in ((strict, loose), (loose, strict)):
                both = resolved(user={"permission_mode": mine}, project={"permission_mode": theirs})
                assert both == {"permission_mode": strict}


def test_a_project_cannot_loosen_the_mode_that_holds_without_a_file() -> None:
    assert resolved(project={"permission_mode": "bypassPermissions"}) == {}
    assert resolved(project={"permission_mode": "plan"}) == {"permission_mode": "plan"}


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
    assert resolved(user=user, project={"allowed_tools": project}).get("allowed_tools") == left


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
    alone, both = (Options.build(**resolved(user=user, project=other)) for other in ({}, project))
    for limit in ("max_turns", "max_budget_usd", "timeout", "stall_timeout"):
        mine, left = getattr(alone, limit), getattr(both, limit)
        assert mine is None or left <= mine
    assert order.index(both.permission_mode) <= order.index(alone.permission_mode)
    assert set(alone.disallowed_tools or ()) <= set(both.disallowed_tools or ())
    for rule in both.allowed_tools or ():
        assert allows(alone.allowed_tools, rule)


def test_the_command_line_holds_against_the_project_with_a_report() -> None:
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
    denied = resolved(**three)["disallowed_tools"]
    assert sorted(denied) == ["Bash", "Edit", "Read", "Write"]


def test_a_tool_allowed_by_its_exact_rule_is_not_denied_by_a_file() -> None:
    said = {"allowed_tools": ("Edit", "Bash(ls)")}
    denials = {"disallowed_tools": ("Edit", "Bash")}
    assert resolved(said, user=denials)["disallowed_tools"] == ("Bash",)
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

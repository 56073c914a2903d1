from __future__ import annotations

import pytest

from midflight.effects import (
    CommandEffect,
    EditEffect,
    Effect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
    brief,
    covers,
    rule_of,
)

CWD = "/home/me"


def edit(path: str, target: str | None = None, *, lines: int = 1, shown: int = 1) -> EditEffect:
    return EditEffect(path=path, target=target, diff="+x", lines=lines, shown_lines=shown)


@pytest.mark.parametrize(
    ("effect", "rule"),
    [
        (CommandEffect(command="npm test", cwd=CWD), "Bash(npm test)"),
        (CommandEffect(command="npm test && rm -r x", cwd=CWD), "Bash(npm test && rm -r x)"),
        (edit("/home/me/src/a.py"), "Edit(/home/me/src/**)"),
        (edit("/home/me/src/a.py", "/etc/cron.d/a"), "Edit(/etc/cron.d/**)"),
        (ReadEffect(path="/home/me/a.py"), "Read(/home/me/**)"),
        (FetchEffect(url="https://docs.python.org/3/"), "WebFetch(domain:docs.python.org)"),
    ],
)
def test_a_rule_is_what_an_effect_says_and_no_more(effect: Effect, rule: str) -> None:
    assert rule_of([effect], CWD) == rule
    assert covers(rule, rule)


@pytest.mark.parametrize(
    "effects",
    [
        [],
        [OtherEffect(input={"command": "ls"})],
        [CommandEffect(command="npm test", cwd="/home/me/sub")],
        [CommandEffect(command="npm test", cwd=None)],
        [CommandEffect(command="npm test\nrm -r x", cwd=CWD)],
        [CommandEffect(command="npm\u200b test", cwd=CWD)],
        [edit("/home/me/a", lines=2, shown=1)],
        [edit("/a")],
        [edit("/home/me/a\nb/c")],
        [FetchEffect(url="http://example.org/")],
        [FetchEffect(url="https://user@example.org/")],
        [FetchEffect(url="https://example.org:8443/")],
        [FetchEffect(url="https://ex\u0430mple.org/")],
        [FetchEffect(url="https://[")],
        [FetchEffect(url="https://\\/example.org/")],
        [FetchEffect(url="https://good.org\\.example.org/")],
        [FetchEffect(url="https://%65xample.org/")],
        [FetchEffect(url="https://*/")],
        [CommandEffect(command="ls", cwd=CWD), CommandEffect(command="ls", cwd=CWD)],
    ],
    ids=repr,
)
def test_no_rule_is_offered_where_none_is_narrow(effects: list[Effect]) -> None:
    assert rule_of(effects, CWD) == ""


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("Edit(/home/me/**)", "Edit(/home/me/src/**)"),
        ("Read(/home/me/**)", "Read(/home/me/src/deep/**)"),
    ],
)
def test_a_folder_covers_the_folders_below_it(rule: str, wanted: str) -> None:
    assert covers(rule, wanted)
    assert not covers(wanted, rule)


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ("Edit(/home/me/**)", "Edit(/home/menu/**)"),
        ("Edit(/home/me/**)", "Read(/home/me/**)"),
        ("Read(/home/me/**)", "Edit(/home/me/**)"),
        ("Bash(npm test)", "Bash(npm test -- --watch)"),
        ("Bash(/**)", "Bash(/bin/rm /**)"),
        ("WebFetch(domain:a.org)", "WebFetch(domain:b.a.org)"),
        ("Edit(/home/me/**)", ""),
        ("", ""),
    ],
)
def test_a_rule_covers_nothing_beside_it(rule: str, wanted: str) -> None:
    assert not covers(rule, wanted)


def test_brief_names_the_first_line_and_where_a_link_leads() -> None:
    command = CommandEffect(command="make\nmake install", cwd=CWD)
    effects: list[Effect] = [command, edit("/home/me/a", "/etc/a")]
    assert brief(effects) == "make (and 1 more lines); /home/me/a → /etc/a"
    assert brief([OtherEffect(input={})]) == ""

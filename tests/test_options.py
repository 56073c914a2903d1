from __future__ import annotations

import inspect
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.faults.manifest import fault
from tests.support.deleted_folder import in_deleted_folder

import midflight
from midflight._util.text import slug
from midflight.errors import InvalidOption, UnsupportedOption
from midflight.options import Options

SECONDS = ("timeout", "stall_timeout", "request_timeout", "max_wait")
LIMITS = ("max_turns", "max_budget_usd", *SECONDS)
NUMBERS = [0, -1, 0.0, -0.5, math.nan, math.inf, -math.inf, True, False, "10", [], b"1", 1j]


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("value", NUMBERS, ids=repr)
def test_limit_that_cannot_be_used_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"^{name}: expected") as caught:
        Options.build(**{name: value})
    assert caught.value.option == name


def test_limits_are_kept_as_given() -> None:
    options = Options.build(max_turns=3, max_budget_usd=1, timeout=0.5, spent_usd=0)
    assert (options.max_turns, options.max_budget_usd, options.timeout) == (3, 1.0, 0.5)
    assert (options.stall_timeout, options.request_timeout, options.spent_usd) == (None, 600.0, 0)
    assert Options.build(max_turns=None, timeout=None, spent_usd=2) == Options.build(spent_usd=2.0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_turns", 1.5),
        ("request_timeout", None),
        ("max_wait", None),
        ("spent_usd", -1),
        ("spent_usd", False),
    ],
)
def test_number_of_the_wrong_kind_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=name):
        Options.build(**{name: value})


def test_only_a_conversation_that_is_named_can_be_copied() -> None:
    assert Options.build(resume="x", fork=True, spent_usd=None).fork
    with pytest.raises(InvalidOption, match="fork: there is no conversation to copy"):
        Options.build(fork=True)
    with pytest.raises(InvalidOption, match="fork: expected True or False"):
        Options.build(resume="x", fork="yes")


@pytest.mark.parametrize("value", ["ask", "", True, 3])
def test_on_usage_limit_is_one_of_two_words(value: Any) -> None:
    with pytest.raises(InvalidOption, match=r"on_usage_limit: .* is not one of wait, fail"):
        Options.build(on_usage_limit=value)


def test_number_of_seconds_beyond_every_clock_is_refused() -> None:
    with pytest.raises(InvalidOption, match="timeout: expected a finite number"):
        Options.build(timeout=10**400)


@pytest.mark.parametrize("name", ["allowed_tools", "disallowed_tools", "skills", "setting_sources"])
def test_empty_list_is_not_none(name: str) -> None:
    assert getattr(Options.build(**{name: []}), name) == ()
    assert getattr(Options.build(**{name: None}), name) is None
    assert getattr(Options.build(), name) is None


@pytest.mark.parametrize("name", ["allowed_tools", "add_dirs", "plugins", "skills"])
@pytest.mark.parametrize("value", ["Bash", b"Bash", Path("Bash"), 3], ids=repr)
def test_single_value_is_not_a_list(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match="expected a list"):
        Options.build(**{name: value})


@pytest.mark.parametrize("name", ["agent", "model", "name", "effort", "resume"])
@pytest.mark.parametrize(
    "value", ["--settings=x", "-c", "", " ", "a\nb", "a\0", "a\ud800", 7], ids=repr
)
def test_text_that_looks_like_an_option_or_is_no_text_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=name):
        Options.build(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("allowed_tools", ["--x"]),
        ("allowed_tools", ["Bash(npm test"]),
        ("disallowed_tools", ["(npm test)"]),
        ("disallowed_tools", ["Bash)"]),
        ("disallowed_tools", ["Bash(npm test) Edit"]),
        ("skills", [7]),
        ("plugins", [7]),
        ("plugins", ["-x"]),
        ("plugins", [{"type": "local"}]),
        ("agent_path", "-x"),
        ("permission_mode", "yolo"),
        ("system_prompt", "a\0b"),
        ("system_prompt", 7),
        ("env", ["A=1"]),
        ("env", {"A": 1}),
        ("env", {"A=B": "1"}),
        ("env", {"": "1"}),
        ("env", {"A": "\0"}),
        ("mcp_servers", ["a"]),
        ("mcp_servers", {"a": "b"}),
        ("mcp_servers", {"a": {"args": []}}),
        ("on_request", "ask me"),
        ("attended", "yes"),
        ("attended", 1),
    ],
)
def test_value_of_the_wrong_form_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=f"^{name}: "):
        Options.build(**{name: value})


def test_options_are_brought_into_their_final_form(tmp_path: Path) -> None:
    def handler(_: object) -> None:
        return None

    options = Options.build(
        cwd=str(tmp_path),
        add_dirs=[tmp_path],
        plugins=[tmp_path, {"type": "local", "path": "not-there"}],
        mcp_servers={"a": {"command": "x"}, "b": {"url": "http://127.0.0.1"}},
        env={"A": "1"},
        on_request=handler,
        attended=True,
        agent_path="~/agent",
        system_prompt="Be short.\nBe kind.",
        permission_mode="plan",
    )
    assert (options.cwd, options.add_dirs) == (tmp_path, (tmp_path,))
    assert options.plugins == (tmp_path, Path.cwd() / "not-there")
    assert set(options.mcp_servers) == {"a", "b"}
    assert options.agent_path == Path.home() / "agent"
    assert (options.on_request, options.attended) == (handler, True)
    unset = Options.build(mcp_servers=None, add_dirs=None, plugins=None, agent_path=None)
    assert unset == Options.build()


@pytest.mark.parametrize("name", ["cwd", "add_dirs"])
def test_folder_must_be_one_that_can_be_entered(name: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    bad: list[tuple[Any, str]] = [
        (tmp_path / "missing", "does not exist"),
        (file, "not a folder"),
        (file / "below", "does not exist|cannot be used"),
        ("x" * 5000, "cannot be used"),
        ("a\0b", "NUL"),
        ("", "expected a folder"),
        (7, "expected a folder"),
    ]
    if os.geteuid() != 0:
        bad.append((closed, "cannot be read"))
    for value, why in bad:
        with pytest.raises(InvalidOption, match=why) as caught:
            Options.build(**{name: [value] if name == "add_dirs" else value})
        assert caught.value.option == name


def test_unreadable_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may enter every folder
    with pytest.raises(InvalidOption, match="cannot be read"):
        Options.build(cwd=tmp_path)


def test_unknown_option_names_the_nearest() -> None:
    with pytest.raises(InvalidOption, match=r"did you mean max_turns\?"):
        Options.build(max_turn=3)
    with pytest.raises(InvalidOption, match=r"see midflight\.Options"):
        Options.build(xyzzy=3)


def test_dispatch_checks_options_before_anything_starts() -> None:
    with pytest.raises(InvalidOption, match="did you mean claude"):
        midflight.dispatch("hello", agent="cloude")
    with pytest.raises(InvalidOption, match="known: "):
        midflight.dispatch("hello", agent="xyzzy")
    with pytest.raises(UnsupportedOption, match="skills"):
        midflight.dispatch("hello", agent="fake", skills=["review"])


def test_slug_is_short_and_made_of_words() -> None:
    assert slug("Fix the /users endpoint!") == "fix-the-users-endpoint"
    assert len(slug("word " * 50)) <= 40
    assert slug("…") == "session"


@pytest.mark.parametrize(
    "door",
    [
        midflight.dispatch,
        midflight.open,
        midflight.run,
        midflight.Client.dispatch,
        midflight.Host.dispatch,
    ],
    ids=lambda door: door.__qualname__,
)
def test_help_lists_every_option_with_its_meaning(door: Callable[..., object]) -> None:
    text = inspect.getdoc(door) or ""
    for name in Options.__struct_fields__:
        assert re.search(rf"^{name}: \S", text, re.MULTILINE), name


@fault("D7")
@pytest.mark.parametrize("options", [{}, {"cwd": "here"}, {"cwd": "/", "plugins": ["here"]}])
def test_options_that_are_relative_need_a_current_folder(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    with (
        in_deleted_folder(tmp_path),
        pytest.raises(InvalidOption, match="the current folder was deleted"),
    ):
        Options.build(**options)


@fault("D7")
def test_options_that_name_a_folder_need_no_current_one(tmp_path: Path) -> None:
    with in_deleted_folder(tmp_path):
        assert Options.build(cwd=tmp_path).cwd == tmp_path


@pytest.mark.parametrize(
    ("server", "part"),
    [
        *(
            ({"command": "x", part: value}, part)
            for part in ("env", "headers")
            for value in (
                "s3cret",
                ["s3cret"],
                7,
                {"A": 7},
                {"A": ["s3cret"]},
                {"A": None},
                {7: "x"},
            )
        ),
        *(
            ({"command": "x", "args": value}, "args")
            for value in ("s3cret", 7, ["x", 7], {"a": "b"})
        ),
        ({"command": "x", "type": 7}, "type"),
        ({"command": "x", "url": 7}, "url"),
        ({"command": "x", "env": {"A": "s3cret\ud800"}}, "surrogate"),
        ({"command": "x", "more": {1j}}, "plain data"),
    ],
)
def test_setting_of_a_server_of_a_wrong_type_is_named_without_its_value(
    server: dict[str, Any], part: str
) -> None:
    with pytest.raises(InvalidOption, match=f"^mcp_servers: .*{part}") as caught:
        Options.build(mcp_servers={"tools": server})
    assert "'tools'" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_settings_of_a_server_may_be_missing() -> None:
    server: dict[str, Any] = {"command": "x", "args": None, "env": None, "headers": {}}
    assert Options.build(mcp_servers={"tools": server}).mcp_servers == {"tools": server}

"""Ten thousand hostile calls: what is shown is what runs, and no rule is wider than what was shown.

What the tools obey, and where a path leads, is said here a second time, and by other means.
"""

from __future__ import annotations

import json
import os
import random
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.faults.manifest import fault

from midflight._util.sanitize import exact
from midflight.agents.acp.content import AcpCall
from midflight.agents.acp.effects import effects_of_call
from midflight.agents.claude.effects import TOOLS as CLAUDE
from midflight.agents.opencode.v1.effects import TOOLS as OPENCODE
from midflight.agents.shared.effects import effects_of
from midflight.cli.terminal.render import approval
from midflight.effects import (
    CommandEffect,
    EditEffect,
    Effect,
    FetchEffect,
    OtherEffect,
    ReadEffect,
    covers,
    rule_of,
)

SEEDS, CASES = 10, 1_000

OBEYED: dict[str, dict[str, str]] = {
    "Bash": {"command": "s!", "timeout": "n", "description": "s", "run_in_background": "b"},
    "Edit": {"file_path": "s!", "old_string": "s!", "new_string": "s!", "replace_all": "b"},
    "Read": {"file_path": "s!", "offset": "i", "limit": "i", "pages": "s"},
    "WebFetch": {"url": "s!", "prompt": "s"},
    "Write": {"file_path": "s!", "content": "s!"},
    "bash": {"command": "s!", "timeout": "n", "workdir": "s"},
    "edit": {"filePath": "s!", "oldString": "s!", "newString": "s!", "replaceAll": "b"},
    "read": {"filePath": "s!", "offset": "i", "limit": "i"},
    "webfetch": {"url": "s!", "format": "s", "timeout": "n"},
    "write": {"content": "s!", "filePath": "s!"},
}
"""The keys of each tool: text, number, integer or bool, and ``!`` where it needs it."""

OTHERS = ("mcp__evil__Bash", "apply_patch", "MultiEdit", "server_write", "Write\n", "", "BASH")
ATOMS = (
    *("a", "ls", "x y", " ", "\n", "\n\n", "\n  command: ls", "\n+harmless", "\n- x", "\r", "\t"),
    *("\x1b[2K", "\x1b]8;;http://evil\x07", "\x00", "\x7f", "\x9b2J", "\u2028", "\u2029", "\x85"),
    *("\u202e", "\u2066", "\u200b", "\ufeff", "\u2800", "\u3164", "\u115f", "\u00ad", "\U000e0041"),
    *("e\u0301\u0301\u0301\u0301", "\u0300", "\ud800", "é", "\U0001f600", " → /etc/passwd", ": ls"),
    *("\n  in /tmp", "\n@@ -1 +1 @@", "\n3 of 3 lines shown", '"', "\\", "\nAllow Bash? y"),
    *("  file_path: /safe", "\n    deep", "$(id)", "; rm -r /", "&& id", "*", "/../", "~"),
)
PATHS = (
    *(
        "plain",
        "missing",
        "sub/x",
        "sub2/x",
        "sub/deep/x",
        "./plain",
        "sub/../plain",
        "../outside/secret",
        "link",
        "away/x",
    ),
    *(
        "up/plain",
        "away/../plain",
        "chain",
        "gone",
        "loop",
        "~/x",
        "~",
        "",
        "/",
        "/etc/passwd",
        ".",
    ),
    *("/dev/null", "fifo", "binary", "lines", "odd\n  reads /safe", "odd → plain", "//etc//passwd"),
)
URLS = (
    *(
        "https://a.org",
        "https://a.org/x?y",
        "http://a.org",
        "https://a.org:80/",
        "https://u@a.org/",
    ),
    *("https://A.org/", "https://a.org\\@b.org/", "https://[::1]/", "https://a.org\n.evil", "x"),
    *(
        "https://\uff41.org/",
        "https://",
        "https://a.org#@b.org",
        "HTTPS://a.org/",
        "https://a.org.",
    ),
)


class World(NamedTuple):
    """A folder to work in, seen through a link or not, with links out of it and files to change."""

    cwd: Path
    outside: Path


@pytest.fixture(params=["plain", "behind a link"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> World:
    cwd, outside = tmp_path / "cwd", tmp_path / "outside"
    (cwd / "sub").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").write_text("secret\n")
    (cwd / "plain").write_text("one\ntwo\nthree\n")
    (cwd / "lines").write_text("one\u2028two\x85\nthree\x0bfour\n\\ no newline\n+x")
    (cwd / "binary").write_bytes(b"\xff\xfe\x00")
    for name, target in {
        "link": "../outside/secret",
        "away": "../outside",
        "up": "..",
        "chain": "link",
        "gone": "../outside/new",
        "loop": "loop",
    }.items():
        (cwd / name).symlink_to(target)
    os.mkfifo(cwd / "fifo")
    if request.param == "plain":
        return World(cwd, outside)
    (tmp_path / "here").symlink_to(cwd)
    return World(tmp_path / "here", outside)


class Calls:
    """Makes calls: the right ones of each tool, and what an attacker makes of them."""

    def __init__(self, seed: int, world: World) -> None:
        self._random = random.Random(seed)  # noqa: S311 - cases, no secrets
        self._world = world

    def text(self) -> str:
        return "".join(self._random.choices(ATOMS, k=self._random.randrange(5)))

    def path(self) -> str:
        path = self._random.choice(PATHS)
        if path and self._random.random() < 0.3:
            path = f"{self._random.choice((self._world.cwd, self._world.outside))}/{path}"
        return path + (self.text() if self._random.random() < 0.1 else "")

    def _value(self, key: str, kind: str) -> Any:
        if key in {"file_path", "filePath", "workdir"}:
            return self.path()
        if key == "url":
            return self._random.choice(URLS)
        if key in {"old_string", "oldString"}:
            return self._random.choice(("one\n", "two", "e", "", self.text()))
        by_kind = {"s": self.text(), "n": self._random.choice((1, 2.5)), "i": 3, "b": True}
        return by_kind[kind[0]]

    def any_key(self) -> str:
        keys = [key for tool in OBEYED.values() for key in tool]
        hostile = [f"{self._random.choice(keys)}{atom}" for atom in ATOMS]
        widening = ["dangerouslyDisableSandbox", "allow_large"]
        return self._random.choice([*keys, *widening, *hostile, *(f" {key}" for key in keys)])

    def __call__(self) -> tuple[str, dict[str, Any]]:
        roll = self._random
        name = roll.choice(list(OBEYED)) if roll.random() < 0.95 else roll.choice(OTHERS)
        tool = OBEYED.get(name, OBEYED["Bash"])
        wanted = {key: kind for key, kind in tool.items() if "!" in kind or roll.random() < 0.3}
        arguments = {key: self._value(key, kind) for key, kind in wanted.items()}
        match roll.randrange(8):
            case 0 | 1:
                arguments[self.any_key()] = roll.choice((self.text(), self.path(), 1, None, ["x"]))
            case 2 if arguments:
                arguments[self.any_key()] = arguments.pop(roll.choice(list(arguments)))
            case 3 if arguments:
                wrong = (None, True, 1, ["ls"], {"command": "ls"}, 1.5, self.text())
                arguments[roll.choice(list(arguments))] = roll.choice(wrong)
            case 4 if arguments:
                del arguments[roll.choice(list(arguments))]
        items = list(arguments.items())
        roll.shuffle(items)
        return name, dict(items)


def is_obeyed(name: str, arguments: dict[str, Any], tools: Any) -> bool:
    """Tell whether a tool takes exactly this, by the table of this test."""
    table = OBEYED.get(name, {})
    kinds: dict[str, tuple[type, ...]] = {
        "s": (str,),
        "n": (int, float),
        "i": (int,),
        "b": (bool,),
    }
    return (
        name in tools
        and bool(table)
        and all(key in arguments for key, kind in table.items() if "!" in kind)
        and all(
            key in table
            and isinstance(value, kinds[table[key][0]])
            and (table[key][0] == "b" or not isinstance(value, bool))
            for key, value in arguments.items()
        )
    )


# What is printed ----------------------------------------------------------------------------


def printed(effects: Sequence[Effect], cwd: Path) -> list[str]:
    """Return the lines of the approval; no character in them is hidden, or moves the cursor."""
    text = "".join(fragment for _, fragment in approval(effects, cwd))
    assert text.endswith("\n")
    assert not {char for char in text if unicodedata.category(char)[0] == "C"} - {"\n", "\t"}
    return text[:-1].split("\n")


_HEAD = re.compile(r'  ([\w.$-]+|"(?:[^"\\]|\\.)*"):(?: (.*))?', re.ASCII | re.DOTALL)


def check_raw(arguments: dict[str, Any], lines: list[str]) -> None:
    """Each key and value is there whole, in its order, and nothing else."""
    told: list[tuple[str, list[str]]] = []
    for line in lines:
        if line.startswith("    "):
            told[-1][1].append(line[4:])
        else:
            head = _HEAD.fullmatch(line)
            assert head, line
            told.append((head[1], [head[2]] if head[2] else []))
    values = [
        value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)
        for value in arguments.values()
    ]
    assert [value for _, value in told] == [
        [] if not shown else shown.split("\n") for shown in map(exact, values)
    ]
    for (name, _), key in zip(told, arguments, strict=True):
        plain = re.fullmatch(r"[\w.$-]+", key, re.ASCII) is not None
        assert (name == key) is plain


def check_printed(effect: Effect, cwd: Path) -> None:
    """No line of the approval is of the input's making, beyond the place where the input stands."""
    first, *rest = printed([effect], cwd)
    match effect:
        case CommandEffect(command=command):
            note = [] if effect.cwd == str(cwd) else [rest.pop()]
            assert all(line.startswith("  in ") for line in note)
            assert [first[2:], *(line[4:] for line in rest)] == exact(command).split("\n")
            assert all(line.startswith("    ") for line in rest)
        case EditEffect():
            if effect.is_cut:
                assert rest.pop() == f"  {effect.shown_lines} of {effect.lines} lines shown"
            assert rest == ["  no line of it changes"] or all(
                line[:2] == "  " and line[2] in "+-@\\ " for line in rest
            )
        case ReadEffect():
            assert (first[:8], rest) == ("  reads ", [])
        case FetchEffect():
            assert (first[:10], rest) == ("  fetches ", [])
        case OtherEffect(input=arguments):
            if arguments:
                check_raw(arguments, [first, *rest])


# Where it leads, and what a rule allows ---------------------------------------------------------


def real(path: str, cwd: Path) -> str:
    return os.path.realpath(os.path.join(cwd, path))  # noqa: PTH118 - as the system has it


def check_path(effect: EditEffect | ReadEffect, given: str, cwd: Path) -> None:
    """What is shown leads where the system goes; a place that is elsewhere is shown."""
    leads = real(given, cwd)
    assert real(effect.path, cwd) == leads
    target = effect.target and (effect.target.rstrip("/") or "/")  # a folder ends with one
    assert target in {None, leads}
    inside = os.path.relpath(effect.path, cwd)
    if effect.target is None and not inside.startswith(".."):
        assert leads == os.path.normpath(f"{os.path.realpath(cwd)}/{inside}")
    elif effect.target is None:
        assert leads == (effect.path.rstrip("/") or "/")
    (first, *_) = printed([effect], cwd)
    if effect.target is not None:
        assert exact(leads).replace("\n", "<U+000A>").replace("\t", "<U+0009>") in first


def check_rule(rule: str, name: str, arguments: dict[str, Any], cwd: Path) -> None:
    kind, _, about = rule.removesuffix(")").partition("(")
    assert "\n" not in rule
    match kind:
        case "Bash":
            assert about == arguments["command"]
            assert arguments.get("workdir", str(cwd)) in {".", str(cwd)} or real(
                arguments["workdir"], cwd
            ) == os.path.realpath(cwd)
        case "Edit" | "Read":
            given = str(arguments.get("file_path", arguments.get("filePath")))
            folder = about.removesuffix("/**")
            assert folder.strip("/")
            place = real(given, cwd)
            itself = kind == "Read" and os.path.isdir(place)  # noqa: PTH112 - text
            parent = os.path.dirname(place)  # noqa: PTH120 - text
            assert os.path.realpath(folder) == (place if itself else parent)
        case _:
            assert kind == "WebFetch"
            host = about.removeprefix("domain:")
            assert arguments["url"].lower().startswith("https://")
            after = arguments["url"][len("https://") :].removeprefix(host)
            assert re.fullmatch(r"[a-z0-9.\[\]:-]+", host)
            assert after[:1] in {"", "/", "?", "#"}


def allows(rule: str, wanted: str) -> bool:
    """Tell whether one rule allows another, by comparing folders part by part."""
    if rule == wanted:
        return True
    kinds, folders = zip(
        *(each.removesuffix("/**)").split("(", 1) for each in (rule, wanted)), strict=True
    )
    return (
        kinds[0] == kinds[1]
        and kinds[0] in {"Edit", "Read"}
        and Path(folders[1]).is_relative_to(folders[0])
    )


@fault("S9", "S10", "S13")
@pytest.mark.parametrize("seed", range(SEEDS // 2))
def test_what_is_shown_of_any_call_is_what_it_does(world: World, seed: int) -> None:
    calls = Calls(seed, world)
    rules: list[str] = []
    seen: set[type] = set()
    for number in range(CASES):
        name, arguments = calls()
        tools = (CLAUDE, OPENCODE)[number % 2]
        (effect,) = effects_of(tools, name, arguments, world.cwd)
        seen.add(type(effect))
        if not is_obeyed(name, arguments, tools):
            assert effect == OtherEffect(input=arguments)
        check_printed(effect, world.cwd)
        rule = rule_of([effect], str(world.cwd))
        if isinstance(effect, OtherEffect):
            assert effect.input == arguments
            assert rule == ""
        if isinstance(effect, (EditEffect, ReadEffect)):
            given = str(arguments.get("file_path", arguments.get("filePath")))
            check_path(effect, given, world.cwd)
        if rule:
            check_rule(rule, name, arguments, world.cwd)
            for other in rules[-20:]:
                assert covers(rule, other) == allows(rule, other)
            rules.append(rule)
    assert len(seen) == 5
    assert len(set(rules)) > 5


def test_what_an_acp_agent_reports_is_an_edit_or_shown_whole(world: World) -> None:
    """Of 1,000 reports each is either the protocol's own diff or all that the agent has said.

    A third of them say the same of one file in two ways.
    """
    calls, roll = Calls(77, world), random.Random(77)  # noqa: S311 - as above
    edited = {True: 0, False: 0}
    for _ in range(CASES):
        _, arguments = calls()
        items: list[Any] = [
            roll.choice(
                [
                    {
                        "type": "diff",
                        "path": calls.path(),
                        "oldText": "a\n",
                        "newText": calls.text(),
                    },
                    {"type": "diff", "path": calls.path(), "oldText": 7, "newText": "x"},
                    {"type": "diff", "path": calls.path()},
                    {"type": "content", "content": {"type": "text", "text": calls.text()}},
                    calls.text(),
                ]
            )
            for _ in range(roll.randrange(3))
        ]
        match roll.choice(("any", "none", "same")), items:
            case "none", _:
                arguments = {}
            case "same", [{"path": path, "newText": new, **rest}]:
                arguments = {"file_path": path, "content": new}
                if isinstance(rest.get("oldText"), str):
                    arguments["old_string"] = rest["oldText"]
        kind = roll.choice(("edit", "execute", "other"))
        call = AcpCall("c", kind=kind, title=calls.text(), input=arguments, content=items)
        effects = effects_of_call(call, world.cwd)
        for effect in effects:
            check_printed(effect, world.cwd)
        if all(isinstance(effect, EditEffect) for effect in effects):
            assert kind == "edit"
            assert len(effects) == len(items)
            assert not arguments or arguments["file_path"] == items[0]["path"]
            edited[bool(arguments)] += 1
            for effect, item in zip(effects, items, strict=True):
                assert isinstance(effect, EditEffect)
                check_path(effect, item["path"], world.cwd)
        else:
            (other,) = effects
            assert isinstance(other, OtherEffect)
            told = {"title": call.title, "input": arguments, "content": items}
            assert {key: other.input.get(key) for key, value in told.items() if value} == {
                key: value for key, value in told.items() if value
            }
            assert rule_of(effects, str(world.cwd)) == ""
    assert min(edited.values()) > 0

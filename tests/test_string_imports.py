"""Modules of midflight that are named in strings, where no tool that reads imports sees them."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from midflight.agents import AGENTS
from midflight.agents.base import Agent
from midflight.cli.command_table import COMMANDS

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "midflight"

NAMED = {
    "midflight.{}": "`import midflight` loads what stands behind a name when it is used",
    "midflight.journal.{}": "most of the journal stands on SQLAlchemy, which is slow to import",
    "midflight.client.{}": "a client stands on the journal; what only starts a host needs none",
    **{command.handler: "loaded when its command is given" for command in COMMANDS.values()},
    "midflight.cli.main": "the program of a detached host, and of an orchestrator's MCP server",
    "midflight.agents.claude.driver:ClaudeAgent": "a driver is loaded when a session uses it",
    "midflight.agents.opencode.v1.driver:OpenCodeAgent": "a driver",
    "midflight.agents.opencode.v2.driver:OpenCode2Agent": "a driver",
    "midflight.agents.acp.driver:AcpAgent": "a driver",
    "midflight.agents.claude.trust": "what an agent obeys is loaded with its driver",
    "midflight.agents.opencode.trust": "what another one obeys",
    "midflight.agents.opencode.v2.trust": "what its next version obeys",
    "midflight.agents.acp.trust": "what the agents behind ACP obey",
    "midflight.testing.fake.agent:FakeAgent": "a driver for tests, which stands above all others",
}
"""What may be named in a string, and why. ``{}`` stands for what is put in when it runs."""

NO_MODULE = {"midflight.toml": "the file with a project's defaults"}
"""What only looks like a module."""

BY_VARIABLE = {
    "agents": "loads a driver of its table",
    "agents.shared.obeyed": "loads what an agent obeys, since no driver may know another one",
    "cli.main": "loads a handler of the table of commands",
}
"""Modules that import what a variable names, and why."""

_NAME = re.compile(r"midflight(\.[\w{}]+)+(:\w+)?")
_CODE = re.compile(r"\b(?:from|import) (midflight[\w.]*)")
_IMPORTERS = {"__import__", "import_module", "run_module"}


def _sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        yield name, ast.parse(path.read_bytes(), str(path))


def _text(node: ast.AST) -> str | None:
    """Return a string of the code, with ``{}`` for each of its parts that is put in later."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(_text(value) or "{}" for value in values)
    return None


def _named(tree: ast.Module) -> Iterator[str]:
    """Yield each module that a string names, be it alone or in code to be run."""
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Expr(value=ast.Constant() as docstring):
                skipped.add(docstring)
            case ast.JoinedStr(values=values):
                skipped.update(values)
    for node in ast.walk(tree):
        if node in skipped or (text := _text(node)) is None:
            continue
        if _NAME.fullmatch(text):
            yield text
        yield from _CODE.findall(text)


def test_modules_named_in_strings_are_listed() -> None:
    found: defaultdict[str, list[str]] = defaultdict(list)
    for module, tree in _sources():
        for name in _named(tree):
            found[name].append(module)
    unlisted = {name: where for name, where in found.items() if name not in NAMED | NO_MODULE}
    assert not unlisted, f"import these, or list them with the reason: {unlisted}"
    stale = (NAMED | NO_MODULE).keys() - found.keys()
    assert not stale, f"no string names these any more: {stale}"


def test_modules_named_in_strings_exist() -> None:
    missing = []
    for listed in NAMED:
        name, _, attribute = listed.removesuffix(".{}").partition(":")
        spec = importlib.util.find_spec(name)
        if spec is None or not hasattr(importlib.import_module(name), attribute or "__name__"):
            missing.append(listed)
    assert not missing, f"these do not exist: {missing}"


def test_modules_that_import_by_a_variable_are_listed() -> None:
    found = {
        module
        for module, tree in _sources()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and getattr(node.func, "attr", getattr(node.func, "id", "")) in _IMPORTERS
        and (not node.args or _text(node.args[0]) is None)
    }
    assert found == BY_VARIABLE.keys()


@pytest.mark.parametrize("name", AGENTS)
def test_driver_that_is_loaded_by_name_has_every_method_of_an_agent(name: str) -> None:
    """No type checker sees it: a name leads to it."""
    module, driver = AGENTS[name].split(":")
    found = getattr(importlib.import_module(module), driver)
    methods = [each for each in vars(Agent) if callable(getattr(Agent, each)) and each[0] != "_"]
    assert "check" in methods
    assert [each for each in methods if not callable(getattr(found, each, None))] == []

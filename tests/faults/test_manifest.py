"""The manifest of faults and the tests agree, in both directions."""

from __future__ import annotations

import ast
from collections import defaultdict
from functools import cache
from pathlib import Path

from tests.faults.manifest import ROWS

TESTS = Path(__file__).resolve().parents[1]
GROUPS = {"C": 6, "I": 8, "A": 12, "M": 8, "N": 10, "D": 7, "S": 15}
LATER = ["S16", "S17", "S18", "S19", "S20", "S21", "A14", "A15"]


@cache
def _bound() -> dict[str, list[str]]:
    """Return for each id of a row the tests that are bound to it, as they stand in the sources."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in node.decorator_list:
                if isinstance(call, ast.Call) and _name(call.func) == "fault":
                    assert node.name.startswith("test_"), f"{path}: {node.name} is no test"
                    for argument in call.args:
                        found[ast.literal_eval(argument)].append(f"{path.name}::{node.name}")
    return found


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def test_manifest_has_every_row_of_the_list_of_faults() -> None:
    assert list(ROWS) == [
        *(f"{group}{n}" for group, last in GROUPS.items() for n in range(1, last + 1)),
        *LATER,
    ]


def test_covered_row_has_a_test() -> None:
    bound = _bound()
    missing = [row for row, told in ROWS.items() if told.tested and row not in bound]
    assert not missing, f"no test is bound to {missing}"


def test_test_is_bound_to_rows_that_there_are() -> None:
    unknown = {row: tests for row, tests in _bound().items() if row not in ROWS}
    assert not unknown, f"not in the manifest: {unknown}"


def test_row_with_tests_is_not_listed_as_uncovered() -> None:
    stale = {row: tests for row, tests in _bound().items() if row in ROWS and not ROWS[row].tested}
    assert not stale, f"these have tests now: {stale}"


def test_row_without_tests_says_why() -> None:
    silent = [row for row, told in ROWS.items() if not told.tested and not told.not_yet]
    assert not silent, f"say why these have no test: {silent}"

"""The page on the house is true: its picture, its rooms, and where each rule stands."""

import ast
import re
import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PACKAGE = ROOT / "src" / "midflight"
PAGE = (ROOT / "docs" / "design" / "index.md").read_text(encoding="utf-8")

NOT_ROOMS = {"__init__.py", "__pycache__", "py.typed", "skills"}
"""The public names, and what is no code."""


def rows(title: str) -> list[list[str]]:
    """Return the rows of the table below a title, cell by cell."""
    part = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def names(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield what a file defines: functions, classes with their methods, constants."""
    for node in body:
        match node:
            case ast.ClassDef():
                yield prefix + node.name
                yield from names(node.body, f"{prefix}{node.name}.")
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield prefix + node.name
            case ast.Assign():
                yield from (prefix + each.id for each in node.targets if isinstance(each, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield prefix + name


def test_picture_of_the_floors_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "scripts" / "draw_house.py"))
    drawn = script["SVG"].read_text(encoding="utf-8")
    assert drawn == script["drawing"](), "run scripts/draw_house.py"


def test_page_has_a_sentence_for_each_room() -> None:
    described = {room.strip("`"): sentence for room, sentence, _ in rows("The rooms")}
    assert described.keys() == {path.name for path in PACKAGE.iterdir()} - NOT_ROOMS
    assert all(described.values())


@pytest.mark.parametrize("row", rows("Where it is decided"), ids=lambda row: row[0])
def test_rule_stands_where_the_page_says(row: list[str]) -> None:
    _, file, defined = row
    tree = ast.parse((PACKAGE / file.strip("`")).read_text(encoding="utf-8"))
    wanted = set(re.findall(r"`([\w.]+)`", defined))
    assert wanted
    assert wanted <= set(names(tree.body))

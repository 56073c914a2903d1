"""Draw the floors of the house: docs/assets/house.svg, from .importlinter and the real imports.

With ``--check``, only say whether the drawing is up to date.
"""

from __future__ import annotations

import configparser
import itertools
import random
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
SVG = ROOT / "docs" / "assets" / "house.svg"
PACKAGE = "midflight"

FLOOR, BOX, MARGIN = 58, 36, 10
"""Height of a floor, of a box on it, and the empty edge."""

GAP, LINE, LETTER, PADDING = 26, 18, 7.4, 24
"""Between two boxes; beside a line that passes a floor; of a letter; of a box around its text."""

SWEEPS, TRIES = 24, 40
"""How often points are brought nearer to those that they are joined with, from how many orders."""

HEAD = """\
<title>The floors of midflight: each part imports only what stands below it</title>
<style>text{font:13px monospace;fill:#fff;text-anchor:middle}.small{font-size:10px;fill:#dbe7fb}
rect{fill:#2a5db0}.pure{fill:#2b7a55}path{fill:none;stroke:#8a8a8a;stroke-width:1.4}
marker path{fill:#8a8a8a;stroke:none}</style>
<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">
<path d="M0 0L8 4L0 8z"/></marker>"""

Imports = Mapping[str, frozenset[str]]
"""Room → the rooms that it imports."""


class Point:
    """A place on a floor: a room, or where a line passes."""

    def __init__(self, floor: int, name: str = "", folders: str = "") -> None:
        """Begin at the left. ``folders`` are those in a room; a line has no name."""
        self.floor = floor
        self.name = name
        self.folders = folders
        letters = max(len(name), 0.8 * len(folders))
        self.width = letters * LETTER + PADDING + GAP if name else LINE
        self.x = 0.0
        self.up: list[Point] = []
        self.down: list[Point] = []

    @property
    def top(self) -> int:
        """Where it begins; it ends at ``top + BOX``."""
        return MARGIN + self.floor * FLOOR


def floors(rules: configparser.ConfigParser) -> list[list[str]]:
    """Return the rooms of each floor, the highest first; those in brackets are not built."""
    lines = rules["importlinter:contract:floors"]["layers"].split("\n")
    rows = [[name.strip() for name in re.split(r"[|:]", line)] for line in lines]
    return [built for row in rows if (built := [n for n in row if n and not n.startswith("(")])]


def pure(rules: configparser.ConfigParser) -> set[str]:
    """Return the rooms without an event loop, a disk and a clock."""
    modules = rules["importlinter:contract:pure"]["source_modules"].split()
    return {module.split(".")[1] for module in modules}


def imports(graph: grimp.ImportGraph) -> Imports:
    """Return which room imports which, by any of its modules."""
    uses: dict[str, set[str]] = {}
    for module in graph.modules - {PACKAGE}:
        room = module.split(".")[1]
        targets = graph.find_modules_directly_imported_by(module) - {PACKAGE}
        uses.setdefault(room, set()).update(target.split(".")[1] for target in targets)
    return {room: frozenset(targets - {room}) for room, targets in uses.items()}


def lines(uses: Imports) -> list[tuple[str, str]]:
    """Return the imports that no chain of others implies: the only ones worth a line."""

    def below(room: str) -> frozenset[str]:
        return uses[room].union(*(below(target) for target in uses[room]))

    return [
        (room, target)
        for room in sorted(uses)
        for target in sorted(uses[room])
        if not any(target in below(other) for other in uses[room])
    ]


def rooms(graph: grimp.ImportGraph, rows: list[list[str]]) -> dict[str, Point]:
    """Return a point for each room, with its name as it is on disk and the folders in it."""
    points = {}
    for floor, row in enumerate(rows):
        for room in row:
            children = sorted(graph.find_children(f"{PACKAGE}.{room}"))
            folders = (child.split(".")[-1] for child in children if graph.find_children(child))
            name = f"{room}/" if children else f"{room}.py"
            points[room] = Point(floor, name, " ".join(folders))
    return points


def route(start: Point, end: Point) -> list[Point]:
    """Return the points of a line, one for each floor, joined with each other."""
    points = [start, *(Point(floor) for floor in range(start.floor + 1, end.floor)), end]
    for upper, lower in itertools.pairwise(points):
        upper.down.append(lower)
        lower.up.append(upper)
    return points


def arrange(points: Sequence[Point]) -> float:
    """Give every point its place from left to right; return the width of all."""
    by_floor = sorted(points, key=lambda point: point.floor)
    rows = [list(row) for _, row in itertools.groupby(by_floor, lambda point: point.floor)]
    tries = []
    for seed in range(TRIES):
        order = random.Random(seed)  # noqa: S311 - the same drawing every time
        for row in rows:
            order.shuffle(row)
        for _ in range(SWEEPS):
            for row in rows:
                pull(row, up=True)
            for row in reversed(rows):
                pull(row, up=False)
        tries.append((tangle(points), [point.x for point in points]))
    _, best = min(tries)
    left = min(x - point.width / 2 for point, x in zip(points, best, strict=True))
    for point, x in zip(points, best, strict=True):
        point.x = x - left + MARGIN
    return max(point.x + point.width / 2 for point in points) + MARGIN


def tangle(points: Sequence[Point]) -> tuple[int, int]:
    """Return how often lines cross, and how far they go sideways."""
    steps = [(point, lower) for point in points for lower in point.down]
    crossings = sum(
        (a.x - b.x) * (below_a.x - below_b.x) < 0
        for (a, below_a), (b, below_b) in itertools.combinations(steps, 2)
        if a.floor == b.floor
    )
    return crossings, round(sum(abs(point.x - lower.x) for point, lower in steps))


def pull(row: list[Point], *, up: bool) -> None:
    """Bring the points of a floor under, or above, those that they are joined with."""
    for point in row:
        joined = point.up if up else point.down
        if joined:
            point.x = sum(other.x for other in joined) / len(joined)
    row.sort(key=lambda point: point.x)
    spread(row)


def spread(row: Sequence[Point]) -> None:
    """Move the points of a floor apart until none overlaps, and keep their middle."""
    middle = sum(point.x for point in row) / len(row)
    for left, right in itertools.pairwise(row):
        right.x = max(right.x, left.x + (left.width + right.width) / 2)
    shift = middle - sum(point.x for point in row) / len(row)
    for point in row:
        point.x += shift


def line(points: Sequence[Point]) -> str:
    """Return a curve from the first point down to the last one, upright at each."""
    start, *passing, end = points
    x, y = start.x, start.top + BOX
    parts = [f"M{x:.0f} {y}"]
    for point in (*passing, end):
        half = (y + point.top) / 2
        parts.append(f"C{x:.0f} {half:.0f} {point.x:.0f} {half:.0f} {point.x:.0f} {point.top}")
        x, y = point.x, point.top
        if point is not end:
            y += BOX
            parts.append(f"V{y}")
    return f'<path d="{"".join(parts)}" marker-end="url(#tip)"/>'


def box(point: Point, kind: str) -> str:
    """Return a room with its name, and the folders in it."""
    width, x = point.width - GAP, f"{point.x:.0f}"
    place = f'x="{point.x - width / 2:.0f}" y="{point.top}" width="{width:.0f}" height="{BOX}"'
    y = point.top + (16 if point.folders else 23)
    parts = [
        f'<rect class="{kind}" {place} rx="5"/>',
        f'<text x="{x}" y="{y}">{point.name}</text>',
    ]
    if point.folders:
        parts.append(f'<text class="small" x="{x}" y="{y + 14}">{point.folders}</text>')
    return "\n".join(parts)


def drawing() -> str:
    """Return the drawing as an SVG that loads nothing from anywhere."""
    rules = configparser.ConfigParser()
    rules.read(ROOT / ".importlinter", encoding="utf-8")
    graph = grimp.build_graph(PACKAGE, cache_dir=None)
    rows, green = floors(rules), pure(rules)
    points = rooms(graph, rows)
    routes = [route(points[room], points[target]) for room, target in lines(imports(graph))]
    width = arrange([*points.values(), *(point for way in routes for point in way[1:-1])])
    height = len(rows) * FLOOR - (FLOOR - BOX) + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img">',
        HEAD,
        *map(line, routes),
        *(box(point, "pure" if room in green else "room") for room, point in points.items()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str]) -> int:
    """Write the drawing; with ``--check`` return 1 if it is not up to date."""
    drawn = drawing()
    if arguments != ["--check"]:
        SVG.write_text(drawn, encoding="utf-8")
    elif SVG.read_text(encoding="utf-8") != drawn:
        print("docs/assets/house.svg is not up to date: run scripts/draw_house.py")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The ratios as a picture: one line a figure, written as plain SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from bench.figures import Row

__all__ = ["plot"]

WIDTH, LEFT, RIGHT, TOP, STEP = 800, 340, 60, 34, 34
LARGEST = 1.5
"""How far the scale reaches at least: as far as the ratios and aims do."""

STYLE = (
    "text{font:13px sans-serif;fill:#777}"
    ".met{fill:#2a7de1;stroke:#2a7de1}.missed{fill:#d1495b;stroke:#d1495b}"
    ".aim{stroke:#2e9e5b;stroke-width:2}.grid{stroke:#999;stroke-opacity:.35}"
)


def plot(rows: Sequence[Row], raw: str) -> str:
    """Draw each figure's ratio (a dot), the rounds' range (a line) and the aim (a green tick)."""
    rows = [each for each in rows if each.ratio is not None]
    top = max([LARGEST, *(max(each.ratio or 0, each.figure.ratio_aim or 0) for each in rows)])
    ticks = (0.0, 0.5, 1.0, 1.5) if top == LARGEST else range(math.ceil(top))
    bottom = TOP + STEP * len(rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 24}" role="img">',
        f"<title>midflight compared with the {raw}, lower is better</title>",
        f"<style>{STYLE}</style>",
    ]
    for tick in ticks:
        x = _x(tick, top)
        parts.append(f'<line class="grid" x1="{x}" y1="{TOP - 8}" x2="{x}" y2="{bottom}"/>')
        label = f"{raw} = 1" if tick == 1 else f"{tick:g}"
        parts.append(f'<text x="{x}" y="{TOP - 14}" text-anchor="middle">{label}</text>')
    for number, each in enumerate(rows):
        y = TOP + STEP * number + STEP // 2
        ratio, low, high = (
            _x(one, top) for one in (each.ratio or 0, min(each.ratios), max(each.ratios))
        )
        kind = "met" if each.met else "missed"
        aim = _x(each.figure.ratio_aim or 0, top)
        title = escape(each.figure.title.replace("`", ""))
        parts += [
            f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end">{title}</text>',
            f'<line class="aim" x1="{aim}" y1="{y - 9}" x2="{aim}" y2="{y + 9}"/>',
            f'<line class="{kind}" stroke-width="2" x1="{low}" y1="{y}" x2="{high}" y2="{y}"/>',
            f'<circle class="{kind}" cx="{ratio}" cy="{y}" r="5"/>',
            f'<text x="{WIDTH - RIGHT + 14}" y="{y + 4}">{each.ratio:.2f}</text>',
        ]
    legend = "dot: ratio of the medians · line: lowest to highest round · green: the aim"
    parts += [f'<text x="{LEFT}" y="{bottom + 16}">{legend}</text>', "</svg>"]
    return "\n".join(parts) + "\n"


def _x(ratio: float, top: float) -> int:
    return round(LEFT + min(ratio, top) / top * (WIDTH - LEFT - RIGHT))

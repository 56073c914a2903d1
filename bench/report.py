"""The outcome in words and numbers: a Markdown table, JSON, and the machine it was measured on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import Row
from bench.plot import plot

__all__ = ["machine", "record", "table"]

PLACE = re.compile(r"(?<=<!-- figures -->\n).*(?=<!-- end of figures -->)", re.DOTALL)


def machine() -> dict[str, str]:
    """Return what the figures depend on."""
    import claude_agent_sdk

    from midflight.agents.claude_cli import find

    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "midflight": importlib.metadata.version("midflight"),
        "claude-agent-sdk": claude_agent_sdk.__version__,
        "Claude Code": find(None).with_name("claude.version").read_text().split()[0],
        "load before the run": f"{os.getloadavg()[0]:.1f}",
    }


def table(rows: Sequence[Row]) -> str:
    """Return the Markdown table: medians, with the lowest and highest round in brackets."""
    lines = [
        "| figure | midflight | raw SDK | ratio | aim | |",
        "|---|---|---|---|---|---|",
    ]
    for each in rows:
        figure, ratio = each.figure, "–"
        if each.ratio is not None:
            ratio = f"{each.ratio:.2f} ({min(each.ratios):.2f} – {max(each.ratios):.2f})"
        aim = f"≤ {figure.ratio_aim:.2f} ×" if figure.ratio_aim else ""
        if figure.value_aim:
            aim = f"≤ {figure.value_aim:g} {figure.unit}"
        cells = [
            figure.title,
            _values(each.midflight, figure.unit),
            _values(each.raw, figure.unit),
            ratio,
            aim,
            "met" if each.met else "missed",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(values: Sequence[float], unit: str) -> str:
    if not values:
        return "–"
    middle, low, high = (_short(f(values)) for f in (statistics.median, min, max))
    return f"{middle} {unit} ({low} – {high})"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_json(rows: Sequence[Row], about: dict[str, str]) -> dict[str, Any]:
    """Return everything that was recorded, each round by itself."""
    return {
        "machine": about,
        "figures": {
            each.figure.key: {
                "title": each.figure.title,
                "unit": each.figure.unit,
                "midflight": each.midflight,
                "raw": each.raw,
                "ratio": each.ratio,
                "ratio_aim": each.figure.ratio_aim,
                "value_aim": each.figure.value_aim,
                "met": each.met,
            }
            for each in rows
        },
    }


def record(docs: Path, rows: Sequence[Row], about: dict[str, str]) -> None:
    """Write the figures into ``performance.md``, and the data and the plot beside it."""
    page, assets = docs / "performance.md", docs / "assets"
    assets.mkdir(exist_ok=True)
    data = json.dumps(as_json(rows, about), indent=1, ensure_ascii=False)
    (assets / "performance.json").write_text(f"{data}\n")
    (assets / "performance.svg").write_text(plot(rows))
    conditions = ", ".join(f"{name} {value}" for name, value in about.items())
    written = f"\n{table(rows)}\n\nMeasured with: {conditions}.\n\n"
    page.write_text(PLACE.sub(lambda _: written, page.read_text()))

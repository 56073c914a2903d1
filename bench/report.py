"""The outcome in words and numbers: a Markdown table, JSON, and the machine it was measured on."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import shutil
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.figures import COMPARISONS, Comparison, Row
from bench.plot import plot
from bench.postgresql import program

__all__ = ["machine", "record", "table"]

PLACE = r"(?<=<!-- figures: {0} -->\n).*(?=<!-- end of figures: {0} -->)"


def machine(agent: str) -> dict[str, str]:
    """Return what the figures depend on."""
    return {
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "midflight": importlib.metadata.version("midflight"),
        **VERSIONS[agent](),
        "load before the run": f"{os.getloadavg()[0]:.1f}",
    }


def _claude() -> dict[str, str]:
    from midflight.agents.claude.program import find

    return {
        "claude-agent-sdk": importlib.metadata.version("claude-agent-sdk"),
        "Claude Code": find(None).with_name("claude.version").read_text().split()[0],
    }


def _opencode() -> dict[str, str]:
    from midflight.agents.opencode.program import INSTALL

    program = shutil.which("opencode")
    if program is None:
        sys.exit(f"opencode is not on PATH; get it with: {INSTALL}")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return {"httpx2": importlib.metadata.version("httpx2"), "OpenCode": told.stdout.strip()}


def _host() -> dict[str, str]:
    sqlalchemy = importlib.metadata.version("SQLAlchemy")
    return {"SQLite": sqlite3.sqlite_version, "SQLAlchemy": sqlalchemy, **_claude()}


def _board() -> dict[str, str]:
    sqlalchemy = importlib.metadata.version("SQLAlchemy")
    return {"textual": importlib.metadata.version("textual"), "SQLAlchemy": sqlalchemy}


def _tools() -> dict[str, str]:
    return {"mcp": importlib.metadata.version("mcp")}


def _cluster() -> dict[str, str]:
    found = program("postgres")
    if found is None:
        sys.exit("PostgreSQL is missing: apt-get install postgresql")
    told = subprocess.run([found, "--version"], capture_output=True, text=True, check=True)
    psycopg = importlib.metadata.version("psycopg")
    return {"PostgreSQL": told.stdout.split()[2], "psycopg": psycopg, **_claude()}


def _background() -> dict[str, str]:
    return {**_claude(), **_opencode()}


def _page() -> dict[str, str]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        sys.exit("Chromium is missing: scripts/test installs it")
    told = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    return {**_claude(), "Chromium": told.stdout.split()[1]}


VERSIONS = {
    "claude": _claude,
    "opencode": _opencode,
    "host": _host,
    "terminal": _host,
    "board": _board,
    "tools": _tools,
    "server": _claude,
    "page": _page,
    "background": _background,
    "cluster": _cluster,
}


def table(rows: Sequence[Row], raw: str) -> str:
    """Return the Markdown table: medians, with the lowest and highest round in brackets."""
    lines = [
        f"| figure | midflight | {raw} | ratio | aim | |",
        "|---|---|---|---|---|---|",
    ]
    for each in rows:
        figure, ratio = each.figure, "–"
        if each.ratio is not None:
            ratio = f"{each.ratio:.2f} ({min(each.ratios):.2f} – {max(each.ratios):.2f})"
        aim = f"≤ {figure.ratio_aim:.2f} ×" if figure.ratio_aim else ""
        if figure.value_aim is not None:
            aim = f"≤ {figure.value_aim:g} {figure.unit}".rstrip()
        cells = [
            figure.title,
            _values(each.midflight, figure.unit),
            _values(each.raw, figure.unit),
            ratio,
            aim,
            ("met" if each.met else "missed") if aim else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _values(values: Sequence[float], unit: str) -> str:
    if not values:
        return "–"
    middle, low, high = (_short(f(values)) for f in (statistics.median, min, max))
    return f"{middle} {unit} ({low} – {high})".replace("  ", " ")


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def as_json(comparison: Comparison, rows: Sequence[Row], about: dict[str, str]) -> dict[str, Any]:
    """Return everything that was recorded, each round by itself."""
    return {
        "agent": comparison.title,
        "raw": comparison.raw,
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


def record(docs: Path, agent: str, rows: Sequence[Row], about: dict[str, str]) -> None:
    """Write the agent's figures into ``performance.md``, and the data and the plot beside it."""
    page, assets = docs / "performance.md", docs / "assets"
    comparison = COMPARISONS[agent]
    assets.mkdir(exist_ok=True)
    data = json.dumps(as_json(comparison, rows, about), indent=1, ensure_ascii=False)
    (assets / f"performance-{agent}.json").write_text(f"{data}\n")
    (assets / f"performance-{agent}.svg").write_text(plot(rows, comparison.raw))
    picture = (
        f"![midflight's figures as ratios to the other side's](assets/performance-{agent}.svg)"
    )
    conditions = ", ".join(f"{name} {value}" for name, value in about.items())
    written = f"\n{picture}\n\n{table(rows, comparison.raw)}\n\nMeasured with: {conditions}.\n\n"
    place = re.compile(PLACE.format(agent), re.DOTALL)
    page.write_text(place.sub(lambda _: written, page.read_text()))

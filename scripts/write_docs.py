"""Write the parts of docs/ that are made from data; tests/docs fails when they are out of date."""

from __future__ import annotations

import ast
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

from midflight.agents.claude import ClaudeAgent
from midflight.agents.claude_cli import MINIMUM
from midflight.agents.presets import PRESETS
from midflight.testing.semantics import as_markdown

ROOT = Path(__file__).resolve().parent.parent
ROUND_FROM = 100
CONFORMANCE = ROOT / "tests" / "conformance"


def seen_in_tests() -> dict[str, list[str]]:
    """Return for each row of the capabilities the conformance tests that are marked with it."""
    rows: dict[str, list[str]] = {}
    for path in sorted(CONFORMANCE.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, (ast.AsyncFunctionDef, ast.FunctionDef)):
                continue
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "shows":
                    for row in mark.args:
                        sentence = node.name.removeprefix("test_").replace("_", " ")
                        rows.setdefault(ast.literal_eval(row), []).append(sentence)
    return rows


def capabilities() -> str:
    """Return the table of what Claude Code can do."""
    tests = seen_in_tests()
    version = ".".join(str(part) for part in MINIMUM)
    lines = [f"| | claude {version} | shown by |", "|---|---|---|"]
    for row, support in ClaudeAgent.capabilities.items():
        lines.append(f"| `{row}` | {support} | {'; '.join(tests.get(row, ['']))} |")
    return "\n".join(lines) + "\n"


def presets() -> str:
    """Return the table of the agents that are known by name."""
    lines = ["| `agent=` | runs | install |", "|---|---|---|"]
    for name, preset in PRESETS.items():
        how = preset.install if preset.install.startswith("see ") else f"`{preset.install}`"
        lines.append(f"| [`{name}`]({preset.url}) | `{preset.command}` | {how} |")
    return "\n".join(lines) + "\n"


def figures() -> str:
    """Return the last record of the benchmark, medians only."""
    record = json.loads((ROOT / "docs" / "assets" / "performance.json").read_text(encoding="utf-8"))
    lines = ["| | midflight | raw SDK | ratio |", "|---|---|---|---|"]
    for figure in record["figures"].values():
        ours, raw = (_median(figure[side], figure["unit"]) for side in ("midflight", "raw"))
        ratio = f"{figure['ratio']:.2f}" if figure["ratio"] else "–"
        lines.append(f"| {figure['title']} | {ours} | {raw} | {ratio} |")
    return "\n".join(lines) + "\n"


def _median(values: list[float], unit: str) -> str:
    if not values:
        return "–"
    middle = statistics.median(values)
    return f"{middle:.0f} {unit}" if middle >= ROUND_FROM else f"{middle:.3g} {unit}"


def parts() -> Mapping[str, tuple[str, str]]:
    """Return file → (name of the part, its text)."""
    return {
        "README.md": ("figures", figures()),
        "docs/agents.md": ("presets", presets()),
        "docs/semantics.md": ("table", as_markdown()),
        "docs/capabilities.md": ("capabilities", capabilities()),
    }


def filled(text: str, name: str, part: str) -> str:
    """Return a page with a part between its two marks replaced."""
    begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"


def main() -> int:
    """Write every part; return 1 if a page has changed."""
    changed = 0
    for file, (name, part) in parts().items():
        path = ROOT / file
        old = path.read_text(encoding="utf-8")
        new = filled(old, name, part)
        if new != old:
            path.write_text(new, encoding="utf-8")
            changed = 1
    return changed


if __name__ == "__main__":
    sys.exit(main())

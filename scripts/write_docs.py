"""Write the parts of docs/ that are made from data; tests/docs fails when they are out of date.

With ``--check``, only compare what the tests saw of the agents with docs/capabilities.md; with
``--check presets``, of those that scripts/check agents runs.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midflight.agents.acp.presets import PRESETS
from midflight.agents.base import CAPABILITIES
from midflight.testing.conformance import PRESET_RIGS, RIGS, Rig
from midflight.testing.conformance.rows import ROWS, recorded
from midflight.testing.conformance.rows.shown import LOOKS
from midflight.testing.conformance.semantics import as_markdown

ROOT = Path(__file__).resolve().parent.parent
ROUND_FROM = 100
SEEN = ROOT / "build" / "capabilities"
CAPABILITIES_FILE = ROOT / "docs" / "assets" / "capabilities.json"

_THE_AGENTS_OWN = "the time is the agent's own on both sides, and varies more from round to round"

HEADLINES = {
    ("claude", "start"): "",
    ("claude", "follow_up"): _THE_AGENTS_OWN,
    ("claude", "interrupt"): _THE_AGENTS_OWN,
    ("claude", "cpu"): "",
    ("opencode", "servers"): "",
    ("host", "seen_p50"): (
        "both sides write to the disk first; midflight also looks at the lease, keeps the list of "
        "sessions up to date and sends over HTTP"
    ),
}
"""The figures of the README, by record and name, and why one costs more where it does."""

NOT_SEEN = {"verdict": "not seen", "how": ""}

_ROWS = (*ROWS, *LOOKS)

Record = dict[str, dict[str, Any]]
"""Agent → its version, and its rows with verdict and how."""


def seen() -> Record:
    """Return what the last run of tests/conformance/test_rows.py saw."""
    record: Record = {}
    for one in recorded(SEEN):
        agent = record.setdefault(one.agent, {"version": "", "rows": {}})
        agent["version"] = max(agent["version"], one.version)
        agent["rows"][one.row] = {"verdict": one.verdict, "how": one.how}
    return {
        rig.name: {
            "version": record[rig.name]["version"],
            "rows": {row: told for row in _ROWS if (told := record[rig.name]["rows"].get(row))},
        }
        for rig in (*RIGS, *PRESET_RIGS)
        if rig.name in record
    }


def committed() -> Record:
    """Return what docs/capabilities.md is made from."""
    return json.loads(CAPABILITIES_FILE.read_text(encoding="utf-8"))


def differences(was: Record, now: Record, rigs: Iterable[Rig] = RIGS) -> list[str]:
    """Return a line for each thing that a run of all rows saw differently, or did not see."""
    lines = []
    for rig in (each for each in rigs if each.possible):
        old, new = was.get(rig.name, {}), now.get(rig.name, {})
        if old.get("version") != new.get("version"):
            lines.append(f"{rig.name}: {old.get('version')} became {new.get('version')}")
        for row in _ROWS:
            before, after = old.get("rows", {}).get(row), new.get("rows", {}).get(row)
            if before != after:
                lines.append(f"{rig.name}, {row}: {before} became {after}")
    return lines


def merged(was: Record, now: Record) -> Record:
    """Return the record with what a run saw; the rows that it left out stay as they were.

    Raises `SystemExit` where it saw another version of an agent, and not all of its rows: what the
    old one did says nothing about the new one.
    """
    record: Record = {}
    for rig in (*RIGS, *PRESET_RIGS):
        old, new = was.get(rig.name), now.get(rig.name)
        if old and new:
            record[rig.name] = _updated(rig.name, old, new)
        elif known := old or new:
            record[rig.name] = known
    return record


def _updated(name: str, old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    version, before = new["version"], old["rows"] if new["version"] == old["version"] else {}
    rows = {row: told for row in _ROWS if (told := new["rows"].get(row) or before.get(row))}
    if unseen := [row for row in old["rows"] if row not in rows]:
        raise SystemExit(
            f"{name} {version}: nobody has seen {', '.join(unseen)}; run all of its rows in "
            "tests/conformance/test_rows.py"
        )
    return {"version": version, "rows": rows}


def capabilities() -> str:
    """Return the tables of what each agent can do, and how or why where that needs words."""
    record = committed()
    presets = {rig.name for rig in PRESET_RIGS}
    whole = {name: agent for name, agent in record.items() if name not in presets}
    some = {name: agent for name, agent in record.items() if name in presets}
    driven = {rig.agent for rig in (*RIGS, *PRESET_RIGS)}
    others = ", ".join(name for name in PRESETS if name not in driven)
    looks = {name: look.says for name, look in LOOKS.items()}
    return "\n".join(
        [
            *_table(whole, CAPABILITIES),
            "",
            "## Presets",
            "",
            "These run in a check of their own, `scripts/check agents`, and have no part in the",
            "matrix of what each verb means. The last three rows are what was seen of their",
            "requests and of trust.",
            "",
            *_table(some, {**CAPABILITIES, **looks}, not_run=others),
            "",
        ]
    )


def _table(record: Record, rows: Mapping[str, str], not_run: str = "") -> list[str]:
    """Return the lines of a table with a column for each agent, and of one with the reasons."""
    extra = [not_run] if not_run else []
    lines = [
        _line(
            "",
            [*(f"{name} {each['version']}{_mark(name)}" for name, each in record.items()), *extra],
        ),
        _line("---", ["---" for _ in (*record, *extra)]),
    ]
    words: dict[str, dict[str, list[str]]] = {}
    for row, says in rows.items():
        told = {name: agent["rows"].get(row, NOT_SEEN) for name, agent in record.items()}
        verdicts = [one["verdict"] for one in told.values()]
        lines.append(_line(f"`{row}`: {says}", [*verdicts, *("not run" for _ in extra)]))
        for name, one in told.items():
            if one["how"]:
                words.setdefault(row, {}).setdefault(one["how"], []).append(name)
    lines += ["", "| what | how, or why not | agents |", "|---|---|---|"]
    for row, texts in words.items():
        lines += [f"| `{row}` | {how} | {', '.join(names)} |" for how, names in texts.items()]
    return lines


def _mark(agent: str) -> str:
    """Return what stands behind the name of an agent whose driver is not proven on its program."""
    drivers = {rig.name: rig.driver for rig in RIGS}
    return " *(experimental)*" if getattr(drivers.get(agent), "experimental", False) else ""


def _line(first: str, cells: Iterable[str]) -> str:
    return f"| {first} | {' | '.join(cells)} |"


def presets() -> str:
    """Return the table of the agents that are known by name."""
    lines = ["| `agent=` | runs | install | `cost` |", "|---|---|---|---|"]
    for name, preset in PRESETS.items():
        install = preset.install.replace("|", "\\|")
        known = f"[`{name}`]({preset.url})"
        lines.append(f"| {known} | `{preset.command}` | `{install}` | {preset.cost} |")
    return "\n".join(lines) + "\n"


def figures() -> str:
    """Return the headlines of the benchmark, medians only, and why those above 1 are."""
    lines = ["| | midflight | compared with | ratio |", "|---|---|---|---|"]
    reasons = []
    for (name, key), why in HEADLINES.items():
        path = ROOT / "docs" / "assets" / f"performance-{name}.json"
        record = json.loads(path.read_text(encoding="utf-8"))
        figure = record["figures"][key]
        ours, raw = (_median(figure[side], figure["unit"]) for side in ("midflight", "raw"))
        title = f"{record['agent']}: {figure['title']}"
        ratio = f"{figure['ratio']:.2f}"
        lines.append(f"| {title} | {ours} | {record['raw']}: {raw} | {ratio} |")
        if float(ratio) > 1:
            if not why:
                raise SystemExit(f"{title} is {ratio}: say why in HEADLINES")
            reasons.append(f"- {ratio} for *{figure['title']}*: {why}.")
    return (
        "\n".join([*lines, *(["", "Where it costs more:", "", *reasons] if reasons else [])]) + "\n"
    )


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


def check(rigs: Iterable[Rig]) -> int:
    """Return 1 if the agents are not what docs/capabilities.md says, by what the tests saw."""
    lines = differences(committed(), seen(), rigs)
    if lines:
        print("The agents are not what docs/capabilities.md says. If that is right:")
        print("  python scripts/write_docs.py")
        print("\n".join(lines))
    return 1 if lines else 0


def main() -> int:
    """Write every part, with what the tests saw last; return 1 if a page has changed."""
    record = merged(committed(), seen())
    CAPABILITIES_FILE.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
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
    match sys.argv[1:]:
        case ["--check"]:
            sys.exit(check(RIGS))
        case ["--check", "presets"]:
            sys.exit(check(PRESET_RIGS))
        case _:
            sys.exit(main())

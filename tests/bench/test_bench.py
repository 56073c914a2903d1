from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.figures import COMPARISONS, Row, rows
from bench.plot import plot
from bench.report import record, table
from bench.rounds import PROBES, QUICK, surroundings

from midflight.agents.opencode.program import INSTALL
from midflight.testing.conformance import OPENCODE
from midflight.testing.plugin import need

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("compared", "side", "name"),
    [
        pytest.param("claude", "raw", "cpu", marks=pytest.mark.agent),
        ("host", "midflight", "journal"),
    ],
)
def test_probe_measures_figures_of_its_comparison(compared: str, side: str, name: str) -> None:
    """A whole round, OpenCode and the tools are measured rarely: each probe starts programs."""
    with surroundings() as bench:
        measured = bench.probe(compared, side, name, QUICK)
    assert measured.keys() <= {figure.key for figure in COMPARISONS[compared].figures}
    assert measured
    assert all(value > 0 for values in measured.values() for value in values)


@pytest.mark.long  # a dozen starts of the agent
@pytest.mark.agent
@pytest.mark.timeout(240)
def test_small_round_measures_every_figure_on_both_sides(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("above\n<!-- figures: claude -->\n<!-- end of figures: claude -->\nbelow\n")
    arguments = ["--agent", "claude", "--quick", "--rounds", "1", "--record", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    data = json.loads((tmp_path / "assets" / "performance-claude.json").read_text())
    figures = data["figures"]
    assert list(figures) == [figure.key for figure in COMPARISONS["claude"].figures]
    for key, figure in figures.items():
        sides = ["midflight"] if key == "help" else ["midflight", "raw"]
        assert all(len(figure[side]) == 1 for side in sides), key
    assert all(figures[key]["midflight"][0] > 0 for key in figures if "memory" not in key)
    written = page.read_text()
    assert written.startswith("above\n")
    assert written.endswith("below\n")
    assert "live follow-up → first text |" in written


@pytest.mark.long  # five starts of a server
@pytest.mark.agent
@pytest.mark.timeout(240)
def test_probes_of_opencode_measure_all_but_the_start() -> None:
    """On the raw side: midflight's is the same with every agent, and measured with Claude Code."""
    need(OPENCODE.missing())
    with surroundings() as bench:
        probed = {
            key: values
            for name in PROBES["opencode"]
            for key, values in bench.probe("opencode", "raw", name, QUICK).items()
        }
    others = [figure.key for figure in COMPARISONS["opencode"].figures if figure.key != "start"]
    assert list(probed) == others
    assert all(value > 0 for values in probed.values() for value in values)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_small_round_measures_the_journal_and_hosts() -> None:
    """All but what needs real agents: that is slow, and `tests/host` tries what it is made of."""
    with surroundings() as bench:
        ours, raw = (
            {
                key: values
                for name in names
                for key, values in bench.probe("host", side, name, QUICK).items()
            }
            for side, names in (("midflight", PROBES["host"][:-1]), ("raw", PROBES["host"][:1]))
        )
    figures = [figure.key for figure in COMPARISONS["host"].figures]
    agents = ["wake", "wake_gone", "follow_up", "warm"]
    assert sorted([*ours, *agents]) == sorted(figures)
    assert list(raw) == ["append_1", "append_many", "seen_p50", "seen_p99"]
    took = {key: values for key, values in ours.items() if "memory" not in key}
    assert all(value > 0 for key in took if key != "rest_held" for value in took[key])


@pytest.mark.long
@pytest.mark.timeout(120)
def test_small_round_measures_the_tools() -> None:
    with surroundings() as bench:
        ours, raw = (bench.probe("tools", side, "tools", QUICK) for side in ("midflight", "raw"))
    assert list(ours) == [figure.key for figure in COMPARISONS["tools"].figures]
    assert list(raw) == ["interrupt", "sessions"]
    assert all(value > 0 for values in ours.values() for value in values)


@pytest.mark.long
@pytest.mark.agent
@pytest.mark.timeout(120)
def test_small_round_measures_the_terminal() -> None:
    with surroundings() as bench:
        ours = {
            key: values
            for name in PROBES["terminal"]
            for key, values in bench.probe("terminal", "midflight", name, QUICK).items()
        }
        raw = bench.probe("terminal", "raw", "commands", QUICK)
    assert list(ours) == [figure.key for figure in COMPARISONS["terminal"].figures]
    assert list(raw) == ["ls_few", "ls_many"]
    assert all(value > 0 for values in ours.values() for value in values)


@pytest.mark.long
@pytest.mark.timeout(120)
def test_small_round_measures_the_board() -> None:
    with surroundings() as bench:
        ours = {
            key: values
            for name in PROBES["board"]
            for key, values in bench.probe("board", "midflight", name, QUICK).items()
        }
        raw = bench.probe("board", "raw", "opened", QUICK)
    assert list(ours) == [figure.key for figure in COMPARISONS["board"].figures]
    assert list(raw) == ["frame", "opened"]
    assert all(value > 0 for values in ours.values() for value in values)


@pytest.mark.long
@pytest.mark.agent  # Claude Code, and Chromium
@pytest.mark.timeout(240)
@pytest.mark.parametrize("compared", ["server", "page", "cluster"])
def test_small_round_measures_servers_pages_and_many_machines(compared: str) -> None:
    with surroundings() as bench:
        ours = {
            key
            for name in PROBES[compared]
            for key in bench.probe(compared, "midflight", name, QUICK)
        }
    assert ours == {figure.key for figure in COMPARISONS[compared].figures}


def test_zero_is_an_aim_too() -> None:
    samples = {"rest_held": {"midflight": [0.0, 1.0, 2.0]}}
    (row,) = rows(COMPARISONS["host"], samples)
    assert not row.met
    assert "| ≤ 0 | missed |" in table([row], "raw parts")


def test_agent_has_its_own_place_on_the_page(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    claude = "<!-- figures: claude -->\nolder\n<!-- end of figures: claude -->\n"
    page.write_text(f"{claude}<!-- figures: opencode -->\n<!-- end of figures: opencode -->\n")
    measured = rows(COMPARISONS["opencode"], {"servers": {"midflight": [1.0], "raw": [4.0]}})
    record(tmp_path, "opencode", measured, {"cores": "2"})
    written = page.read_text()
    assert written.startswith(claude)
    assert "| figure | midflight | raw HTTP |" in written
    plotted = (tmp_path / "assets" / "performance-opencode.svg").read_text()
    assert ">raw HTTP = 1</text>" in plotted


def test_benchmark_without_opencode_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--agent", "opencode"],
        cwd=ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr == f"opencode is not on PATH; get it with: {INSTALL}\n"


def outcome(key: str, midflight: list[float], raw: list[float]) -> Row:
    """The only row of samples of one figure."""
    samples = {key: {"midflight": midflight, "raw": raw}}
    (row,) = rows(COMPARISONS["claude"], samples)
    return row


def test_aim_is_judged_by_the_ratio_of_the_medians() -> None:
    slow = outcome("interrupt", [0.013, 0.011], [0.010, 0.010])
    odd = outcome("interrupt", [0.5, 0.011, 0.011], [0.010] * 3)
    assert slow.met
    assert odd.met
    assert "12.0 ms (11.0 – 13.0)" in table([slow], "raw SDK")
    assert "1.20 (1.10 – 1.30)" in table([slow], "raw SDK")
    assert ">1.10</text>" in plot([odd], "raw SDK")


def test_figure_without_a_ratio_is_judged_by_its_value() -> None:
    late = outcome("help", [0.1, 0.2, 0.2], [])
    assert not late.met
    assert "missed" in table([late], "raw SDK")


def test_figure_that_was_not_measured_is_left_out() -> None:
    assert rows(COMPARISONS["claude"], {}) == []

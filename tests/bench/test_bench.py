from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from bench.figures import FIGURES, row
from bench.plot import plot
from bench.report import table

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(240)
def test_one_small_round_measures_every_figure_on_both_sides(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text("above\n<!-- figures -->\n<!-- end of figures -->\nbelow\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "--rounds", "1", "--record", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=220,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "assets" / "performance.json").read_text())["figures"]
    assert list(figures) == [figure.key for figure in FIGURES]
    for key, figure in figures.items():
        sides = ["midflight"] if key == "help" else ["midflight", "raw"]
        assert all(len(figure[side]) == 1 for side in sides), key
    assert all(figures[key]["midflight"][0] > 0 for key in figures if "memory" not in key)
    written = page.read_text()
    assert written.startswith("above\n")
    assert written.endswith("below\n")
    assert "live follow-up → first text |" in written


def test_an_aim_is_judged_by_the_ratio_of_the_medians() -> None:
    interrupt = next(figure for figure in FIGURES if figure.key == "interrupt")
    slow = row(interrupt, {"interrupt": {"midflight": [0.013, 0.011], "raw": [0.010, 0.010]}})
    odd = row(interrupt, {"interrupt": {"midflight": [0.5, 0.011, 0.011], "raw": [0.010] * 3}})
    assert slow is not None
    assert odd is not None
    assert slow.met
    assert odd.met
    assert "12.0 ms (11.0 – 13.0)" in table([slow])
    assert "1.20 (1.10 – 1.30)" in table([slow])
    assert ">1.10</text>" in plot([odd])


def test_a_figure_without_a_ratio_is_judged_by_its_value() -> None:
    start = next(figure for figure in FIGURES if figure.key == "help")
    late = row(start, {"help": {"midflight": [0.1, 0.2, 0.2]}})
    assert late is not None
    assert not late.met
    assert "missed" in table([late])


def test_what_was_not_measured_is_left_out() -> None:
    assert [row(figure, {}) for figure in FIGURES] == [None] * len(FIGURES)

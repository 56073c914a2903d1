"""Compare midflight with the raw SDK: ``python -m bench [--rounds N] [--quick] [--record]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.figures import FIGURES, row
from bench.report import machine, record, table
from bench.rounds import FULL, QUICK, measure

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default: 5)")
    parser.add_argument("--quick", action="store_true", help="do little in each round, for a try")
    parser.add_argument(
        "--record",
        type=Path,
        nargs="?",
        const=DOCS,
        metavar="FOLDER",
        help="write the figures into performance.md in this folder (default: docs)",
    )
    given = parser.parse_args()
    about = machine() | {"rounds": str(given.rounds)}
    samples = measure(given.rounds, QUICK if given.quick else FULL)
    rows = [each for figure in FIGURES if (each := row(figure, samples)) is not None]
    print(table(rows))
    if given.record:
        record(given.record, rows, about)


if __name__ == "__main__":
    main()

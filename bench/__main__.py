"""Compare midflight with what it stands on: ``python -m bench [--agent NAME] [--record] …``."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.figures import COMPARISONS, rows
from bench.report import machine, record, table
from bench.rounds import FULL, QUICK, measure

DOCS = Path(__file__).parents[1] / "docs"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--agent", choices=list(COMPARISONS), action="append", help="only this one (default: all)"
    )
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
    agents = {name: machine(name) for name in given.agent or COMPARISONS}
    for agent, about in agents.items():
        samples = measure(agent, given.rounds, QUICK if given.quick else FULL)
        outcome = rows(COMPARISONS[agent], samples)
        print(f"\n{table(outcome, COMPARISONS[agent].raw)}", flush=True)
        if given.record:
            record(given.record, agent, outcome, about | {"rounds": str(given.rounds)})


if __name__ == "__main__":
    main()

"""The options of the commands for many machines."""

from __future__ import annotations

import argparse

from midflight.cli import shared_options as shared

DRAIN_FOR_S = 60.0
"""How long turns go on at a worker that is asked to end: systemd waits 90 seconds."""

DRAIN_WITHIN_S = 900.0
"""How long they go on at one that is drained."""


def worker(parser: argparse.ArgumentParser) -> None:
    """Add what a worker is there for, and what it offers."""
    add = parser.add_argument
    add(
        "--label",
        metavar="L",
        action="append",
        help="run sessions that wait for this label (default); repeatable",
    )
    add(
        "--capacity",
        metavar="N",
        type=shared.count,
        help="how many turns it runs at a time (4), over all labels",
    )
    shared.work(parser)
    add(
        "--env",
        metavar="NAME",
        action="append",
        help="a variable of its environment that sessions get which need one of that name;"
        " repeatable",
    )
    add(
        "--drain-for",
        metavar="S",
        type=shared.seconds,
        default=DRAIN_FOR_S,
        help="how long turns may go on after SIGTERM or a first Ctrl-C (60)",
    )
    shared.park_after(parser)


def workers(parser: argparse.ArgumentParser) -> None:
    """Add which worker is drained, or is not any more."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--drain",
        metavar="W",
        help="have a worker, by its machine or id, take no more sessions and give back those it"
        " has; it ends when it has none",
    )
    which.add_argument("--undrain", metavar="W", help="have it take sessions again")
    parser.add_argument(
        "--within",
        metavar="S",
        type=shared.seconds,
        default=DRAIN_WITHIN_S,
        help="when --drain ends what still runs (15m); inf: never",
    )
    shared.as_json(parser, "a list of objects, or the one that it is about")


def move(parser: argparse.ArgumentParser) -> None:
    """Add where a session is to go on, and when."""
    shared.session(parser)
    add = parser.add_argument
    add("--on", metavar="LABEL", required=True, help="the label of the workers that are to have it")
    add("--now", action="store_true", help="stop its turn, instead of letting that end first")

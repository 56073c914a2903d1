"""The options of the commands that begin sessions: now, from a conversation, or at set times."""

from __future__ import annotations

import argparse

from midflight.cli import shared_options as shared

SCHEDULE_ACTIONS = ("pause", "resume", "now", "history", "remove")

MAY_ANSWER_HELP = (
    "what an agent may answer that its own sessions ask: questions, permissions for a tool by its"
    " name, or everything; WHAT@S is of the session S, whoever has begun it; repeatable"
)


def run(parser: argparse.ArgumentParser) -> None:
    """Add what a task is begun with."""
    add = parser.add_argument
    add(
        "task",
        metavar="TASK",
        nargs="?",
        help="what the agent should do; - takes it from standard input",
    )
    shared.agent_options(parser)
    shared.system_prompt(parser)
    add(
        "--then",
        metavar="TEXT",
        action="append",
        help="a message for a turn of its own after the task; repeatable",
    )
    shared.image(parser)
    add("--name", metavar="NAME", help="a short name for the session")
    add("--resume", metavar="ID", help="the agent's own id of a conversation to resume")
    add(
        "--continue",
        dest="go_on",
        action="store_true",
        help="go on with the latest session of this folder, as it is",
    )
    shared.trust(parser)
    add("--worktree", action="store_true", help="in a git worktree, on a branch of its own")
    shared.repository(parser)
    add("-d", "--detach", action="store_true", help="run it in the background, and return at once")
    add("--on", metavar="LABEL", help="on a worker that has this label: midflight worker")
    shared.park_after(parser)
    shared.notify(parser)
    add("--no-journal", action="store_true", help="keep no record; no other terminal can reach it")
    shared.as_json(parser, "one event per line out, one command per line in")
    parser.set_defaults(waiter=None)


def adopt(parser: argparse.ArgumentParser) -> None:
    """Add which conversation is gone on with, and how."""
    add = parser.add_argument
    add(
        "conversation",
        metavar="ID",
        nargs="?",
        help="how its id begins; without one they are listed",
    )
    add("task", metavar="TEXT", nargs="?", help="what it is told; it can be typed later too")
    shared.agent_options(parser)
    add("--name", metavar="NAME", help="a short name for the session")
    shared.trust(parser)
    shared.notify(parser)
    parser.set_defaults(
        detach=False,
        images=(),
        json=False,
        no_journal=False,
        on=None,
        park_after=None,
        ref=None,
        repo=None,
        resume=None,
        system_prompt=None,
        then=None,
        waiter=None,
        with_changes=False,
        worktree=False,
    )


def orchestrate(parser: argparse.ArgumentParser) -> None:
    """Add what an agent that drives others is begun with."""
    add = parser.add_argument
    add("task", metavar="TASK", nargs="?", help="what is to be done; it can be typed later too")
    shared.agent_options(parser)
    add("--then", metavar="TEXT", action="append", help="a message after the task; repeatable")
    add("--name", metavar="NAME", help="a short name for the session")
    add(
        "--worktree", action="store_true", help="a git worktree for each session that it dispatches"
    )
    shared.dispatch_limits(parser)
    shared.trust(parser)
    add(
        "--may-answer",
        metavar="WHAT",
        action="append",
        help=f"{MAY_ANSWER_HELP}; or nothing (default: questions)",
    )
    shared.notify(parser)
    shared.as_json(parser, "one event per line out, one command per line in")
    parser.set_defaults(ref=None, repo=None, resume=None, system_prompt=None, waiter=None)


def schedule(parser: argparse.ArgumentParser) -> None:
    """Add when a task begins by itself, and what is done with schedules."""
    parser.usage = (
        f"{parser.prog} [WHEN [--zone Z] [--on LABEL] -- run TASK [options of run]]\n"
        f"       {parser.prog} {{{','.join(SCHEDULE_ACTIONS)}}} S"
    )
    add = parser.add_argument
    add(
        "what",
        metavar="WHEN",
        nargs="?",
        help='minute, hour, day, month and weekday, as for cron: "0 7 * * 1-5"; or one of'
        f" {', '.join(SCHEDULE_ACTIONS)}; without any they are listed",
    )
    add("schedule", metavar="S", nargs="?", help="a schedule: its name, or how it begins")
    add("--zone", metavar="Z", help="the time zone of WHEN, such as Europe/Berlin (default: yours)")
    add("--on", metavar="LABEL", help="each run is for a worker that has this label: run --on")
    shared.as_json(parser, "a list of objects, or the one that it is about")
    parser.set_defaults(run=None)


def demo(parser: argparse.ArgumentParser) -> None:
    """Add how the demonstration runs."""
    parser.add_argument(
        "--agent",
        metavar="A",
        choices=("claude", "opencode"),
        default="claude",
        help="claude (default) or opencode",
    )

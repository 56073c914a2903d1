"""Options that several commands have, and how their values are read.

Nothing else is loaded here, so that ``--help`` answers at once.
"""

from __future__ import annotations

import argparse

SESSION_HELP = (
    "a session: its name, its id, or how one of them begins; the latest of this folder if left out"
)


def seconds(text: str) -> float:
    """Read a span of time: a number of seconds, or of the unit behind it."""
    units = {"s": 1, "m": 60, "h": 3600}
    try:
        return float(text[:-1]) * units[text[-1]] if text[-1:] in units else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a span of time such as 90, 90s, 15m or 6h, got {text!r}"
        ) from None


def count(text: str) -> int:
    """Read a whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}") from None


def dollars(text: str) -> float:
    """Read an amount of US dollars."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected US dollars such as 2.50, got {text!r}"
        ) from None


def agent_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which agent it is, and what it may do."""
    add = parser.add_argument
    add(
        "--agent",
        metavar="A",
        help="the agent: claude (default), opencode, a preset or acp:COMMAND",
    )
    add("--model", metavar="M", help="the model, as the agent names it")
    add("--max-turns", metavar="N", type=count, help="model calls in one turn, at most")
    add("--max-budget-usd", metavar="X", type=dollars, help="US dollars for the session, at most")
    add("--allow", metavar="T,…", action="append", help="tools that run without asking")
    add("--deny", metavar="T,…", action="append", help="tools that never run")
    add(
        "--permission-mode",
        metavar="P",
        help="default, acceptEdits, plan, dontAsk or bypassPermissions",
    )
    add("--plugin", metavar="DIR", action="append", help="a plugin's folder; repeatable")
    add("--skill", metavar="NAME", action="append", help="a skill to use; repeatable")
    add("--cwd", metavar="DIR", help="the folder to work in (default: this one)")
    add("--add-dir", metavar="DIR", action="append", help="one more folder to use; repeatable")
    add("--effort", metavar="E", help="how much it reasons, in the agent's own words")
    add("--timeout", metavar="S", type=seconds, help="how long one turn may take: 90, 15m, 6h")
    add("--stall-timeout", metavar="S", type=seconds, help="how long a silence ends a turn: 5m")
    add(
        "--on-usage-limit",
        metavar="W",
        help="at the account's usage limit: wait for its reset, or fail (default: ask, else fail)",
    )
    add("--max-wait", metavar="S", type=seconds, help="how long to wait at most: 3600, 90m, 6h")
    add(
        "--on-host-lost",
        metavar="W",
        help="when its worker is lost: rest until the next message, or resume on another one",
    )
    add(
        "--background-timeout",
        metavar="S",
        type=seconds,
        help="how long to wait for silent background work before it is stopped (default: 10m)",
    )
    add("--server-url", metavar="URL", help="an OpenCode server that runs already")


def repository(parser: argparse.ArgumentParser) -> None:
    """Add the repository that a session has a checkout of."""
    add = parser.add_argument
    add(
        "--repo",
        metavar="URL",
        help="in a checkout of this repository; a folder stands for its remote and its commit",
    )
    add("--ref", metavar="REF", help="the branch, tag or commit of --repo to begin with")
    add(
        "--with-changes",
        action="store_true",
        help="with --repo FOLDER: also what is changed there and not committed; no new files",
    )


def work(parser: argparse.ArgumentParser) -> None:
    """Add where the checkouts of a machine lie."""
    parser.add_argument(
        "--work",
        metavar="DIR",
        help="the folder for the checkouts of run --repo; the same for all workers of a label",
    )


def system_prompt(parser: argparse.ArgumentParser) -> None:
    """Add the prompt that takes the place of the agent's own."""
    parser.add_argument(
        "--system-prompt", metavar="TEXT", help="what takes the place of the agent's own prompt"
    )


def park_after(parser: argparse.ArgumentParser) -> None:
    """Add when a quiet session is parked."""
    parser.add_argument(
        "--park-after",
        metavar="S",
        type=seconds,
        help="in the background: park it when it was quiet for so long (15m); inf: never",
    )


def notify(parser: argparse.ArgumentParser) -> None:
    """Add where the user is notified."""
    parser.add_argument(
        "--notify", metavar="URL", help="tell this apprise address what waits, ends or fails"
    )


def trust(parser: argparse.ArgumentParser) -> None:
    """Add the user's agreement for this session."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="obey what the folder has the agent run, for this session (see midflight trust)",
    )


def session(parser: argparse.ArgumentParser) -> None:
    """Add the session that is meant."""
    parser.add_argument("session", metavar="S", nargs="?", help=SESSION_HELP)


def words(parser: argparse.ArgumentParser, words: str) -> None:
    """Add a session, which may be left out, and ``words``."""
    parser.usage = f"{parser.prog} [options] [S] {words}"
    parser.add_argument("words", metavar=f"[S] {words}", nargs="+", help=SESSION_HELP)


def as_json(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add ``--json`` with its meaning."""
    parser.add_argument("--json", action="store_true", help=meaning)


def image(parser: argparse.ArgumentParser) -> None:
    """Add images that go with a text."""
    parser.add_argument(
        "--image", metavar="FILE", action="append", help="an image with the text; repeatable"
    )


def wait(parser: argparse.ArgumentParser) -> None:
    """Add waiting for what follows."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="show what follows until the session is quiet; the exit code is that of run",
    )
    as_json(parser, "what came of it as JSON; with --wait, one event per line")


def journal(parser: argparse.ArgumentParser) -> None:
    """Add which journal is used."""
    parser.add_argument(
        "--journal",
        metavar="J",
        help="the journal: a folder or postgresql://… (default: MIDFLIGHT_JOURNAL, your own file"
        " with defaults, your own folder)",
    )


def dispatch_limits(parser: argparse.ArgumentParser) -> None:
    """Add how many sessions agents may begin."""
    add = parser.add_argument
    add("--max-depth", metavar="N", type=count, help="agents below agents, at most (3)")
    add(
        "--max-children",
        metavar="N",
        type=count,
        help="sessions of one agent that work at the same time, at most (8)",
    )

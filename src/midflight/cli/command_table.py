"""The table of the command line: each command, its help, its options, and what carries it out.

What a command needs is loaded when it is carried out and not before, so that ``--help`` answers at
once. That is also why argparse reads the options: typer alone takes longer to import than that.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, NamedTuple

from midflight.cli import machine_options as machines
from midflight.cli import shared_options as shared
from midflight.cli import starting_options as starting

MCP_CLIENTS = ("claude", "opencode", "codex", "cursor", "vscode")
"""Programs whose configuration `midflight mcp install` writes."""

SKILL_READERS = ("claude", "opencode", "codex")
"""Programs that `midflight skill install` gives the skill to."""

WORKTREE_ACTIONS = ("ls", "diff", "merge", "branch", "discard")

NO_LIMIT = "none"
"""What lifts a limit."""

COMPLETE = "__complete"
"""What the script for a shell asks; no command of a person."""

SHELLS = ("bash", "zsh", "fish")

WORKTREE_HELP = (
    "a session, or the name of a worktree of this repository; the latest session with a worktree"
    " here if left out"
)

# The options of each command ----------------------------------------------------------------


def _doctor(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--probe", action="store_true", help="try what each agent can do, offline; takes minutes")
    add("--agent", metavar="A", help="with --probe: only this agent")
    shared.as_json(parser, "one JSON object; with --probe one row per line")


def _ls(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cwd", metavar="DIR", help="only sessions of this folder")
    add("--all", action="store_true", help="those too that were closed more than a day ago")
    add("--watch", action="store_true", help="show it anew when something changes")
    shared.as_json(parser, "a list of objects; with --watch, one list per line")


def _show(parser: argparse.ArgumentParser) -> None:
    shared.session(parser)
    shared.as_json(parser, "as an object")


def _logs(parser: argparse.ArgumentParser) -> None:
    shared.session(parser)
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="follow what happens, until the session ends",
    )
    shared.as_json(parser, "one event per line")


def _send(parser: argparse.ArgumentParser) -> None:
    shared.words(parser, "TEXT")
    shared.image(parser)
    shared.wait(parser)


def _queue(parser: argparse.ArgumentParser) -> None:
    parser.usage = (
        f"{parser.prog} [options] [S] TEXT, or [S] with one of the options for what waits"
    )
    parser.add_argument("words", metavar="[S] TEXT", nargs="*", help=shared.SESSION_HELP)
    add = parser.add_mutually_exclusive_group().add_argument
    add("--list", action="store_true", help="show what waits; N is the number of a message there")
    add("--edit", metavar=("N", "TEXT"), nargs=2, help="give a message another text")
    add("--cancel", metavar="N", help="cancel a message")
    add("--move", metavar=("N", "M"), nargs=2, help="put N in front of M; M may be: end")
    add("--promote", metavar="N", help="have the agent read it at its next step, as with send")
    shared.image(parser)
    shared.wait(parser)


def _redirect(parser: argparse.ArgumentParser) -> None:
    shared.words(parser, "TEXT")
    parser.add_argument("--drop-queued", action="store_true", help="cancel the messages that wait")
    shared.image(parser)
    shared.wait(parser)


def _interrupt(parser: argparse.ArgumentParser) -> None:
    shared.session(parser)
    parser.add_argument("--keep-queued", action="store_true", help="keep the messages that wait")


def _answer(parser: argparse.ArgumentParser) -> None:
    shared.words(parser, "[REQUEST] allow|always|deny|TEXT")
    parser.add_argument(
        "--reason", metavar="TEXT", default="", help="with deny: why, for the agent"
    )
    shared.wait(parser)


def _limits(parser: argparse.ArgumentParser) -> None:
    shared.session(parser)
    limit_options(parser)
    shared.as_json(parser, "as an object")


def limit_options(parser: argparse.ArgumentParser) -> None:
    """Add the limits that can be changed while a session lives, each of which may be lifted."""
    add = parser.add_argument
    add(
        "--max-turns",
        metavar="N",
        type=_or_none(shared.count),
        help="model calls in one turn, or none",
    )
    add(
        "--max-budget-usd",
        metavar="X",
        type=_or_none(shared.dollars),
        help="US dollars in all, or none",
    )
    add(
        "--timeout",
        metavar="T",
        type=_or_none(shared.seconds),
        help="how long a turn may take, or none",
    )


def _or_none(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return what reads an option whose value may be the word none."""

    def value(text: str) -> Any:
        return NO_LIMIT if text == NO_LIMIT else read(text)

    return value


def _worktree(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "action",
        choices=WORKTREE_ACTIONS,
        help="list them; show what one would bring; merge it where it came from; have its branch"
        " hold all of it, for a pull request; throw it away, with a snapshot",
    )
    add("session", metavar="S", nargs="?", help=WORKTREE_HELP)
    add("--as", dest="name", metavar="NAME", help="with branch: another name for the branch")
    add(
        "--no-message",
        action="store_true",
        help="with merge: do not have the session resolve what conflicts",
    )
    shared.as_json(parser, "what came of it as JSON")


def _rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sessions", metavar="S", nargs="+", help=shared.SESSION_HELP.rpartition(";")[0]
    )
    parser.add_argument("--force", action="store_true", help="also while it runs: it is stopped")


def _trust(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("folder", metavar="DIR", nargs="?", help="the folder (default: this one)")
    add("--agent", metavar="A", help="only what this agent obeys (default: what any does)")
    add("--forget", action="store_true", help="trust it no longer")
    add("--list", action="store_true", help="list what is trusted")


def _mcp(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("install",), help="instead of serving, tell a program of it")
    add("client", nargs="?", choices=MCP_CLIENTS, help="with install: which program")
    add("--user", action="store_true", help="with install: for all folders, not for this one")
    add("--print", action="store_true", help="with install: only show what would be written")
    shared.dispatch_limits(parser)
    add(
        "--dir",
        metavar="DIR",
        action="extend",
        nargs="+",
        help="the folders that sessions may work in or below (default: this one)",
    )
    add(
        "--may-answer",
        metavar="WHAT",
        action="append",
        nargs="?",
        const="everything",
        default=[],
        help=starting.MAY_ANSWER_HELP,
    )
    add("--worktree", action="store_true", help="a git worktree for each session")
    add("--session", help=argparse.SUPPRESS)


def _board(parser: argparse.ArgumentParser) -> None:
    """It has no options."""


def _skill(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", choices=("install",), help="write it where a program looks for skills")
    add("client", choices=SKILL_READERS, help="which program")
    add("--user", action="store_true", help="for all folders, not for this one")
    add("--print", action="store_true", help="only show what would be written")


def _host(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--warm", action="store_true", help="keep an agent ready for run -d with these options")
    shared.agent_options(parser)
    shared.system_prompt(parser)
    parser.set_defaults(name=None, ref=None, repo=None, resume=None, trust=False)
    shared.park_after(parser)
    shared.work(parser)
    add("--ready", metavar="FD", type=shared.count, help=argparse.SUPPRESS)


def _serve(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--host", metavar="H", default="127.0.0.1", help="the address to listen on (127.0.0.1)")
    add(
        "--port",
        metavar="N",
        type=shared.count,
        default=7433,
        help="the port (7433); 0 takes a free one",
    )
    add(
        "--public-url",
        metavar="URL",
        action="append",
        default=[],
        help="how others reach it, where that is by another name; repeatable",
    )
    add("--tls-cert", metavar="F", help="the file with its certificate, for https")
    add("--tls-key", metavar="F", help="the file with the key of the certificate")
    shared.notify(parser)
    add("--link", metavar="NAME", help="instead: make a link that logs one more device in, once")
    add("--devices", action="store_true", help="instead: list the devices that are logged in")
    add("--forget", metavar="D", help="instead: log a device out, by its id or name")


def _journal(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", choices=("grant",), help="make a role of the database what it is to be")
    add("role", metavar="ROLE", help="the role, as it logs in; or a group that others are in")
    kinds = ("person", "worker", "reader", "nobody")
    add("--as", dest="kind", choices=kinds, required=True, help="what it is to be")
    add("--print", action="store_true", help="only show the statements")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS, help="the shell it is for")


def _complete(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs=argparse.REMAINDER)


# The commands -------------------------------------------------------------------------------


class Command(NamedTuple):
    """One command.

    ``group`` is the title that the help lists it under; nothing hides it. ``handler`` is
    ``module:function``: it takes what was parsed and returns the exit code.
    """

    group: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    handler: str


NO_JOURNAL = ("demo", "trust", "skill", "completion", COMPLETE)
"""Commands that use no journal, or one of their own."""


def add_options(name: str, parser: argparse.ArgumentParser) -> None:
    """Add the options of a command, and which journal it uses."""
    COMMANDS[name].add_options(parser)
    if name not in NO_JOURNAL:
        shared.journal(parser)


COMMANDS = {
    "run": Command(
        "start",
        "run a task here and show what the agent does",
        starting.run,
        "midflight.cli.commands.run:run",
    ),
    "adopt": Command(
        "start",
        "go on with a conversation begun with the plain agent",
        starting.adopt,
        "midflight.cli.commands.adopt:adopt",
    ),
    "orchestrate": Command(
        "start",
        "have an agent dispatch and steer others for you",
        starting.orchestrate,
        "midflight.cli.commands.orchestrate:orchestrate",
    ),
    "schedule": Command(
        "start",
        "have a task begin by itself at set times, by serve or a worker",
        starting.schedule,
        "midflight.cli.commands.schedule:schedule",
    ),
    "demo": Command(
        "start",
        "see it at work: a scripted tour, without key and network",
        starting.demo,
        "midflight.cli.commands.demo:demo",
    ),
    "doctor": Command(
        "start",
        "say which agents can be used, and what to do if not",
        _doctor,
        "midflight.cli.commands.doctor:doctor",
    ),
    "board": Command(
        "look",
        "all sessions on one screen; midflight alone opens it",
        _board,
        "midflight.cli.commands.board:board",
    ),
    "ls": Command(
        "look",
        "list the sessions; what waits for you comes first",
        _ls,
        "midflight.cli.commands.ls:ls",
    ),
    "show": Command(
        "look", "show one session, and what it asks", _show, "midflight.cli.commands.show:show"
    ),
    "logs": Command(
        "look", "print what a session has said and done", _logs, "midflight.cli.commands.logs:logs"
    ),
    "attach": Command(
        "look",
        "take part in a session at this terminal; leaving does not stop it",
        shared.session,
        "midflight.cli.commands.attach:attach",
    ),
    "send": Command(
        "step in",
        "say something: it is read at the agent's next step",
        _send,
        "midflight.cli.commands.send:send",
    ),
    "queue": Command(
        "step in",
        "say something for a turn of its own, afterwards; change what waits",
        _queue,
        "midflight.cli.commands.queue:queue",
    ),
    "redirect": Command(
        "step in",
        "stop the turn and start one for this",
        _redirect,
        "midflight.cli.commands.send:redirect",
    ),
    "interrupt": Command(
        "step in", "stop the turn", _interrupt, "midflight.cli.commands.stop:interrupt"
    ),
    "answer": Command(
        "step in", "answer what the agent asks", _answer, "midflight.cli.commands.answer:answer"
    ),
    "limits": Command(
        "step in",
        "show what bounds a session, or change it: then it can go on",
        _limits,
        "midflight.cli.commands.limits:limits",
    ),
    "resume": Command(
        "step in",
        "attach, and hand over the messages that wait",
        shared.session,
        "midflight.cli.commands.attach:resume",
    ),
    "worktree": Command(
        "take over",
        "look at, merge or throw away the worktrees of sessions",
        _worktree,
        "midflight.cli.commands.worktree:worktree",
    ),
    "move": Command(
        "take over",
        "have a session go on at another worker",
        machines.move,
        "midflight.cli.commands.move:move",
    ),
    "stop": Command(
        "end",
        "end a session and its agent; a message resumes it",
        shared.session,
        "midflight.cli.commands.stop:stop",
    ),
    "rm": Command("end", "remove sessions and all they said", _rm, "midflight.cli.commands.rm:rm"),
    "trust": Command(
        "more",
        "look at what a folder has agents run, and agree to it",
        _trust,
        "midflight.cli.commands.trust:trust",
    ),
    "mcp": Command(
        "more",
        "give another agent these sessions as tools, over MCP",
        _mcp,
        "midflight.cli.commands.mcp:mcp",
    ),
    "serve": Command(
        "more",
        "serve the sessions over HTTP, to programs and other machines",
        _serve,
        "midflight.cli.commands.serve:serve",
    ),
    "journal": Command(
        "more", "say who may do what", _journal, "midflight.cli.commands.journal:journal"
    ),
    "skill": Command(
        "more",
        "teach another agent when and how to use this",
        _skill,
        "midflight.cli.commands.skill:skill",
    ),
    "host": Command(
        "more", "keep sessions in the background", _host, "midflight.cli.commands.host:host"
    ),
    "worker": Command(
        "more",
        "run sessions that wait for a machine: run -d --on LABEL",
        machines.worker,
        "midflight.cli.commands.worker:worker",
    ),
    "workers": Command(
        "more",
        "list the workers, or drain one",
        machines.workers,
        "midflight.cli.commands.workers:workers",
    ),
    "completion": Command(
        "more",
        "print what makes a shell complete",
        _completion,
        "midflight.cli.commands.completion:completion",
    ),
    COMPLETE: Command("", "", _complete, "midflight.cli.commands.completion:complete"),
}

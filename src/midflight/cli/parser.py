"""What the commands about sessions that exist take, and which module carries each of them out."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable

__all__ = [
    "GROUPS",
    "MAY_ANSWER",
    "MCP",
    "MCP_CLIENTS",
    "SESSION_COMMANDS",
    "SKILL",
    "SKILL_READERS",
    "WORKTREE_ACTIONS",
    "Command",
    "seconds",
]

Command = tuple[str, Callable[[argparse.ArgumentParser], None], Callable[[argparse.Namespace], int]]

MCP_CLIENTS = ("claude", "opencode", "codex", "cursor", "vscode")
"""Programs whose configuration `midflight mcp install` writes."""

SKILL_READERS = ("claude", "opencode", "codex")
"""Programs that `midflight skill install` gives the skill to."""

WORKTREE_ACTIONS = ("ls", "diff", "merge", "branch", "discard")

SESSION_HELP = (
    "a session: its name, its id, or how one of them begins; the latest of this folder if left out"
)

WORKTREE_HELP = (
    "a session, or the name of a worktree of this repository; the latest session with a worktree"
    " here if left out"
)


MAY_ANSWER = (
    "what an agent may answer that its own sessions ask: questions, permissions for a tool by its"
    " name, or everything; repeatable"
)


def seconds(said: str) -> float:
    """Read a span of time: a number of seconds, or of the unit behind it."""
    units = {"s": 1, "m": 60, "h": 3600}
    return float(said[:-1]) * units[said[-1]] if said[-1:] in units else float(said)


def _session(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("session", metavar="S", nargs="?", help=SESSION_HELP)


def _words(parser: argparse.ArgumentParser, *names: str) -> None:
    shown = f"[S] {' '.join(names)}"
    parser.usage = f"{parser.prog} [options] {shown}"
    parser.add_argument("words", metavar=shown, nargs="+", help=SESSION_HELP)


def _json(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("--json", action="store_true", help=what)


def _wait(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--wait",
        action="store_true",
        help="show what follows until the session is quiet; the exit code is that of run",
    )
    _json(parser, "what came of it as JSON; with --wait, one event per line")


def _ls(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--cwd", metavar="DIR", help="only sessions of this folder")
    add("--all", action="store_true", help="those too that were closed more than a day ago")
    add("--watch", action="store_true", help="show it anew when something changes")
    _json(parser, "a list of objects; with --watch, one list per line")


def _show(parser: argparse.ArgumentParser) -> None:
    _session(parser)
    _json(parser, "as an object")


def _logs(parser: argparse.ArgumentParser) -> None:
    _session(parser)
    parser.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="go on with what happens, until the session ends",
    )
    _json(parser, "one event per line")


def _send(parser: argparse.ArgumentParser) -> None:
    _words(parser, "TEXT")
    _wait(parser)


def _redirect(parser: argparse.ArgumentParser) -> None:
    _words(parser, "TEXT")
    parser.add_argument("--drop-queued", action="store_true", help="cancel the messages that wait")
    _wait(parser)


def _interrupt(parser: argparse.ArgumentParser) -> None:
    _session(parser)
    parser.add_argument("--keep-queued", action="store_true", help="keep the messages that wait")


def _answer(parser: argparse.ArgumentParser) -> None:
    _words(parser, "[REQUEST] allow|deny|TEXT")
    parser.add_argument(
        "--reason", metavar="TEXT", default="", help="with deny: why, for the agent"
    )
    _wait(parser)


def _rm(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sessions", metavar="S", nargs="+", help=SESSION_HELP.rpartition(";")[0])
    parser.add_argument("--force", action="store_true", help="also while it runs: it is stopped")


def _mcp(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", nargs="?", choices=("install",), help="instead of serving, tell a program of it")
    add("client", nargs="?", choices=MCP_CLIENTS, help="with install: which program")
    add("--user", action="store_true", help="with install: for all folders, not for this one")
    add("--print", action="store_true", help="with install: only show what would be written")
    add("--journal", metavar="DIR", help="the journal's folder (default: your own)")
    add("--max-depth", metavar="N", type=int, default=3, help="agents below agents, at most (3)")
    add(
        "--max-children",
        metavar="N",
        type=int,
        default=8,
        help="sessions of one agent that work at the same time, at most (8)",
    )
    add(
        "--may-answer",
        metavar="WHAT",
        action="append",
        nargs="?",
        const="everything",
        default=[],
        help=MAY_ANSWER,
    )
    add("--worktree", action="store_true", help="a git worktree for each session")
    add("--session", help=argparse.SUPPRESS)


def _skill(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("action", choices=("install",), help="write it where a program looks for skills")
    add("client", choices=SKILL_READERS, help="which program")
    add("--user", action="store_true", help="for all folders, not for this one")
    add("--print", action="store_true", help="only show what would be written")


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
    _json(parser, "what came of it as JSON")


def _completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell it is for")


def _candidates(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("words", nargs=argparse.REMAINDER)


def _in(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """Return a function of a module that is loaded when it is called."""

    def call(given: argparse.Namespace) -> int:
        code: int = getattr(importlib.import_module(f"midflight.cli.commands.{module}"), function)(
            given
        )
        return code

    return call


SESSION_COMMANDS: dict[str, Command] = {
    "ls": ("list the sessions; what waits for you comes first", _ls, _in("ls", "ls")),
    "show": ("show one session, and what it asks", _show, _in("show", "show")),
    "logs": ("print what a session has said and done", _logs, _in("logs", "logs")),
    "attach": (
        "take part in a session at this terminal; leaving does not stop it",
        _session,
        _in("attach", "attach"),
    ),
    "resume": ("attach, and hand over the messages that wait", _session, _in("attach", "resume")),
    "send": ("say something: it is read at the agent's next step", _send, _in("verbs", "send")),
    "queue": ("say something for a turn of its own, afterwards", _send, _in("verbs", "queue")),
    "redirect": ("stop the turn and start one for this", _redirect, _in("verbs", "redirect")),
    "interrupt": ("stop the turn", _interrupt, _in("verbs", "interrupt")),
    "answer": ("answer what the agent asks", _answer, _in("verbs", "answer")),
    "stop": ("end a session and its agent; a message goes on", _session, _in("verbs", "stop")),
    "rm": ("remove sessions and all they said", _rm, _in("show", "rm")),
    "worktree": (
        "look at, merge or throw away the worktrees of sessions",
        _worktree,
        _in("worktree", "worktree"),
    ),
    "completion": ("print what makes a shell complete", _completion, _in("completion", "script")),
    "__complete": ("", _candidates, _in("completion", "complete")),
}

MCP: Command = ("give another agent these sessions as tools, over MCP", _mcp, _in("mcp", "mcp"))

SKILL: Command = (
    "teach another agent when and how to use this",
    _skill,
    _in("skill", "skill"),
)

GROUPS = {
    "start": ("run", "orchestrate", "demo", "doctor"),
    "look": ("ls", "show", "logs", "attach"),
    "step in": ("send", "queue", "redirect", "interrupt", "answer", "resume"),
    "take over": ("worktree",),
    "end": ("stop", "rm"),
    "more": ("mcp", "skill", "host", "completion"),
}
"""The commands as the help shows them; what stands in none is not shown."""

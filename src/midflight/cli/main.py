"""The program ``midflight``: reads the command line and starts what it asks for.

Everything slow is imported by the command that needs it, so that ``--help`` answers at once. That
is also why the options are read by argparse: typer alone takes longer to import than that.
"""

from __future__ import annotations

import argparse
import atexit
import difflib
import gc
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any, NoReturn

from midflight.cli.output import one_line, write
from midflight.cli.parser import GROUPS, MAY_ANSWER, MCP, SESSION_COMMANDS, SKILL, Command, seconds
from midflight.errors import InvalidConfig, InvalidInput, InvalidOption, MidflightError, NotFound

__all__ = ["COMMANDS", "main", "make_parser"]

DESCRIPTION = """\
Dispatch a coding agent, watch it work, and change its course while it runs.
"""

EPILOG = """\
exit codes:
  0 completed · 1 failed · 2 wrong usage · 3 a limit was reached · 4 no such session
  130 interrupted

A task on its own is run: midflight "task" is midflight run "task". A session is named by its name,
its id, or how one of them begins; without a name the latest one of this folder is meant.
"""


GARBAGE = 10_000
"""How many objects have to come before Python looks for garbage."""


class UsageError(MidflightError):
    """The command line cannot be understood."""

    code = "usage"


class _Parser(argparse.ArgumentParser):
    """Reports mistakes as errors, and prints through the one output function."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        options["allow_abbrev"] = False
        super().__init__(*args, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(message, f"{self.prog} --help")

    def _print_message(self, message: str, file: object = None) -> None:
        write(message)


class _Version(argparse.Action):
    """Looks the version up when it is asked for, and not before."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        write(f"midflight {version('midflight')}\n")
        parser.exit()


def _group(title: str) -> str:
    """Return one group of commands as the help shows it."""
    lines = (f"  {name:11} {COMMANDS[name][0]}\n" for name in GROUPS[title])
    return f"\n{title}:\n{''.join(lines)}"


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="midflight",
        description=DESCRIPTION + "".join(map(_group, GROUPS)),
        epilog=EPILOG,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    for name, (text, add_options, _) in COMMANDS.items():
        command = commands.add_parser(name, description=text[:1].upper() + text[1:] + ".")
        add_options(command)
        command.set_defaults(command=name)
    return parser


def _run_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("task", metavar="TASK", help="what the agent should do")
    _agent_options(parser)
    add(
        "--then",
        metavar="TEXT",
        action="append",
        help="a message for a turn of its own after the task; repeatable",
    )
    add("--name", metavar="NAME", help="a short name for the session")
    add("--resume", metavar="ID", help="the agent's own id of a conversation to go on with")
    add("--worktree", action="store_true", help="in a git worktree, on a branch of its own")
    add("-d", "--detach", action="store_true", help="run it in the background, and return at once")
    _park_after(parser)
    add("--notify", metavar="URL", help="tell this apprise address what waits, ends or fails")
    add("--no-journal", action="store_true", help="keep no record; no other terminal can reach it")
    add("--json", action="store_true", help="one event per line out, one command per line in")


def _orchestrate_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("task", metavar="TASK", nargs="?", help="what is to be done; it can be typed later too")
    _agent_options(parser)
    add("--then", metavar="TEXT", action="append", help="a message after the task; repeatable")
    add("--name", metavar="NAME", help="a short name for the session")
    add(
        "--worktree", action="store_true", help="a git worktree for each session that it dispatches"
    )
    add("--max-depth", metavar="N", type=int, default=3, help="agents below agents, at most (3)")
    add("--max-children", metavar="N", type=int, default=8, help="that work at once, at most (8)")
    add(
        "--may-answer",
        metavar="WHAT",
        action="append",
        help=f"{MAY_ANSWER}; or nothing (default: questions)",
    )
    add("--notify", metavar="URL", help="tell this apprise address what waits, ends or fails")
    add("--json", action="store_true", help="one event per line out, one command per line in")
    parser.set_defaults(resume=None)


def _orchestrate(given: argparse.Namespace) -> int:
    from midflight.cli.commands.orchestrate import orchestrate

    return orchestrate(given)


def _park_after(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--park-after",
        metavar="S",
        type=seconds,
        help="in the background: lay it to rest when it was quiet for so long (15m); inf: never",
    )


def _agent_options(parser: argparse.ArgumentParser) -> None:
    """Add what says which agent it is, and what it may do."""
    add = parser.add_argument
    add(
        "--agent",
        metavar="A",
        help="the agent: claude (default), opencode, a preset or acp:COMMAND",
    )
    add("--model", metavar="M", help="the model, as the agent names it")
    add("--max-turns", metavar="N", type=int, help="model calls in one turn, at most")
    add("--max-budget-usd", metavar="X", type=float, help="US dollars for the session, at most")
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
    add("--timeout", metavar="S", type=float, help="seconds that one turn may take")
    add("--stall-timeout", metavar="S", type=float, help="seconds of silence that end a turn")
    add(
        "--on-usage-limit",
        metavar="W",
        help="at the account's usage limit: wait for its reset, or fail (default: ask, else fail)",
    )
    add("--max-wait", metavar="S", type=seconds, help="how long to wait at most: 3600, 90m, 6h")
    add("--server-url", metavar="URL", help="an OpenCode server that runs already")


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--probe", action="store_true", help="try what each agent can do, offline; takes minutes")
    add("--agent", metavar="A", help="with --probe: only this agent")
    add("--json", action="store_true", help="one JSON object; with --probe one row per line")


def _run(given: argparse.Namespace) -> int:
    from midflight.cli.commands.run import run

    return run(given)


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--agent",
        metavar="A",
        choices=("claude", "opencode"),
        default="claude",
        help="claude (default) or opencode",
    )


def _demo(given: argparse.Namespace) -> int:
    from midflight.cli.commands.demo import demo

    return demo(given.agent)


def _host_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--warm", action="store_true", help="keep an agent ready for run -d with these options")
    _agent_options(parser)
    parser.set_defaults(name=None, resume=None)
    add("--journal", metavar="DIR", help="the journal's folder (default: your own)")
    _park_after(parser)
    add("--ready", metavar="FD", type=int, help=argparse.SUPPRESS)


def _host(given: argparse.Namespace) -> int:
    from midflight.cli.commands.host import host

    return host(given)


def _doctor(given: argparse.Namespace) -> int:
    if given.agent and not given.probe:
        raise UsageError("--agent goes with --probe", "midflight doctor --probe")
    if given.probe:
        from midflight.cli.commands.probe import probe

        return probe(given.agent, as_json=given.json)
    from midflight.cli.commands.doctor import doctor

    return doctor(as_json=given.json)


COMMANDS: dict[str, Command] = {
    "run": ("run a task here and show what the agent does", _run_options, _run),
    "demo": ("see it at work: a scripted tour, without key and network", _demo_options, _demo),
    "orchestrate": (
        "have an agent dispatch and steer others for you",
        _orchestrate_options,
        _orchestrate,
    ),
    "mcp": MCP,
    "skill": SKILL,
    "host": ("keep sessions in the background", _host_options, _host),
    "doctor": ("say which agents can be used, and what to do if not", _doctor_options, _doctor),
    **SESSION_COMMANDS,
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    # What is loaded stays. Looking for garbage in it, again and again at the start and once more
    # at the end, would be a fifth of the time that a command takes which needs the journal.
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)
    sys.exit(_main(sys.argv[1:] if arguments is None else arguments))


def _main(arguments: Sequence[str]) -> int:
    try:
        given = make_parser().parse_args(_with_command(list(arguments)))
        _, _, command = COMMANDS[given.command]
        return command(given)
    except BrokenPipeError:
        return _nobody_reads()
    except KeyboardInterrupt:
        return 130
    except MidflightError as error:
        return _report(error.message, error.hint, _code_of(error))
    except Exception as error:  # noqa: BLE001 - a person gets a line, never a traceback
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - see top
        text = f"unexpected {type(error).__name__}: {error} ({where})"
        return _report(text, "this is a mistake in midflight; please report this line", 1)


def _with_command(arguments: list[str]) -> list[str]:
    """Return the arguments with ``run`` in front of a bare task.

    Raises `UsageError` for what looks like a slip of the pen in a command's name: as a task it
    would cost money.
    """
    if not arguments:
        return ["--help"]
    first = arguments[0]
    if first in {*COMMANDS, "-h", "--help", "--version"}:
        return arguments
    alike = [name for name in COMMANDS if abs(len(name) - len(first)) <= 1]
    one_word = len(first.split()) == 1
    if one_word and (near := difflib.get_close_matches(first, alike, 1, cutoff=0.75)):
        raise UsageError(
            f"there is no command {first!r}; did you mean {near[0]}?",
            f"midflight run {first!r} to give it to an agent as a task",
        )
    return ["run", *arguments]


def _code_of(error: MidflightError) -> int:
    if isinstance(error, (UsageError, InvalidConfig, InvalidInput, InvalidOption)):
        return 2
    return 4 if isinstance(error, NotFound) else 1


def _report(text: str, hint: str, code: int) -> int:
    """Tell an error on standard error, in one line and a hint, and return the exit code."""
    lines = f"midflight: {one_line(text, 1000)}\n"
    if hint:
        lines += f"hint: {one_line(hint, 1000)}\n"
    try:
        write(lines, error=True)
    except OSError:
        return code
    return code


def _nobody_reads() -> int:
    """Whoever read the output has gone. Python must not find that out again when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return _report("nobody reads the output any more", "", 1)


if __name__ == "__main__":
    main()

"""The program ``midflight``: reads the command line and starts what it asks for."""

from __future__ import annotations

import atexit
import gc
import importlib
import itertools
import os
import shlex
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from midflight._util.sanitize import one_line
from midflight._util.text import did_you_mean
from midflight.cli import exit_codes
from midflight.cli.command_table import COMMANDS
from midflight.cli.output import OutputFailed, at_terminal, write
from midflight.cli.parser import parse
from midflight.errors import InvalidInput, MidflightError

if TYPE_CHECKING:
    import argparse

GARBAGE = 10_000
"""How many objects have to come before Python looks for garbage."""

OTHER_WORDS = {
    **dict.fromkeys(("list", "status", "ps", "sessions"), "ls"),
    **dict.fromkeys(("kill", "close", "end"), "stop"),
    **dict.fromkeys(("delete", "remove"), "rm"),
    **dict.fromkeys(("approve", "allow", "deny"), "answer"),
    **dict.fromkeys(("new", "start", "dispatch"), "run"),
    **dict.fromkeys(("steer", "tell", "say"), "send"),
    **dict.fromkeys(("cron", "schedules"), "schedule"),
    "open": "attach",
}
"""What other programs call our commands."""

NO_COMMANDS = ("help", "version")
"""Words for an option, as other programs have them."""


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit with its code."""
    # What is loaded stays. Looking for garbage in it, again and again at the start and once more
    # at the end, would be a fifth of the time that a command takes which needs the journal.
    _open_closed()
    gc.set_threshold(GARBAGE)
    atexit.register(gc.freeze)
    sys.exit(execute(sys.argv[1:] if arguments is None else arguments))


def execute(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code; errors become one line and a hint."""
    try:
        args = parse(_with_command(list(arguments)))
        return _dispatch(args)
    except BrokenPipeError as error:
        return _output_is_closed(error)
    except KeyboardInterrupt:
        return exit_codes.INTERRUPTED
    except MidflightError as error:
        return _report(error.message, error.hint, exit_codes.of_error(error))
    except Exception as error:  # noqa: BLE001 - a person gets a line, never a traceback
        if isinstance(error, FileNotFoundError) and (deleted := _deleted_folder()):
            return _report(deleted.message, deleted.hint, exit_codes.USAGE)
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(place.filename)}:{place.lineno}"  # noqa: PTH119 - pathlib loads slowly
        text = f"unexpected {type(error).__name__}: {error} ({where})"
        return _report(
            text, "this is a mistake in midflight; please report this line", exit_codes.FAILED
        )


def _dispatch(args: argparse.Namespace) -> int:
    """Load what carries the command out, call it, and return the exit code."""
    if getattr(args, "journal", None) is not None:
        from midflight.journal.choice import take_option

        args.journal = take_option(args.journal)
    if "waiter" in args:
        from midflight.cli.waiter import with_waiter

        args.waiter = with_waiter(args)
    module, _, function = COMMANDS[args.command].handler.partition(":")
    code: int = getattr(importlib.import_module(module), function)(args)
    return code


def _with_command(arguments: list[str]) -> list[str]:
    """Return the arguments with ``run`` in front of a bare task.

    Raises `InvalidInput` for a lone word that is no command: as a task it would cost money, and
    more often than not it is a slip, or another program's word.
    """
    if not arguments:
        return ["board"] if at_terminal() else ["--help"]
    first, *rest = arguments
    if first == "help":
        return [*(word for word in rest[:1] if _known(word)), "--help"]
    if first == "version":
        return ["--version"]
    if first in {*COMMANDS, "-h", "--help", "--version"}:
        return arguments
    if len(first.split()) != 1 or first.startswith("-"):
        return ["run", *arguments]
    task = " ".join([first, *itertools.takewhile(lambda word: not word.startswith("-"), rest)])
    given = f"midflight {shlex.quote(task)}" if task != first else f"midflight run {first!r}"
    raise InvalidInput(_no_command(first), f"{given} gives it to an agent as a task")


def _known(word: str) -> bool:
    """Tell whether help is there for a word, which is not so for ``help`` itself.

    Raises `InvalidInput` for one that is no command.
    """
    if word not in {*COMMANDS, *NO_COMMANDS}:
        raise InvalidInput(_no_command(word), "midflight help lists them")
    return word in COMMANDS


def _no_command(word: str) -> str:
    """Return that there is no such command, and which may have been meant."""
    near = OTHER_WORDS.get(word)
    shown = [name for name, command in COMMANDS.items() if command.group]
    guess = f"did you mean {near}?" if near else did_you_mean(word, [*shown, *NO_COMMANDS], "")
    return f"there is no command {word!r}" + (f"; {guess}" if guess else "")


def _deleted_folder() -> InvalidInput | None:
    """Return the error to report where this process stands in a folder that was deleted."""
    from midflight._util.files import current_folder

    try:
        current_folder()
    except InvalidInput as error:
        return error
    return None


def _report(text: str, hint: str, code: int) -> int:
    """Print an error on standard error, in one line and a hint, and return the exit code."""
    lines = f"midflight: {one_line(text, 1000)}\n"
    if hint:
        lines += f"hint: {one_line(hint, 1000)}\n"
    try:
        write(lines, error=True)
    except OSError:
        return code
    return code


def _output_is_closed(error: BrokenPipeError) -> int:
    """Report that nothing more can be written; Python must not find that out again."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)
    text = "nobody reads the output any more"
    if isinstance(error, OutputFailed):
        text = f"the output cannot be written: {error.strerror}"
    return _report(text, "", exit_codes.FAILED)


def _open_closed() -> None:
    """Have whatever comes on a standard stream that was closed before the start go nowhere.

    Else the next file that is opened would take its number, and get what is written to the stream.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, PTH123


if __name__ == "__main__":
    main()

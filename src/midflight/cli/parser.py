"""The parser of the command line, made from the table of commands."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from midflight._util.text import did_you_mean
from midflight.cli.command_table import COMMANDS, COMPLETE, add_options, limit_options
from midflight.cli.output import write
from midflight.errors import InvalidInput

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


def parse(arguments: list[str]) -> argparse.Namespace:
    """Return what a command line says. Raises `InvalidInput`.

    The words that a shell wants completed are none yet: they may be options of other commands. What
    is scheduled stands behind ``--``, and is a command line of its own.
    """
    if arguments[:1] == [COMPLETE]:
        return argparse.Namespace(command=COMPLETE, words=arguments[1:])
    if arguments[:1] == ["schedule"] and "--" in arguments:
        at = arguments.index("--")
        parsed = make_parser().parse_args(arguments[:at])
        parsed.run = arguments[at + 1 :]
        return parsed
    return make_parser().parse_args(arguments)


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    usage = 'midflight "task" [options of run]\n       midflight COMMAND [-h] …'
    parser = _Parser(
        prog="midflight", usage=usage, description=DESCRIPTION + _groups(), epilog=EPILOG
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    commands = parser.add_subparsers(
        prog="midflight", metavar="COMMAND", required=True, help=argparse.SUPPRESS
    )
    for name, command in COMMANDS.items():
        text = command.help
        one = commands.add_parser(name, description=text[:1].upper() + text[1:] + ".")
        add_options(name, one)
        one.set_defaults(command=name)
    return parser


def limits_parser() -> argparse.ArgumentParser:
    """Return the parser of what a person types behind ``/limits``."""
    parser = _Parser(prog="/limits", add_help=False)
    limit_options(parser)
    return parser


def _groups() -> str:
    """Return the commands as the help lists them."""
    groups: dict[str, str] = {}
    for name, command in COMMANDS.items():
        if command.group:
            title = f"\n{command.group}:\n"
            groups[title] = groups.get(title, title) + f"  {name:11} {command.help}\n"
    return "".join(groups.values())


class _Parser(argparse.ArgumentParser):
    """Raises what is wrong as an error, and prints through the one output function."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options["formatter_class"] = argparse.RawDescriptionHelpFormatter
        options["allow_abbrev"] = False
        super().__init__(*args, **options)

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse what is not known here, where it is known what may have been meant."""
        try:
            parsed, unknown = super().parse_known_args(args, namespace)
        except InvalidInput:
            # argparse misses what is required before it tells what it does not know.
            first = args[0] if args else ""
            known = {first.partition("=")[0], first[:2]} & {*self._option_string_actions}
            if first.startswith("-") and not known:
                raise self._no_option(first) from None
            raise
        if unknown and unknown[0].startswith("-"):
            raise self._no_option(unknown[0])
        if unknown:
            raise InvalidInput(f"one argument too many: {unknown[0]}", "put a text in quotes")
        return parsed, unknown

    def _no_option(self, given: str) -> InvalidInput:
        option = given.partition("=")[0]
        known = [each for each in self._option_string_actions if each.startswith("--")]
        return InvalidInput(f"there is no option {option}", did_you_mean(option, known, self._help))

    @property
    def _help(self) -> str:
        return f"{self.prog} --help" if self.add_help else "/help"

    def error(self, message: str) -> NoReturn:
        raise InvalidInput(message, self._help)

    def _print_message(self, message: str, file: object = None) -> None:
        write(message)


class _Version(argparse.Action):
    """Looks the version up when it is asked for, and not before."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        write(f"midflight {version('midflight')}\n")
        parser.exit()

"""``midflight completion``: the script that makes a shell complete commands, options and names.

The script asks ``midflight __complete`` with the words of the line, the last of them being the one
that is completed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import get_args

from midflight._util.sanitize import inert
from midflight.cli.command_table import COMMANDS, add_options
from midflight.cli.output import write
from midflight.cli.starting_options import SCHEDULE_ACTIONS
from midflight.errors import MidflightError

_BASH = """\
# eval "$(midflight completion bash)"
_midflight() {
    local IFS=$'\\n'
    COMPREPLY=($(midflight __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _midflight midflight
"""

_ZSH = """\
# eval "$(midflight completion zsh)"
_midflight() {
    local -a found
    found=(${(f)"$(midflight __complete "${(@)words[2,CURRENT]}" 2>/dev/null)"})
    if (( $#found )); then compadd -- $found; else _files; fi
}
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit; }
compdef _midflight midflight
"""

_FISH = """\
# midflight completion fish | source
function __midflight
    set -l words (commandline -opc) (commandline -ct)
    midflight __complete $words[2..-1] 2>/dev/null
end
complete -c midflight -a '(__midflight)'
"""

_SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}

_MAY_ANSWER = ("questions", "everything", "nothing")


def completion(args: argparse.Namespace) -> int:
    """Print the script for a shell."""
    write(_SCRIPTS[args.shell])
    return 0


def complete(args: argparse.Namespace) -> int:
    """Print what the last word can become, one candidate per line."""
    for candidate in candidates(args.words):
        write(f"{inert(candidate)}\n")
    return 0


def candidates(words: list[str]) -> list[str]:
    """Return what the last of the words can become."""
    *before, begun = [word for word in words if word != "="] or [""]  # bash cuts --option=value
    if words[-1:] == ["="]:
        before, begun = [*before, begun], ""
    if before[:1] == ["schedule"] and "--" in before:  # behind it stands another command
        words = [*before[before.index("--") + 1 :], begun]
        return candidates(words) if words[1:] else ["run"]
    option, equals, value = begun.partition("=")
    lead = ""
    if equals and begun.startswith("--"):
        before, begun, lead = [*before, option], value, f"{option}="
    found = _commands() if not before else _in_command(before[0], before[1:], begun)
    return [f"{lead}{each}" for each in found if each.startswith(begun)]


def _commands() -> list[str]:
    names = [name for name, command in COMMANDS.items() if command.group]
    return [*names, "--help", "--version"]


def _in_command(name: str, before: list[str], begun: str) -> Iterable[str]:
    """Return what can stand behind some words of a command."""
    if name == "help" and not before:
        return _commands()
    parser = argparse.ArgumentParser(prog=name)
    if name in COMMANDS:
        add_options(name, parser)
    options = parser._option_string_actions  # noqa: SLF001 - argparse has no other way to ask
    if before and _takes_value(options.get(before[-1])):
        return _values(name, options[before[-1]], 0)
    if begun.startswith("-"):
        return [option for option in options if option.startswith("--")]
    values = {at + 1 for at, word in enumerate(before) if _takes_value(options.get(word))}
    place = sum(
        1 for at, word in enumerate(before) if at not in values and not word.startswith("-")
    )
    places = [each for each in parser._actions if not each.option_strings]  # noqa: SLF001
    if not places or (place >= len(places) and places[-1].nargs != "+"):
        return ()
    at = min(place, len(places) - 1)
    return _values(name, places[at], place - at)


def _takes_value(option: argparse.Action | None) -> bool:
    return option is not None and option.nargs != 0


def _values(name: str, action: argparse.Action, place: int) -> Iterable[str]:
    """Return what an argument of a command can be; of several words the one at a ``place``."""
    if action.choices is not None:
        return [str(each) for each in action.choices]
    match action.dest:
        case "agent":
            return _agents()
        case "permission_mode":
            return _modes()
        case "on_usage_limit":
            return ("wait", "fail")
        case "on_host_lost":
            return ("rest", "resume")
        case "may_answer":
            return _MAY_ANSWER
        case "session" | "sessions":
            return _sessions()
        case "what":
            return SCHEDULE_ACTIONS
        case "schedule":
            return _schedules()
        case "words" if not place:
            return _sessions()
        case "words" if name == "answer":
            return ("allow", "always", "deny")
    return ()


def _agents() -> list[str]:
    from midflight.agents import NAMES

    return [name for name in NAMES if name != "fake"]


def _modes() -> tuple[str, ...]:
    from midflight.values import PermissionMode

    return get_args(PermissionMode)


def _sessions() -> list[str]:
    """Return the names of the sessions that may be read here, the newest first."""
    from midflight.journal.choice import choose
    from midflight.journal.names import newest_names
    from midflight.lineage import inside

    try:
        journal = choose()
        if not inside():
            return newest_names(journal)
    except MidflightError:
        return []
    import asyncio

    return asyncio.run(_readable())


def _schedules() -> list[str]:
    """Return the names of the schedules; an agent has none."""
    from midflight.journal.choice import choose
    from midflight.journal.names import schedule_names
    from midflight.lineage import inside

    try:
        return [] if inside() else schedule_names(choose())
    except MidflightError:
        return []


async def _readable() -> list[str]:
    """Return those that an agent may read, which takes what is slow to load."""
    from midflight.authorization import Authorizer
    from midflight.journal import Journal

    async with Journal() as journal:
        rows = await journal.sessions()
        readable = await Authorizer.of_this_process(journal).readable(row.id for row in rows)
        return [row.name for row in rows if row.id in readable]

"""``midflight completion``: the script that makes a shell complete commands, options and names.

The script asks ``midflight __complete`` with the words of the line, the last of them being the one
that is completed.
"""

from __future__ import annotations

import argparse

from midflight._util.sanitize import inert
from midflight.cli.command_table import COMMANDS, WORKTREE_ACTIONS
from midflight.cli.output import write

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

_NAMED = frozenset(
    {
        *("show", "logs", "attach", "resume", "stop", "rm"),
        *("send", "queue", "redirect", "interrupt", "answer"),
    }
)
"""Commands whose first word may be a session."""


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
    *before, begun = words or [""]
    if begun.startswith("-"):
        words = _options(before[0] if before else "")
    elif not before:
        words = [name for name, command in COMMANDS.items() if command.group]
    elif before[0] in _NAMED:
        words = _sessions()
    elif before[0] == "worktree":
        words = _sessions() if len(before) > 1 else list(WORKTREE_ACTIONS)
    elif before[0] == "completion":
        words = sorted(_SCRIPTS)
    else:
        words = []
    return [each for each in words if each.startswith(begun)]


def _options(name: str) -> list[str]:
    """Return the options of a command, as its parser has them."""
    if name not in COMMANDS:
        return ["--help", "--version"]
    parser = argparse.ArgumentParser(prog=name)
    COMMANDS[name].add_options(parser)
    return [text for text in parser._option_string_actions if text.startswith("--")]  # noqa: SLF001


def _sessions() -> list[str]:
    """Return the names of all sessions that may be read here, the newest first."""
    import asyncio

    return asyncio.run(_names())


async def _names() -> list[str]:
    from midflight.authorization import Authorizer
    from midflight.journal import Journal

    async with Journal() as journal:
        rows = await journal.sessions()
        readable = await Authorizer.of_this_process(journal).readable(row.id for row in rows)
        return [row.name for row in rows if row.id in readable]

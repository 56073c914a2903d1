"""The words of ``--may-answer``: what an agent may answer of what its own sessions ask."""

from __future__ import annotations

from collections.abc import Iterable

from midflight._util.text import did_you_mean
from midflight.authorization import EVERYTHING, QUESTIONS
from midflight.cli.output import write
from midflight.errors import InvalidOption


def check_may_answer(words: Iterable[str]) -> None:
    """Refuse a slip in a word that is known, and say which tool is no known agent's.

    Raises `InvalidOption`. A plugin may have a tool of any name, so others are only told of.
    """
    known = {QUESTIONS, EVERYTHING, *_tools()}
    for word in words:
        what = word.rpartition("@")[0] if "@" in word else word
        if what in known or what.startswith("mcp__"):
            continue
        if hint := did_you_mean(what, (*sorted(known), "nothing"), ""):
            raise InvalidOption("--may-answer", f"{what!r} is neither a word nor a tool", hint)
        say = f"no agent that midflight knows has a tool {what!r}: --may-answer has no effect but"
        write(f"midflight: {say} for a plugin's tool of that name\n", error=True)


def _tools() -> set[str]:
    """Return the names of the tools that known agents have for permissions."""
    from midflight.agents.acp.content import TOOLS as ACPS
    from midflight.agents.claude.effects import TOOLS as CLAUDES
    from midflight.agents.opencode.v1.effects import TOOLS as OPENCODES

    return {*ACPS, *ACPS.values(), *CLAUDES, *OPENCODES}

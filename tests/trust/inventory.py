"""What an agent's program obeys, as far as its text shows; and what of that is known here.

    python -m tests.trust.inventory

prints `known.json` as it is with the Claude Code that is installed. Look at what is new before:
does it run or redirect? The names of OpenCode's settings, from its own description, are added by
hand.
"""

from __future__ import annotations

import json
import mmap
import re
import sys
from pathlib import Path

from midflight.agents.claude import program as claude
from midflight.errors import AgentUnavailable

KNOWN = Path(__file__).with_name("known.json")

_KEY = re.compile(rb"([A-Za-z$][\w$]*):\(\)=>")
_DOTTED = re.compile(rb"""["'`](\.[a-z][a-z-]+(?:\.jsonc?|\.toml|\.ya?ml))["'`]""")
_OF_CLAUDE = re.compile(rb"\.claude/([a-z][\w-]*(?:\.[a-z]+)*)")
SCHEMA = b"apiKeyHelper:()=>"
FAR = 400_000


def _text(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _keys(text: mmap.mmap) -> set[str]:
    """Return the keys of the object in which Claude Code describes its settings."""
    begin = text.rfind(b"{", 0, text.find(SCHEMA))
    depth, at, quote = 0, begin, b""
    keys: set[str] = set()
    while at < begin + FAR:
        char = text[at : at + 1]
        if quote:
            if char == b"\\":
                at += 1
            elif char == quote:
                quote = b""
        elif char in b"\"'`":
            quote = char
        elif char in b"{([":
            depth += 1
        elif char in b"})]":
            depth -= 1
            if not depth:
                return keys
        if depth == 1 and not quote and char in b"{,":
            found = _KEY.match(text, at + 1)
            if found:
                keys.add(found[1].decode())
        at += 1
    raise AssertionError("the description of the settings has no end")


def of_claude() -> dict[str, list[str]]:
    """Return Claude Code's settings, and the names of files that it looks for in a folder."""
    text = _text(claude.find(None))
    return {
        "settings": sorted(_keys(text)),
        "files": sorted({found.decode() for found in _DOTTED.findall(text)}),
        "in .claude": sorted({found.decode() for found in _OF_CLAUDE.findall(text)}),
    }


def known() -> dict[str, dict[str, list[str]]]:
    """Return what was looked at."""
    return json.loads(KNOWN.read_text())  # type: ignore[no-any-return]


if __name__ == "__main__":
    try:
        look = {**known(), "claude": of_claude()}
    except AgentUnavailable as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(look, indent=1) + "\n")

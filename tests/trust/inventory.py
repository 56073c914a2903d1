"""What an agent's program obeys, as far as its text shows; and what of that is known here.

    python -m tests.trust.inventory

prints `known.json` as it is with the Claude Code and the preview of OpenCode 2 that are installed.
Look at what is new before: does it run or redirect? The names of OpenCode's settings, from its own
description, are added by hand.
"""

from __future__ import annotations

import json
import mmap
import re
import sys
from pathlib import Path

from midflight._util.programs import find_program
from midflight.agents.claude import program as claude
from midflight.agents.opencode.v2.program import PREVIEW_PROGRAM
from midflight.errors import AgentUnavailable

KNOWN = Path(__file__).with_name("known.json")

_KEY = re.compile(rb"([A-Za-z$][\w$]*):")
_LAZY_KEY = re.compile(_KEY.pattern + rb"\(\)=>")
_DOTTED = re.compile(rb"""["'`](\.[a-z][a-z-]+(?:\.jsonc?|\.toml|\.ya?ml))["'`]""")
_OF_CLAUDE = re.compile(rb"\.claude/([a-z][\w-]*(?:\.[a-z]+)*)")
SCHEMA = b"apiKeyHelper:()=>"
SCHEMA_OF_OPENCODE2 = b'.Class("Config.Info")('
FAR = 400_000


def _text(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _keys(text: mmap.mmap, begin: int, key: re.Pattern[bytes]) -> set[str]:
    """Return the keys of the object that begins there; that is how settings are described."""
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
            found = key.match(text, at + 1)
            if found:
                keys.add(found[1].decode())
        at += 1
    raise AssertionError("the description of the settings has no end")


def of_claude() -> dict[str, list[str]]:
    """Return Claude Code's settings, and the names of files that it looks for in a folder."""
    text = _text(claude.find(None))
    return {
        "settings": sorted(_keys(text, text.rfind(b"{", 0, text.find(SCHEMA)), _LAZY_KEY)),
        "files": sorted({found.decode() for found in _DOTTED.findall(text)}),
        "in .claude": sorted({found.decode() for found in _OF_CLAUDE.findall(text)}),
    }


def of_opencode2() -> dict[str, list[str]]:
    """Return the settings of OpenCode 2's preview; those of version 1 it translates into these."""
    program = find_program(PREVIEW_PROGRAM)
    if program is None:
        raise AgentUnavailable("the preview of OpenCode 2 is not installed", PREVIEW_PROGRAM)
    text = _text(program)
    begin = text.find(SCHEMA_OF_OPENCODE2) + len(SCHEMA_OF_OPENCODE2)
    return {"settings": sorted(_keys(text, begin, _KEY))}


def known() -> dict[str, dict[str, list[str]]]:
    """Return what was looked at."""
    return json.loads(KNOWN.read_text())  # type: ignore[no-any-return]


if __name__ == "__main__":
    try:
        look = {**known(), "claude": of_claude(), "opencode2": of_opencode2()}
    except AgentUnavailable as error:
        sys.exit(str(error))
    sys.stdout.write(json.dumps(look, indent=1) + "\n")

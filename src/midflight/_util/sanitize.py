"""Makes text harmless that an agent may have written, before it is shown.

It may contain escape sequences that move the cursor, set the clipboard or rename the window,
characters that reverse the reading direction or are invisible, and carriage returns that paint
over what stands there.
"""

from __future__ import annotations

import re
import unicodedata

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_TAGS = "\U000e0000-\U000e007f"
_SEQUENCES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])"  # OSC, DCS, SOS, PM, APC: a string up to its end
    r"[^\x07\x1b\x80-\x9f]*(?:\x07|\x1b\\|\x9c)"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI
    r"|\x1b[ -/]*[0-~]"  # the short ones
)
CONTROLS = re.compile(
    f"[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029\\ud800-\\udfff\\ufeff{_BIDI}{_TAGS}]"
)
"""What `inert` takes out."""

_SPACES = re.compile(r"\s+")


def inert(text: str) -> str:
    """Return the text without anything that a terminal would obey; newlines and tabs stay."""
    if CONTROLS.search(text) is None:
        return text
    return CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def exact(text: str) -> str:
    """Return the text with everything invisible made visible, for what a person has to approve.

    Nothing is left out: what `inert` would drop stands there as ``<U+001B>``.
    """
    return "".join(
        f"<U+{ord(char):04X}>"
        if char not in "\n\t " and unicodedata.category(char)[0] in "CZ"
        else char
        for char in text
    )


def one_line(text: str, width: int = 200) -> str:
    """Return the text as a single inert line of at most ``width`` characters."""
    line = _SPACES.sub(" ", inert(text)).strip()
    return line if len(line) <= width else line[: width - 1] + "…"

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
    "[\\x00-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u200b\\u2028\\u2029\\u2060-\\u206f\\ud800-\\udfff\\ufeff\\ufff9-\\ufffb"
    f"{_BIDI}{_TAGS}]"
)
"""What `inert` takes out."""

_BLANK = "\u115f\u1160\u2800\u3164\uffa0"
_HIDDEN = "\u00ad\u034f\u17b4\u17b5\u180b-\u180f\U0001d173-\U0001d17a\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
_STYLES = "\ufe00-\ufe0f"  # of the emoji or sign before them
_JOINED = f"[^\\x00-\\xbf\\s{_JOINERS}]"

_UNSEEN = re.compile(f"[\u200b\u2060-\u206f\ufeff{_BLANK}{_HIDDEN}{_JOINERS}{_STYLES}]")
"""What takes no place, or an empty one, and is no control: letters and signs among it."""

_IDLE = re.compile(
    f"[{_HIDDEN}]|(?<![^\\s{_STYLES}])[{_STYLES}]+|(?<=[{_STYLES}])[{_STYLES}]+"
    f"|(?<!{_JOINED})[{_JOINERS}]+|[{_JOINERS}]+(?!{_JOINED})"
)
"""What of it is of no use in a text: no joiner within an emoji or a script that needs it."""

_EMPTY = re.compile(f"[{_BLANK}]")
_GAP_WIDTH = 40
_GAP = re.compile(rf"(?<=\S)[ \t]{{{_GAP_WIDTH},}}|[ \t]{{100,}}")
"""A gap of half a line behind a text, or of more than a line before one."""

_BLANKS = re.compile(" +|\t+")
_SPACES = re.compile(r"\s+")
_MOST_ACCENTS = 2
"""How many marks a letter has in real languages; more of them paint over the lines around."""


def inert(text: str) -> str:
    """Return the text without anything that a terminal would obey; newlines and tabs stay."""
    if CONTROLS.search(text) is None:
        return text
    return CONTROLS.sub("", _SEQUENCES.sub("", text.replace("\r\n", "\n")))


def exact(text: str) -> str:
    """Return the text with everything invisible made visible, for what a person has to approve.

    Nothing is left out: what `inert` would drop stands there as ``<U+001B>``, and so do letters
    that look like a space, and accents that pile up or that stand on nothing. Of so many blanks
    that what follows would seem to stand alone there is the number.
    """
    shown, accents = [], _MOST_ACCENTS
    for char in text:
        kind = unicodedata.category(char)[0]
        accents = accents + 1 if kind == "M" else _MOST_ACCENTS if char.isspace() else 0
        hidden = (
            (kind in "CZ" and char not in "\n\t ")
            or (kind == "M" and accents > _MOST_ACCENTS)
            or (char not in "\n\t " and _UNSEEN.match(char) is not None)
        )
        shown.append(_named(char) if hidden else char)
    return _GAP.sub(lambda gap: _BLANKS.sub(_counted, gap[0]), "".join(shown))


def exact_line(text: str) -> str:
    """Return the same with a newline and a tab made visible too: one line."""
    return exact(text).replace("\n", "<U+000A>").replace("\t", "<U+0009>")


def _counted(blanks: re.Match[str]) -> str:
    return f"<{len(blanks[0])} x U+{ord(blanks[0][0]):04X}>"


def _named(char: str) -> str:
    return f"<U+{ord(char):04X}>"


def one_line(text: str, width: int = 200) -> str:
    """Return the text as a single inert line of at most ``width`` characters.

    What is invisible is left out, but for what joins emoji and letters.
    """
    line = inert(text)
    if not line.isascii():
        line = _IDLE.sub("", _EMPTY.sub(" ", line))
    line = _SPACES.sub(" ", line).strip()
    return line if len(line) <= width else line[: max(0, width - 1)] + "…"[: max(0, width)]


def one_name(text: str, width: int = 200) -> str:
    """Return a name as a single inert line in which all that is invisible is made visible.

    Nothing is left out, or another name could be made to look like this one.
    """
    return one_line(exact_line(text[: width * _GAP_WIDTH]), width)

"""What can stand where a person types: commands, what they take, and files behind an ``@``."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from midflight.cli.terminal.file_names import FileNames
from midflight.cli.terminal.slash_commands import COMMANDS

_FILE = re.compile(r"""(?:^|\s)@("?)([^\s"]*)$""")
"""A file that is begun, as Claude Code has it: in quotes where there is a space in its name."""

_COMMAND = re.compile(r"(/[a-z]*)")
_VALUE = re.compile(r"(/[a-z]+) +([^\n]*)")

Values = Callable[[str], Mapping[str, str]]
"""From a command to what it can take, each with a word of explanation or none."""


class LineCompleter(Completer):
    """Offers what begins with, or is like, what stands before the cursor."""

    def __init__(self, folder: Path, values: Values) -> None:
        """``folder`` is where files are looked for."""
        self._files = FileNames(folder)
        self._values = values
        self._like_none: str | None = None

    def offers(self, text: str) -> bool:
        """Tell whether there is something to offer behind a text, as far as that is known."""
        if file := _FILE.search(text):
            return self._like_none is None or not file[2].startswith(self._like_none)
        begun, known = self._known(text)
        return any(word != begun for word in known)

    def goes_on(self, text: str) -> bool:
        """Tell whether something else has to follow what was chosen at the end of a text."""
        last = text.rpartition(" ")[2]
        return text.endswith('"') or last.startswith(("@", "--")) or bool(_takes(text))

    def _known(self, text: str) -> tuple[str, Mapping[str, str]]:
        """Return what of a command is begun, and what it can become."""
        if command := _COMMAND.fullmatch(text):
            begun, known = command[1], {name: each.does for name, each in COMMANDS.items()}
        elif value := _VALUE.fullmatch(text):
            begun, known = value[2], dict(self._values(value[1]))
        else:
            return "", {}
        return begun, {word: what for word, what in known.items() if word.startswith(begun)}

    def get_completions(self, document: Document, event: CompleteEvent) -> Iterable[Completion]:
        """Return what needs no file to be looked for."""
        begun, known = self._known(document.text_before_cursor)
        for word, meaning in known.items():
            yield Completion(word, -len(begun), display_meta=meaning)

    async def get_completions_async(
        self, document: Document, event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Return what can stand there."""
        file = _FILE.search(document.text_before_cursor)
        if file is None:
            for each in self.get_completions(document, event):
                yield each
            return
        quote, begun = file.groups()
        found = await self._files.like(begun)
        self._like_none = None if found else begun
        for name in found:
            text = f'"{name}"' if " " in name else name
            yield Completion(text, -len(quote + begun), display=name)


def _takes(name: str) -> str:
    return COMMANDS[name].takes if name in COMMANDS else ""

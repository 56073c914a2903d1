"""What a call of an ACP agent does, as far as all that the agent says of it agrees.

The protocol's own word for an edit is a ``diff`` in the call's content: a path, the old text and
the new one. Beside it stand the input of the agent's tool (``rawInput``) and the ``locations``, and
each may name another file or text than the diff. Which of them the tool obeys is not known, so an
edit is one only where they say the same, in keys that are known here; a command likewise. Every
other call is shown with all that the agent says of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from midflight.agents.acp.content import FOLDERS, AcpCall
from midflight.agents.shared import effects as shared
from midflight.agents.shared.effects import UncertainError
from midflight.effects import CommandEffect, EditEffect, Effect, OtherEffect

PATHS = frozenset({"path", "file_path", "filePath", "filepath"})
OLD = frozenset({"old_string", "oldString", "old_str", "oldText"})
NEW = frozenset({"new_string", "newString", "new_str", "newText", "content", "file_text"})
"""Keys of the inputs of edits, in the spellings that agents have for them."""

_ONCE = frozenset({"replace_all", "replaceAll"})
"""What changes more than a diff tells, unless it is false."""

_BESIDE: Mapping[str, type | tuple[type, ...]] = {
    "description": str,
    "timeout": (int, float, type(None)),
}
"""What the input of a command may have that changes nothing of what it does."""


def effects_of_call(call: AcpCall, cwd: Path) -> tuple[Effect, ...]:
    """Return the edits or the command, if all that is said agrees; else all that is said.

    It may read the files that are to be changed, so it is called in a thread.
    """
    try:
        return edits_of(call, cwd) or (_command(call, cwd),)
    except UncertainError:
        return (OtherEffect(input=_all_of(call)),)


def edits_of(call: AcpCall, cwd: Path) -> tuple[EditEffect, ...]:
    """Return an edit for each diff of an edit; nothing for another call, or one without a diff.

    Raises `UncertainError` where the agent says anything else of the call that does not agree.
    """
    if call.kind != "edit" or not call.content:
        return ()
    items = _items(call)
    edits = tuple(_edit(item, cwd) for item in items)
    paths = {edit.path for edit in edits}
    _check(all(shared.absolute(place, cwd) in paths for place in call.places))
    if call.input:  # whose parts are of which file is known of one file alone
        _check(len(edits) == 1 and _agrees(call, items[0], edits[0], cwd))
    return edits


def _items(call: AcpCall) -> list[object]:
    """Return the parts of a call's content. Raises `UncertainError` if it is no list of them."""
    items = call.content or []
    if not isinstance(items, list):
        raise UncertainError
    return items


def _edit(item: object, cwd: Path) -> EditEffect:
    match item:
        case {"type": "diff", "path": str(path), "newText": str(new), **rest}:
            old = rest.get("oldText")
            if old is None:  # a new file, or so the agent says
                return shared.write(path, new, cwd)
            if isinstance(old, str):
                return shared.reported_edit(path, old, new, cwd)
    raise UncertainError


def _agrees(call: AcpCall, diff: Any, edit: EditEffect, cwd: Path) -> bool:
    """Tell whether the input says nothing but what the diff says."""
    for key, value in call.input.items():
        if key in PATHS:
            same = isinstance(value, str) and shared.absolute(value, cwd) == edit.path
        elif key in OLD:
            same = (value or None) == (diff.get("oldText") or None)
        elif key in NEW:
            same = value == diff["newText"]
        else:
            same = key in _ONCE and value is False
        if not same:
            return False
    return True


def _command(call: AcpCall, cwd: Path) -> CommandEffect:
    """Return the command, where the agent says in which folder it runs.

    Where it does not, that is not known: some shells keep the folder of an earlier command.
    """
    rest = dict(call.input)
    command, folders = rest.pop("command", None), [rest.pop(key) for key in FOLDERS & rest.keys()]
    if call.kind != "execute" or not isinstance(command, str):
        raise UncertainError
    _check(all(key in _BESIDE and isinstance(rest[key], _BESIDE[key]) for key in rest))
    said = {"", _plain(command), call.name, call.kind, _plain(rest.get("description", ""))}
    _check(
        _plain(call.heading or call.title) in said
        and all(_plain(text) in said for text in _texts(call))
    )
    _check(len(folders) == 1 and isinstance(folders[0], str))
    folder = shared.absolute(folders[0], cwd)
    _check(all(shared.absolute(place, cwd) == folder for place in call.places))
    return CommandEffect(command=command, cwd=folder)


def _texts(call: AcpCall) -> Iterator[str]:
    """Yield the texts beside a command. Raises `UncertainError` if there is anything else."""
    for item in _items(call):
        match item:
            case {"type": "content", "content": {"type": "text", "text": str(text)}}:
                yield text
            case _:
                raise UncertainError


def _plain(text: str) -> str:
    return " ".join(text.split())


def _check(agrees: bool) -> None:  # noqa: FBT001 - it is what is checked
    if not agrees:
        raise UncertainError


def _all_of(call: AcpCall) -> dict[str, object]:
    facts = {
        "kind": call.kind,
        "title": call.heading or call.title,
        "input": call.input,
        "paths": list(call.places),
        "content": call.content,
    }
    return {name: value for name, value in facts.items() if value}

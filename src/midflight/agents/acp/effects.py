"""What a call of an ACP agent does, as far as the protocol itself says it.

The keys of ``rawInput`` are each agent's own and are interpreted by nobody. A ``diff`` in the
call's content is the protocol's: a path, the old text and the new one.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from midflight.agents.acp.content import AcpCall
from midflight.agents.shared import effects as shared
from midflight.effects import EditEffect, Effect, OtherEffect


def effects_of_call(call: AcpCall, cwd: Path) -> tuple[Effect, ...]:
    """Return an edit for each diff, if the call reports nothing else; else all that it reports."""
    items = call.content if isinstance(call.content, list) else []
    edits = [_edit(item, cwd) for item in items]
    if call.kind == "edit" and edits and all(edit is not None for edit in edits):
        return tuple(edit for edit in edits if edit is not None)
    facts = {
        "kind": call.kind,
        "title": call.title,
        "input": call.input,
        "paths": list(call.places),
        "content": items,
    }
    return (OtherEffect(input={name: value for name, value in facts.items() if value}),)


def _edit(item: object, cwd: Path) -> EditEffect | None:
    match item:
        case {"type": "diff", "path": str(path), "newText": str(new), **rest}:
            old = rest.get("oldText")
            if old is None or isinstance(old, str):
                with contextlib.suppress(shared.UncertainError):
                    if old is None:  # a new file, or so the agent says
                        return shared.write(path, new, cwd)
                    return shared.reported_edit(path, old, new, cwd)
    return None

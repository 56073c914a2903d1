"""Whether a driver knows which keys its agent's tools obey.

What a person is shown before they allow a call is made from these keys. A key that a new version of
the agent obeys, and the driver does not know, would be hidden from them if it were left unsaid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midflight.agents.shared.effects import Tool
from midflight.testing.conformance.rig import Rig, Stage
from midflight.testing.conformance.rows import RowSeen
from midflight.testing.model.script import ModelRequest, Text

ROW = "effects"
"""What `midflight doctor --probe` calls this check."""

ALWAYS = ("bash", "edit", "read", "write")
"""Tools that each agent offers at once, by their names in small letters."""

_TYPES: Mapping[str, type] = {"string": str, "number": float, "integer": int, "boolean": bool}


def differences(tools: Mapping[str, Tool], requests: Iterable[ModelRequest]) -> list[str]:
    """Compare a driver's table with the tools that its agent has offered to the model.

    Returns a line for each key, or type of a value, that only one of the two has. Of what is not
    offered without more (Claude Code's ``WebFetch``, where it may not reach the network) nothing
    is said, unless it is one of `ALWAYS`.
    """
    offered = next((request.schemas for request in requests if request.tools), {})
    schemas = {
        name: schema.get("properties", {}) for name, schema in offered.items() if name in tools
    }
    missing = tools.keys() - schemas.keys()
    found = [f"the agent has no tool {name}" for name in missing if name.lower() in ALWAYS]
    for name, keys in schemas.items():
        tool = tools[name]
        known = {*tool.keys, *tool.widening}
        found += [f"{name} obeys {key!r}, which is not known here" for key in keys.keys() - known]
        found += [f"{name} has no key {key!r} any more" for key in known - keys.keys()]
        found += [
            f"{name} takes {keys[key]['type']} for {key!r}, which is not known here"
            for key in tool.keys.keys() & keys.keys()
            if not _takes(tool.keys[key], keys[key])
        ]
    return sorted(found)


def _takes(types: type | tuple[type, ...], schema: Mapping[str, Any]) -> bool:
    """Tell whether values of a schema's type are known, where it has a plain one."""
    kind = _TYPES.get(str(schema.get("type")))
    return kind is None or kind in (types if isinstance(types, tuple) else (types,))


async def check_tool_keys(rig: Rig, folder: Path) -> RowSeen:
    """Start the agent, and raise AssertionError where its tools obey other keys than is known.

    ``folder`` must be an empty folder for this one use.
    """
    stage = Stage(rig, folder)
    async with stage.play([Text("done")]) as on:
        await on.ask()
        found = differences(rig.tools, on.requests)
    if found:
        raise AssertionError("; ".join(found))
    return RowSeen(rig.name, stage.version, ROW, "supported", "")

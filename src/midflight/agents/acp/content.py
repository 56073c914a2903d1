"""What stands in ACP's tool calls: names, kinds, inputs and outputs, in midflight's words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from midflight.agents.shared.content import OUTPUT_CHARS, put_out_since
from midflight.images import Image
from midflight.values import Kind

DIFF_LINES = 400
"""Longer texts are not compared: it takes time, and is of no use to a reader."""

Prompt = list[dict[str, str]]
"""The blocks of a message."""

KINDS: Mapping[str, Kind] = {
    "read": "read",
    "edit": "edit",
    "delete": "edit",
    "move": "edit",
    "execute": "execute",
    "search": "search",
    "fetch": "fetch",
}
"""ACP's kinds; ``think`` and ``switch_mode``, and those to come, are ``other``."""

TOOLS: Mapping[str, str] = {
    "bash": "execute",
    "edit": "edit",
    "multiedit": "edit",
    "notebookedit": "edit",
    "write": "edit",
    "read": "read",
    "glob": "search",
    "grep": "search",
    "websearch": "search",
    "webfetch": "fetch",
}
"""The kind of tool that each of Claude's names, in small letters, stands for."""

_CHANGING = ("edit", "delete", "move", "execute")
"""Kinds of calls that may change files."""

FOLDERS = frozenset(
    {"cwd", "workdir", "working_directory", "workingDirectory", "work_dir", "directory", "dir_path"}
)
"""Keys of inputs by which agents have a command run in a folder of its own."""

_IDENTIFIER = re.compile(r"[A-Za-z_][\w-]*")


_MENTION = re.compile(r"(?<!\S)@(?=\S)")
_COMMAND = ("/", "!", "#", "$")
"""How agents' own commands begin."""


def blocks(text: str, images: Sequence[Image]) -> Prompt:
    """Return a message as the agent is given it."""
    return [
        {"type": "text", "text": text},
        *({"type": "image", "mimeType": each.media_type, "data": each.base64} for each in images),
    ]


def as_text(text: str) -> str:
    """Return a message that no agent takes for a command, and in which none finds files to read.

    The protocol has no word for that; some agents look for both in whatever a prompt says.
    """
    escaped = _MENTION.sub(r"\\@", text)
    return f"The message:\n{escaped}" if escaped.lstrip().startswith(_COMMAND) else escaped


class AcpCall(msgspec.Struct):
    """A tool call as it is known so far.

    ``kind`` is ACP's own; ``heading`` is the whole title, and ``title`` the line of it that is
    shown beside the call. ``told`` is what it has put out so far, as was reported.
    ``shown``: `ToolStarted` was reported; ``asked``: the agent has asked for
    permission; ``denied``: the options refused it.
    """

    id: str
    name: str = ""
    kind: str = "other"
    title: str = ""
    heading: str = ""
    input: dict[str, Any] = {}
    places: tuple[str, ...] = ()
    parent: str | None = None
    content: object = None
    told: str = ""
    shown: bool = False
    asked: bool = False
    denied: bool = False

    def learn(self, fields: Mapping[str, Any]) -> None:
        """Take in the fields of an update; those that it leaves out stay.

        What is not of the protocol's form is kept too: it may be what the agent obeys.
        """
        self.kind = str(fields.get("kind") or self.kind)
        title = fields.get("title")
        if isinstance(title, str) and title:
            self.heading, self.title = title, " ".join(title.split())[:200]
        self.name = name_of(fields) or self.name
        if not self.name:
            self.name = _guess(self.title, self.kind)
        raw_input = fields.get("rawInput")
        if raw_input:
            self.input = raw_input if isinstance(raw_input, dict) else {"rawInput": raw_input}
        if places := fields.get("locations"):
            self.places = tuple(map(_place, places if isinstance(places, list) else [places]))
        self.parent = parent_of(fields) or self.parent
        if fields.get("content"):
            self.content = fields["content"]
        if self.kind not in _CHANGING and _shows_a_change(self.content):
            self.kind = "edit"  # whatever it calls itself


def _shows_a_change(content: object) -> bool:
    items = content if isinstance(content, list) else [content]
    return any(isinstance(item, dict) and item.get("type") == "diff" for item in items)


def _place(location: object) -> str:
    """Return the path of a location; one without is kept as it is, and agrees with nothing."""
    return str(location["path"] if isinstance(location, dict) and "path" in location else location)


def _guess(title: str, kind: str) -> str:
    """Return a tool's name: agents that have no field for it often begin with it as the title.

    A command of one word must not pass for a tool of that name.
    """
    word = title.casefold()
    if kind == "execute" or word in TOOLS:
        return title if TOOLS.get(word) == kind else kind
    return title if _IDENTIFIER.fullmatch(title) else kind


def kind_of(call: AcpCall) -> Kind:
    """Return midflight's word for a call's kind."""
    return KINDS.get(call.kind, "other")


def changed(call: AcpCall) -> list[str]:
    """Return the path of each file that the call says it changes. Raises `KeyError` for none."""
    items = call.content if isinstance(call.content, list) else [call.content]
    return [
        str(item["path"]) for item in items if isinstance(item, dict) and item.get("type") == "diff"
    ]


def _meta(fields: Mapping[str, Any], name: str) -> str:
    """Return a text from the agent's own fields, under whatever name it keeps them, or none."""
    meta = fields.get("_meta")
    if not isinstance(meta, dict):
        return ""
    for part in (meta, *meta.values()):
        if isinstance(part, dict) and isinstance(part.get(name), str):
            return str(part[name])
    return ""


def name_of(fields: Mapping[str, Any]) -> str:
    """Return the tool's own name, where the agent reports it; ACP has no field for it.

    Codex tells a tool of an MCP server in the input alone, and calls it a command.
    """
    match fields.get("rawInput"):
        case {"server": str(server), "tool": str(tool), "arguments": _, **rest} if not rest:
            return f"mcp__{server}__{tool}"
    return _meta(fields, "toolName")


def parent_of(fields: Mapping[str, Any]) -> str | None:
    """Return the call of the sub-agent that made this one, where the agent reports it."""
    return _meta(fields, "parentToolUseId") or None


def output_of(call: AcpCall, raw: object) -> str:
    """Return a tool's output as text, cut to `OUTPUT_CHARS`; ``raw`` is the agent's own form."""
    if isinstance(raw, dict):
        raw = next((raw[key] for key in ("output", "error") if isinstance(raw.get(key), str)), None)
    text = raw if isinstance(raw, str) else _content(call.content)
    return text[:OUTPUT_CHARS]


def progress_of(call: AcpCall) -> str:
    """Return what a call has put out since this was asked last."""
    now = _content(call.content)
    before, call.told = call.told, now
    return put_out_since(before, now)


def _content(content: object) -> str:
    items = content if isinstance(content, list) else []
    return "\n".join(filter(None, (_item(item) for item in items)))


def _item(item: object) -> str:
    match item:
        case {"type": "content", "content": {"type": "text", "text": str(text)}}:
            return text
        case {"type": "content", "content": {"type": str(kind)}}:
            return f"[{kind}]"
        case {"type": "diff", "path": path, "newText": str(new), **rest}:
            return _diff(str(path), str(rest.get("oldText") or ""), new)
        case {"type": "terminal"}:
            return ""  # of the agent's own, which cannot be read
        case {"type": str(kind)}:
            return f"[{kind}]"
    return ""


def _diff(path: str, old: str, new: str) -> str:
    before, after = old.splitlines(), new.splitlines()
    if len(before) + len(after) > DIFF_LINES:
        return f"{path}: {len(before)} lines became {len(after)}"
    return "\n".join(difflib.unified_diff(before, after, path, path, lineterm="", n=1))

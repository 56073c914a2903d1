"""What a folder's settings have an agent do, as `Consequence`s, for the tables of all agents."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

from midflight.trust.stake import Consequence

_REDIRECTS = re.compile(
    r"URL|HOST|ENDPOINT|PROXY|GATEWAY|TOKEN|KEY|SECRET|AUTH|CREDENTIAL|HEADER|CERT|_CA|TLS|SSL"
    r"|BEDROCK|VERTEX|FOUNDRY|MANTLE|AWS_|AZURE|GOOGLE|GCLOUD|CLOUD_ML|OTEL|TELEMETRY",
    re.IGNORECASE,
)
"""Names of environment variables that may decide where keys and the conversation go."""

_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMA = re.compile(rf"({_STRING})|,\s*([}}\]])", re.DOTALL)

_INLINE = re.compile(r"!`([^`]+)`|```!(.*?)```", re.DOTALL)
_FRONT = re.compile(r"\A\s*---\s*\n(.*?)(?:^---\s*$|\Z)", re.MULTILINE | re.DOTALL)
_KEY = re.compile(r"[\w-]+:(?:\s|$)")
_MORE = re.compile(r"[\s#-]|$")
"""What a line begins with that is no key of its own."""

_COMMAND = re.compile(r"^\s*-?\s*command:\s*(.+)$", re.MULTILINE)
_TOOLS = re.compile(
    r"^allowed[-_]tools:((?:[ \t].*)?(?:\n(?![\w-]+:(?:\s|$)).*)*)", re.MULTILINE | re.IGNORECASE
)
"""The field with what a text allows itself, up to the next key at the margin."""

_SINGLE, _DOUBLE = re.compile(r"'((?:[^']|'')*)'"), re.compile(r'"([^"\\]*)"')
_THEN_COMMENT = re.compile(rf"""((?:-\s+)?(?:{_SINGLE.pattern}|{_DOUBLE.pattern}))\s+#.*""")
_NOT_PLAIN = "&*!|>%@`{}[],?:#'\""
"""What begins something else in YAML than a text without quotes."""

_RULE = re.compile(r"[\w*-]+(?:\(.*\))?", re.DOTALL)


def json_object(body: bytes) -> dict[str, Any]:
    """Return a file of JSON as an object. Raises `ValueError` that says where it is wrong."""
    try:
        value = msgspec.json.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("it is not an object of JSON")  # noqa: TRY004 - the file is wrong
    return value


def jsonc_object(body: bytes) -> dict[str, Any]:
    """Return a file of JSON with comments and commas too many. Raises `ValueError`."""
    text = body.decode(errors="replace")
    plain = _COMMENT.sub(lambda found: found[0] if found[0][0] == '"' else " ", text)
    return json_object(_COMMA.sub(lambda found: found[1] or found[2], plain).encode())


def part(whole: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return an object in an object, or an empty one."""
    value = whole.get(name)
    return value if isinstance(value, dict) else {}


def shown(value: Any) -> str:
    """Return a value as a person reads it: text and commands as they are, all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return shlex.join(value)
    return msgspec.json.encode(value).decode()


def variables(env: Mapping[str, Any]) -> Iterator[Consequence]:
    """Yield what environment variables do."""
    for name, value in env.items():
        text = f"{name}={shown(value)}"
        if _REDIRECTS.search(name):
            yield Consequence("redirect", f"variable {text}")
        else:
            yield Consequence("run", f"every command gets {text}")


def mcp_servers(servers: Mapping[str, Any]) -> Iterator[Consequence]:
    """Yield what MCP servers run, or connect to."""
    for name, server in servers.items():
        if not isinstance(server, dict):
            continue
        command = server.get("command")
        args = server.get("args") or []
        words = [
            *(command if isinstance(command, list) else [command]),
            *(args if isinstance(args, list) else [args]),
        ]
        if command:
            yield Consequence("run", f"MCP server {name}: {shown([str(word) for word in words])}")
        if url := server.get("url") or server.get("httpUrl"):
            yield Consequence("run", f"MCP server {name}: connects to {shown(url)}")
        if helper := server.get("headersHelper"):
            yield Consequence("run", f"MCP server {name}: its headers come from {shown(helper)}")
        for header, value in part(server, "headers").items():
            yield Consequence("run", f"MCP server {name}: is sent {header}: {shown(value)}")
        for variable, value in {**part(server, "env"), **part(server, "environment")}.items():
            yield Consequence("run", f"MCP server {name}: gets {variable}={shown(value)}")


def commands_in(name: str, body: bytes) -> Iterator[Consequence]:
    """Yield what a text with a head (skill, command, agent) runs, or allows itself."""
    text = "\n".join(body.decode("utf-8-sig", errors="replace").splitlines())
    yield Consequence("use", name)
    front = _FRONT.match(text)
    head = front[1] if front else ""
    for found in _COMMAND.findall(head):
        yield Consequence("run", f"{name}: {found.strip()}")
    for inline, block in _INLINE.findall(text):
        yield Consequence("run", f"{name}: {(inline or block).strip()}")
    for tools in _TOOLS.findall(head):
        rules = _rules_in(tools)
        if rules is None:
            yield Consequence("allow", f"{name}: {tools.strip()}", ("*",))
        elif rules:
            yield Consequence("allow", f"{name}: {', '.join(rules)}", rules)
    hooks = re.search(r"^(hooks|mcpServers|mcp_servers):", head, re.MULTILINE)
    unread = _TOOLS.sub(lambda found: found[0] if _rules_in(found[1]) is None else "", head)
    if hooks or not _is_plain(unread):
        yield Consequence("run", f"{name}: {head.strip()}", ("*",))


def _rules_in(value: str) -> tuple[str, ...] | None:
    """Return the rules in a field: a text, or a list in brackets or with dashes.

    None for what is written in another way that YAML has: it may allow anything.
    """
    lines = [line for each in value.split("\n") if (line := _without_comment(each))]
    if all(line[0] == "-" for line in lines):
        items = [line[1:].strip() for line in lines if line[:2] in ("-", "- ")]
        known = len(items) == len(lines)
    elif lines[0][0] == "[" and lines[-1][-1] == "]":
        items, known = _split(" ".join(lines)[1:-1], ","), True
    else:
        items, known = [" ".join(lines)], True
    texts = [_unquoted(item) for item in items if item]
    if not known or None in texts:
        return None
    rules = [rule for text in texts for rule in _split(text or "", ", \t")]
    return tuple(rules) if all(map(_RULE.fullmatch, rules)) else None


def _without_comment(line: str) -> str:
    """Return a line without its comment. In one with quotes ``#`` stays, and makes it odd."""
    stripped = line.strip()
    if found := _THEN_COMMENT.fullmatch(stripped):
        return found[1]
    if "'" in stripped or '"' in stripped:
        return stripped
    return "" if stripped.startswith("#") else re.split(r"\s#", stripped)[0].strip()


def _unquoted(item: str) -> str | None:
    """Return what YAML makes of a text in quotes or without; None for what is not that plain."""
    if found := _SINGLE.fullmatch(item):
        return found[1].replace("''", "'")
    if found := _DOUBLE.fullmatch(item):
        return found[1]
    return None if item[0] in _NOT_PLAIN or ": " in item or " #" in item else item


def _split(text: str, at: str) -> list[str]:
    """Return the parts of a text between separators, outside of brackets and quotes at its edge."""
    parts, depth, quote = [""], 0, ""
    for char in text:
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"" and not parts[-1].strip():
            quote = char
        elif char in "()":
            depth += 1 if char == "(" else -1
        elif char in at and depth <= 0:
            parts.append("")
            continue
        parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def _is_plain(head: str) -> bool:
    """Tell whether all keys stand at the margin as they are: in quotes or braces none is found."""
    lines = head.strip("\n").split("\n") if head.strip() else []
    return all(
        _KEY.match(line) or (number and _MORE.match(line)) for number, line in enumerate(lines)
    )


def others(settings: Mapping[str, Any], known: Iterable[str]) -> Iterator[Consequence]:
    """Yield what else settings say: its names and values, so that nothing new stays hidden."""
    for name in settings.keys() - set(known):
        yield Consequence("use", f"{name}: {shown(settings[name])}")


def strings(value: Any) -> Iterator[str]:
    """Yield every text in plain data, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from strings(each)

"""What is kept of a session's options, and how they come back.

What may be a key is not stored, only its name: the values of environment variables, and of MCP
servers all but what is started. The host that resumes the session brings it again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec

from midflight._util.lines import MALFORMED
from midflight.errors import Conflict, StoreRefused
from midflight.options import OWN_SERVER, Options

_PROGRAM = ("on_request", "attended")
"""What belongs to the program that ran the session. One for workers has none: there it is kept
whether somebody attends."""

_NAMED = ("env", "headers")
_PLAIN = ("command", "type")

_WITHHELD = "withheld"
"""Where the names of a server's other settings stand, whose values are not stored."""


def stored(options: Options, label: str | None = None) -> dict[str, Any]:
    """Return the options as plain data, without what may be secret.

    ``label`` is that of the workers that may run the session, None: it is for this machine.
    """
    shown = {
        name: getattr(options, name)
        for name in Options.__struct_fields__
        if name not in (*_PROGRAM, "env", "mcp_servers")
    }
    plain: dict[str, Any] = msgspec.to_builtins(shown, enc_hook=str)
    servers = {name: _stored_server(server) for name, server in options.mcp_servers.items()}
    if label is not None and options.attended is not None:
        plain["attended"] = options.attended
    return plain | {"env": sorted(options.env), "mcp_servers": servers}


def _stored_server(server: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a server: a token may stand in ``args`` or ``url`` as well.

    midflight's own has none.
    """
    own = tuple(server.get("args") or ())[: len(OWN_SERVER)] == OWN_SERVER
    kept: dict[str, Any] = {}
    withheld = []
    for key, value in server.items():
        if key in _NAMED:
            kept[key] = sorted(value or ())
        elif not value or key in _PLAIN or isinstance(value, (bool, int, float)):
            kept[key] = value
        elif key == "args" and own:
            kept[key] = list(value)
        else:
            withheld.append(key)
    return kept | ({_WITHHELD: sorted(withheld)} if withheld else {})


def scrubbed(kept: str) -> str | None:
    """Return stored options without what an earlier midflight has kept too; None if that is none.

    What cannot be read is left as it is: its reader will say so.
    """
    try:
        options = msgspec.json.decode(kept, type=dict[str, Any])
        servers = {
            name: _scrubbed_server(server) for name, server in options["mcp_servers"].items()
        }
    except (msgspec.MsgspecError, AttributeError, KeyError, TypeError):
        return None
    if servers == options["mcp_servers"]:
        return None
    return msgspec.json.encode(options | {"mcp_servers": servers}).decode()


def _scrubbed_server(server: Mapping[str, Any]) -> dict[str, Any]:
    known = {key: value for key, value in server.items() if key != _WITHHELD}
    kept = _stored_server(known)
    withheld = sorted({*server.get(_WITHHELD, ()), *kept.get(_WITHHELD, ())})
    return kept | ({_WITHHELD: withheld} if withheld else {})


def restored(
    kept: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
    mcp_servers: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    build: Callable[..., Options] = Options.build,
    **changed: Any,
) -> tuple[Options, tuple[str, ...]]:
    """Return stored options with the values filled in, and the names of those still missing.

    ``env`` may hold more than is needed; ``mcp_servers`` replace those of the same name.
    ``changed`` are other options; ``build`` checks all. Raises `InvalidOption`, for example when a
    folder is gone, `Conflict` for what `check_known` refuses, and `StoreRefused` for what no
    midflight has stored.
    """
    check_known(kept)
    try:
        return _restored(kept, env or {}, mcp_servers or {}, build=build, **changed)
    except MALFORMED as error:
        raise StoreRefused("what the session was begun with cannot be read") from error


def check_known(kept: Mapping[str, Any]) -> None:
    """Raise `Conflict` for options that are not known here: a newer midflight has stored them."""
    unknown = [str(name) for name in kept if name not in Options.__struct_fields__]
    if unknown:
        raise Conflict(
            f"a newer midflight has begun it, with what is not known here: {', '.join(unknown)}",
            "upgrade midflight here: pip install -U midflight",
        )


def _restored(
    kept: Mapping[str, Any],
    env: Mapping[str, str],
    replaced: Mapping[str, Mapping[str, Any]],
    *,
    build: Callable[..., Options],
    **changed: Any,
) -> tuple[Options, tuple[str, ...]]:
    servers: dict[str, dict[str, Any]] = {}
    for name, server in kept["mcp_servers"].items():
        if name in replaced:
            servers[name] = dict(replaced[name])
            continue
        servers[name] = dict(server)
        for key in servers[name].pop(_WITHHELD, ()):
            servers[name] |= {"url": ""} if key == "url" else {}
        for key in _NAMED:
            names = server.get(key, ())
            if names:
                servers[name][key] = {one: env[one] for one in names if one in env}
            elif key in server:
                servers[name][key] = {}
    values = {name: env[name] for name in kept["env"] if name in env}
    built = build(**{**kept, "env": values, "mcp_servers": servers, **changed})
    return built, missing(kept, env, replaced)


def missing(
    kept: Mapping[str, Any], variables: Collection[str], servers: Collection[str]
) -> tuple[str, ...]:
    """Return the names of what stored options need beside these variables and MCP servers.

    Of such as cannot be read nobody knows: who would restore them is told.
    """
    try:
        return tuple(_missing(kept, variables, servers))
    except MALFORMED:
        return ()


def _missing(
    kept: Mapping[str, Any], variables: Collection[str], servers: Collection[str]
) -> list[str]:
    names: list[str] = []
    for name, server in kept["mcp_servers"].items():
        if name not in servers:
            names += [f"{name}.{key}" for key in server.get(_WITHHELD, ())]
            for key in _NAMED:
                wanted = server.get(key, ())
                names += [f"{name}.{key}.{one}" for one in wanted if one not in variables]
    return [*names, *(name for name in kept["env"] if name not in variables)]


def needs(kept: Mapping[str, Any]) -> str | None:
    """Return as JSON what of stored options tells `missing`; None where they need nothing."""
    if not missing(kept, (), ()):
        return None
    return msgspec.json.encode({name: kept[name] for name in ("env", "mcp_servers")}).decode()

"""What is kept of a session's options, and how they come back.

The values of environment variables and of headers may be keys. They are not stored, only their
names; the host that resumes the session brings them again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from midflight.options import Options

_PROGRAM = ("on_request", "attended")
"""What belongs to the program that ran the session."""

_SECRET = ("env", "headers")


def stored(options: Options) -> dict[str, Any]:
    """Return the options as plain data, without what may be secret."""
    shown = {
        name: getattr(options, name)
        for name in Options.__struct_fields__
        if name not in (*_PROGRAM, "env", "mcp_servers")
    }
    plain: dict[str, Any] = msgspec.to_builtins(shown, enc_hook=str)
    servers = {
        name: {key: sorted(value) if key in _SECRET else value for key, value in server.items()}
        for name, server in options.mcp_servers.items()
    }
    return plain | {"env": sorted(options.env), "mcp_servers": servers}


def restored(
    kept: Mapping[str, Any],
    env: Mapping[str, str] | None = None,
    mcp_servers: Mapping[str, Mapping[str, Any]] | None = None,
    **changed: Any,
) -> tuple[Options, tuple[str, ...]]:
    """Return stored options with the values filled in, and the names of those still missing.

    ``env`` may hold more than is needed; ``mcp_servers`` replace those of the same name.
    ``changed`` are other options. Raises `InvalidOption`, for example when a folder is gone.
    """
    missing: list[str] = []
    env, replaced = env or {}, mcp_servers or {}
    servers: dict[str, dict[str, Any]] = {}
    for name, server in kept["mcp_servers"].items():
        if name in replaced:
            servers[name] = dict(replaced[name])
            continue
        servers[name] = dict(server)
        for key in _SECRET:
            names = server.get(key, ())
            if names:
                servers[name][key] = {one: env[one] for one in names if one in env}
                missing += [f"{name}.{key}.{one}" for one in names if one not in env]
    missing += [name for name in kept["env"] if name not in env]
    values = {name: env[name] for name in kept["env"] if name in env}
    built = Options.build(**{**kept, "env": values, "mcp_servers": servers, **changed})
    return built, tuple(missing)

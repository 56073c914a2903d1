"""What a session is begun with over HTTP, as a type: the options, and what only HTTP has."""

from __future__ import annotations

import typing
from collections.abc import Collection
from typing import Any

import msgspec

from midflight.images import Image
from midflight.options import Options, SessionOptions

__all__ = ["NewSession", "option_fields"]


def option_fields(names: Collection[str]) -> list[Any]:
    """Return some of the options as fields of a type for the body of a request."""
    hints = typing.get_type_hints(Options, include_extras=True)
    given = typing.get_type_hints(SessionOptions)
    fields: list[Any] = []
    for field in msgspec.structs.fields(Options):
        if field.name in names:
            nothing = type(None) in typing.get_args(given[field.name])  # stands for the default
            kind = hints[field.name] | None if nothing else hints[field.name]
            made, default = field.default_factory, field.default
            default = default if made is msgspec.NODEFAULT else msgspec.field(default_factory=made)
            fields.append((field.name, kind, default))
    return fields


def _new_session() -> type[msgspec.Struct]:
    """Return the type of a session that is wanted: the options, and what belongs to HTTP alone."""
    fields: list[Any] = [("cwd", str), ("task", str | None, None), ("id", str | None, None)]
    fields += option_fields({*Options.__struct_fields__} - {"cwd", "on_request"})
    fields += [("images", tuple[Image, ...], ()), ("parent", str, ""), ("worktree", bool, False)]
    fields += [("on", str | None, None)]
    return msgspec.defstruct(
        "NewSession",
        fields,
        kw_only=True,
        forbid_unknown_fields=True,
        namespace={"__doc__": "A session to be begun: its task, where it works, and its options."},
    )


NewSession = _new_session()

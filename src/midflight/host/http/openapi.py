"""The routes as an OpenAPI document, made from the types that they take and answer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from midflight.host.http.operations import ApiRoute, Operation
from midflight.host.http.problems import PROBLEM

_REF = "#/components/schemas/{name}"
_SUCCESS = {200: "done", 201: "begun", 202: "accepted"}
_PARAMETERS = {
    "session": ("a session: its id, its name, or how one of them begins", "fix-the-tests"),
    "request": ("the `request` of what a session asks", "r1"),
    "device": ("a device: its id or its name", "phone"),
    "schedule": ("a schedule: its id, its name, or how that begins", "morning"),
}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error: what has happened, and what can be done. ``code`` is stable, for programs."""

    status: int
    code: str
    message: str
    hint: str


def document(routes: Iterable[ApiRoute]) -> dict[str, Any]:
    """Return the document of some routes."""
    routes = list(routes)
    types = [Problem, *(kind for each in routes for kind in _types(each.operation))]
    kinds = list({repr(kind): kind for kind in types}.values())
    schemas, components = msgspec.json.schema_components(
        kinds, ref_template=_REF, schema_hook=_of_other_types
    )
    by_type = {repr(kind): schema for kind, schema in zip(kinds, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "midflight",
            "version": version("midflight"),
            "description": "Dispatch coding agents, watch them work, and change their course.",
        },
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _types(operation: Operation) -> list[Any]:
    return [*operation.answers.values(), *([operation.body] if operation.body else [])]


def _of_other_types(kind: type) -> dict[str, Any]:
    if kind is Path:
        return {"type": "string"}
    raise NotImplementedError(kind)


def _operation(route: ApiRoute, schemas: dict[str, Any]) -> dict[str, Any]:
    about = route.operation
    name = re.sub(r"\W+", "_", f"{route.method.lower()}{route.path}").strip("_")
    told: dict[str, Any] = {"operationId": name, "summary": about.summary, "responses": {}}
    told["parameters"] = [
        *(_path_parameter(each) for each in re.findall(r"{(\w+)}", route.path)),
        *(
            {"name": name, "in": "query", "description": each.means, "schema": each.schema}
            | ({} if each.example is None else {"example": each.example})
            for name, each in about.query.items()
        ),
    ]
    if about.body is not None:
        content = {"schema": schemas[repr(about.body)]}
        content |= {} if about.example is None else {"example": about.example}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    for status, kind in about.answers.items():
        content = {"application/json": {"schema": schemas[repr(kind)]}}
        if about.streams:
            content["text/event-stream"] = {"schema": {"type": "string"}}
        told["responses"][str(status)] = {"description": _SUCCESS[status], "content": content}
    problem = {"content": {PROBLEM: {"schema": schemas[repr(Problem)]}}}
    told["responses"]["default"] = {"description": "an error", **problem}
    if about.open:
        told["security"] = []
    else:
        told["responses"]["401"] = {"description": "the token is missing or wrong", **problem}
    return told


def _path_parameter(name: str) -> dict[str, Any]:
    means, example = _PARAMETERS[name]
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": means,
        "schema": {"type": "string", "minLength": 1},
        "example": example,
    }

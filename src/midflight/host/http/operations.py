"""A route with what there is to say about it: what it takes, what it answers, and an example."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.routing import Route


class Query(NamedTuple):
    """A parameter of the query: its JSON schema, what it means, and an example."""

    schema: dict[str, Any]
    means: str
    example: Any = None


class Operation(NamedTuple):
    """What one method of a path does.

    ``body`` is the type of what it takes, ``answers`` those of what it answers by their status, and
    ``example`` a body. ``streams`` says that it can answer with events as they happen. It is
    ``open`` where no token is needed.
    """

    summary: str
    answers: dict[int, Any]
    query: dict[str, Query] = {}  # noqa: RUF012 - nobody changes it
    body: Any = None
    example: Any = None
    streams: bool = False
    open: bool = False


class ApiRoute(Route):
    """A route for one method, and what there is to say about it."""

    def __init__(self, path: str, endpoint: Any, operation: Operation, method: str = "GET") -> None:
        """A HEAD would run the handler, and for a stream for ever: it is no method of the route."""
        super().__init__(path, endpoint, methods=[method])
        self.methods = {method}
        self.method = method
        self.operation = operation

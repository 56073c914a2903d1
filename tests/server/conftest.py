"""The fixtures of hosts, and a server of this process that serves their sessions over TCP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.host.conftest import (
    attach,
    begin,
    client,
    fake_model,
    host,
    open_host,
    patient,
    state,
)
from tests.support.raw_http import call, dial

from midflight.host import Host
from midflight.server.server import ServeOptions, Serving, serving
from midflight.testing import FakeModel, Text
from midflight.testing.fake import agent

__all__ = [
    "attach",
    "begin",
    "client",
    "fake_model",
    "host",
    "open_host",
    "patient",
    "server",
    "state",
]

TOKEN = "a-token-for-tests-only"


class Server:
    """A server that runs, spoken to as any program would."""

    def __init__(self, serving: Serving) -> None:
        self.routes = serving.routes
        self.url = serving.urls[0]
        self.address = self.url.partition("://")[2]
        self.key = {"authorization": f"Bearer {TOKEN}"}

    async def call(
        self, target: str, method: str = "GET", body: object = None, **headers: str | Sequence[str]
    ) -> tuple[int, Any]:
        """Send a request with the token, unless ``authorization`` says otherwise."""
        return await call(self.address, target, method, body, **{**self.key, **headers})

    @property
    def connections(self) -> int:
        """How many connections are open at this end."""
        port = int(self.address.rpartition(":")[2])
        open_ = [each.laddr for each in psutil.Process().net_connections("tcp") if each.raddr]
        return len([each for each in open_ if each and each.port == port])

    def dial(self, target: str, **headers: str) -> Any:
        """Open a stream, with the token; see `Raw`."""
        asked = {"accept": "text/event-stream", **self.key, **headers}
        return dial(self.address, target, **asked)


@pytest.fixture
async def server(
    host: Host,
    state: Path,
) -> AsyncIterator[Server]:
    """Serve the sessions of the host, and of others."""
    options = ServeOptions(host="127.0.0.1", port=0, where=state)
    async with serving(options, {"MIDFLIGHT_TOKEN": TOKEN}) as running:
        yield Server(running)


@pytest.fixture
async def model(
    fake_model: Callable[..., Awaitable[FakeModel]], monkeypatch: pytest.MonkeyPatch
) -> FakeModel:
    """Return the model of agents whose options name none: a schedule has no variables."""
    model = await fake_model(lambda _: Text("done"))
    monkeypatch.setitem(agent._models, "", model)  # noqa: SLF001 - no option can name one
    return model

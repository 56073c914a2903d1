"""The model behind `FakeAgent`: plays the same scripts as `ScriptedModel`, without a server."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Self

from midflight.testing.model.script import (
    Drop,
    HttpError,
    Malformed,
    Mark,
    ModelRequest,
    Part,
    Script,
    Silence,
    StreamError,
    Text,
    Wait,
    Words,
)
from midflight.testing.model.server import ScriptedModel
from midflight.testing.model.wire import words_of

if TYPE_CHECKING:
    from midflight.testing.fake.agent import FakeAgent

__all__ = ["FakeModel", "ModelError"]

_models: dict[str, FakeModel] = {}
_numbers = itertools.count(1)


class ModelError(Exception):
    """The model did not answer; ``status`` is None when the connection was dropped."""

    def __init__(
        self,
        status: int | None,
        message: str,
        retry_after_s: float = 0.0,
        resets_at: float | None = None,
    ) -> None:
        """Keep what decides whether and when the agent tries again.

        ``resets_at`` is when the account's usage limit is lifted, if that is what the error says.
        """
        super().__init__(f"API Error: {status or ''} {message}".replace("  ", " "))
        self.status = status
        self.retry_after_s = retry_after_s
        self.resets_at = resets_at


class FakeModel(ScriptedModel):
    """A scripted model that a `FakeAgent` of the same process asks, used like its parent.

    ``async with FakeModel([...]) as model``, then ``agent="fake"`` and ``env=model.env(home)``.
    ``conversations`` holds what agents said, by their own session id, and is what ``resume``
    goes on with; ``agents`` are those that have been started, so that a test can have one `die`.
    """

    def __init__(self, script: Script, *, timeout_s: float = 30.0) -> None:
        """Check the script. ``timeout_s`` bounds every wait, in the script and in the test."""
        super().__init__(script, timeout_s=timeout_s)
        self._url = f"fake://{next(_numbers)}"
        self.conversations: dict[str, list[dict[str, Any]]] = {}
        self.agents: list[FakeAgent] = []

    @property
    def url(self) -> str:
        """The name under which agents find this model."""
        return self._url

    @classmethod
    def at(cls, url: str | None) -> FakeModel | None:
        """Return the model of this name, while its block lasts."""
        return _models.get(url or "")

    async def __aenter__(self) -> Self:
        """Let agents find this model."""
        _models[self._url] = self
        return self

    async def _close(self) -> None:
        _models.pop(self._url, None)

    async def answer(self, request: ModelRequest) -> AsyncIterator[Part]:
        """Yield what the next step says, word by word. Raises `ModelError`."""
        for part in self._parts_for(request):
            match part:
                case HttpError():
                    retry_after_s = float(part.headers.get("retry-after", 0))
                    resets_at = part.headers.get("anthropic-ratelimit-unified-reset")
                    limit = None if resets_at is None else float(resets_at)
                    raise ModelError(part.status, part.message, retry_after_s, limit)
                case Drop() | Malformed():
                    raise ModelError(None, "the connection was dropped")
                case StreamError():
                    return
                case Silence():
                    await asyncio.get_running_loop().create_future()
                case Mark(name):
                    self._signals.reached[name].set()
                case Wait(name):
                    self._signals.reached[name].set()
                    await self._hold(name)
                case Words(pace_s=pace_s):
                    for word in words_of(part):
                        await asyncio.sleep(pace_s)
                        yield Text(word)
                case _:
                    yield part

    async def _hold(self, name: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._signals.given[name].wait()
        except TimeoutError as error:
            problem = f"signal {name!r} was not given within {self._timeout_s:g} s"
            self._problems.append(problem)
            raise ModelError(None, problem) from error

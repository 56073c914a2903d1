"""What a request would do is looked at again when it is answered: the files may have changed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import msgspec

from midflight import commands as c
from midflight import events as e
from midflight.effects import Effect
from midflight.errors import Conflict
from midflight.rules.session import SessionRules
from midflight.session.agent_runner import AgentRunner

KEPT_EDITS = 20
"""Of how many edited inputs it is known what they were told to do; each device may look at one."""


class SecondLook:
    """Knows what was told of requests, and asks those anew that would do something else now."""

    def __init__(
        self, rules: SessionRules, runner: AgentRunner, renewed: Callable[[], Awaitable[None]]
    ) -> None:
        """``renewed`` is awaited when requests have been asked anew."""
        self._rules = rules
        self._runner = runner
        self._renewed = renewed
        self._told: deque[tuple[str, dict[str, Any], tuple[Effect, ...]]] = deque(maxlen=KEPT_EDITS)

    async def check(self, answer: c.Answer) -> None:
        """Look again what would be allowed: a file or a link may have changed since it was shown.

        An answer that is remembered may allow any pending request, so all are looked at. Those
        whose effects have changed are asked anew; raises `Conflict` if the answered one is.
        """
        if answer.input is not None:  # the user says what is to happen
            await self._check_told(answer.request, answer.input)
            return
        pending = self._rules.state.requests.pending
        renewed = await self.renew(pending if answer.remember else [answer.request])
        if answer.request in renewed:
            raise Conflict(
                "what this would do has changed since it was asked",
                f"it is asked anew as {renewed[answer.request]}",
            )

    async def told(self, request: str, input: dict[str, Any]) -> tuple[Effect, ...]:
        """Return what the call of a permission would do with another input; see `Session`."""
        effects = await self._effects_with(request, input)
        self._told.append((request, input, effects))
        return effects

    async def _effects_with(self, request: str, input: dict[str, Any]) -> tuple[Effect, ...]:
        asked = self._rules.editable(request)
        return await self._runner.effects_of(msgspec.structs.replace(asked, input=input))

    async def _check_told(self, request: str, input: dict[str, Any]) -> None:
        """Look again what another input would do, where it was told. Raises `Conflict`."""
        told = [effects for *which, effects in self._told if which == [request, input]]
        if not told or request not in self._rules.state.requests.pending:
            return
        if await self._effects_with(request, input) != told[-1]:
            raise Conflict(
                "what this input would do has changed since it was looked at", "look at it again"
            )

    async def renew(self, requests: Iterable[str]) -> dict[str, str]:
        """Ask those permissions anew whose effects have changed; return their new ids."""
        wanted = list(requests)
        renewed = {request: new for request in wanted if (new := await self._anew(request))}
        if renewed:
            await self._renewed()
        return renewed

    async def _anew(self, request: str) -> str:
        """Ask a permission anew if its effects have changed; return the new request's id."""
        pending = self._rules.state.requests.pending.get(request)
        if not isinstance(pending, e.PermissionRequested):
            return ""
        fresh = await self._runner.with_effects(pending)
        if fresh.effects == pending.effects or request not in self._rules.state.requests.pending:
            return ""
        return self._rules.renew(request, fresh, asyncio.get_running_loop().time())

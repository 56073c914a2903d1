"""Requests that the program itself answers, through `Options.on_request`."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable

import msgspec

from midflight.commands import Answer
from midflight.errors import AlreadyAnswered, InvalidInput, MidflightError
from midflight.events import Request
from midflight.options import RequestHandler
from midflight.session.verbs import Verbs

__all__ = ["RequestHandlerRunner"]


class RequestHandlerRunner:
    """Calls the program's handler for each request, in a task of its own."""

    def __init__(
        self, session: Verbs, handler: RequestHandler | None, waits: Callable[[str], bool]
    ) -> None:
        """Without a handler nothing is called; ``waits`` tells whether a request still does."""
        self._session = session
        self._handler = handler
        self._waits = waits
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, request: Request) -> None:
        """Put a request to the handler, and its answer to the session."""
        if self._handler is not None:
            task = asyncio.get_running_loop().create_task(self._handle(self._handler, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, handler: RequestHandler, request: Request) -> None:
        """Whatever goes wrong in the program's code must not hang the agent."""
        if not self._waits(request.request):
            return  # a policy was faster than this task
        try:
            answer = await _asked(handler, request)
            if answer is not None:
                answer = msgspec.structs.replace(answer, request=request.request)
                await self._session.command(answer)
        except AlreadyAnswered:
            return  # somebody was faster, or the turn has ended
        except Exception as error:  # noqa: BLE001 - any error of the user's own code
            told = error if isinstance(error, MidflightError) else type(error).__name__
            text = f"on_request failed: {told}"
            self._session.notice("error", f"{text}, so the request was denied")
            denial = Answer(request=request.request, decision="deny", reason=text)
            await self._session.submit(denial)

    def close(self) -> None:
        """Stop waiting for handlers."""
        for task in self._tasks:
            task.cancel()


async def _asked(handler: RequestHandler, request: Request) -> Answer | None:
    answer = handler(request)
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is not None and not isinstance(answer, Answer):
        raise InvalidInput(f"expected an Answer or None, got {type(answer).__name__}")
    return answer

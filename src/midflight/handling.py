"""Requests that the program itself answers, through `Options.on_request`."""

from __future__ import annotations

import asyncio

import msgspec

from midflight.commands import Answer
from midflight.errors import AlreadyAnswered
from midflight.options import RequestHandler
from midflight.requests import Request
from midflight.verbs import Verbs

__all__ = ["Handling"]


class Handling:
    """Calls the program's handler for each request, in a task of its own."""

    def __init__(self, session: Verbs, handler: RequestHandler | None) -> None:
        """Without a handler nothing is called."""
        self._session = session
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()

    def call(self, request: Request) -> None:
        """Put a request to the handler, and its answer to the session."""
        if self._handler is not None:
            task = asyncio.get_running_loop().create_task(self._handle(self._handler, request))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _handle(self, handler: RequestHandler, request: Request) -> None:
        """Whatever goes wrong in the program's code must not hang the agent."""
        try:
            answer = handler(request)
            if answer is not None and not isinstance(answer, Answer):
                answer = await answer
            if answer is not None:
                answer = msgspec.structs.replace(answer, request=request.request)
                await self._session.command(answer)
        except AlreadyAnswered:
            return  # somebody was faster, or the turn has ended
        except Exception as error:  # noqa: BLE001 - any error of the user's own code
            text = f"on_request raised {type(error).__name__}"
            self._session.notice("error", f"{text}, so the request was denied")
            denial = Answer(request=request.request, decision="deny", reason=text)
            await self._session.submit(denial)

    def close(self) -> None:
        """Stop waiting for handlers."""
        for task in self._tasks:
            task.cancel()

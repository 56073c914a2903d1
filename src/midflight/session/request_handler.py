"""Requests that the user's program answers, through `Options.on_request`."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import msgspec

from midflight._util.aio import TaskSet
from midflight.commands import Answer
from midflight.errors import AlreadyAnswered, InvalidInput, MidflightError
from midflight.events import Request
from midflight.options import RequestHandler
from midflight.session.base import BaseSession


class RequestHandlerRunner:
    """Calls the program's handler for each request, each call in a task of its own."""

    def __init__(
        self,
        session: BaseSession,
        handler: RequestHandler | None,
        is_pending: Callable[[str], bool],
    ) -> None:
        """``is_pending`` tells of a request's id whether it is pending; ``handler`` may be None."""
        self._session = session
        self._handler = handler
        self._is_pending = is_pending
        self._tasks = TaskSet()

    def call(self, request: Request) -> None:
        """Call the handler with a request, and give its answer to the session."""
        if self._handler is not None:
            self._tasks.start(self._handle(self._handler, request))

    async def _handle(self, handler: RequestHandler, request: Request) -> None:
        """Deny the request if the handler fails: the agent must not wait for ever."""
        if not self._is_pending(request.request):
            return  # a policy was faster than this task
        try:
            answer = await _answer(handler, request)
            if answer is not None:
                answer = msgspec.structs.replace(answer, request=request.request)
                await self._session.command(answer)
        except AlreadyAnswered:
            return  # another answer was faster, or the turn has ended
        except Exception as error:  # noqa: BLE001 - any error of the user's own code
            detail = error if isinstance(error, MidflightError) else type(error).__name__
            text = f"on_request failed: {detail}"
            self._session.notice("error", f"{text}, so the request was denied")
            denial = Answer(request=request.request, decision="deny", reason=text)
            await self._session.submit(denial)

    def close(self) -> None:
        """Cancel the handlers that run."""
        self._tasks.cancel()


async def _answer(handler: RequestHandler, request: Request) -> Answer | None:
    answer = handler(request)
    if inspect.isawaitable(answer):
        answer = await answer
    if answer is not None and not isinstance(answer, Answer):
        raise InvalidInput(f"expected an Answer or None, got {type(answer).__name__}")
    return answer

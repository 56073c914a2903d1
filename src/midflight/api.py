"""How a session is opened: `dispatch`, `open` and `run`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Unpack

from midflight.commands import check_text
from midflight.errors import InvalidOption
from midflight.events import Event, TurnEnded
from midflight.options import Options, SessionOptions, documented
from midflight.session import Session
from midflight.session.image_files import ImageSource, read_images
from midflight.state.session import USAGE_LIMIT
from midflight.values import Result

__all__ = ["dispatch", "open", "run"]


@documented
def dispatch(
    task: str, *, images: Iterable[ImageSource] = (), **options: Unpack[SessionOptions]
) -> Session:
    """Return a session whose first message is the task, with ``images`` as `Session.send` has them.

    Use it as ``async with midflight.dispatch(task) as session``: entering the block starts the
    agent. Raises `InvalidOption` or `InvalidInput` at once; entering may raise `AgentUnavailable`,
    `AgentFailed` or `UnsupportedOption`. The options:
    """
    return Session(Options.build(**options), check_text(task), images=read_images(images))


@documented
def open(**options: Unpack[SessionOptions]) -> Session:  # noqa: A001 - midflight.open is its name
    """Return a session without a first message; otherwise like `dispatch`.

    The options:
    """
    return Session(Options.build(**options))


@documented
def run(
    task: str,
    *,
    on_event: Callable[[Event], object] | None = None,
    images: Iterable[ImageSource] = (),
    **options: Unpack[SessionOptions],
) -> Result:
    """Dispatch a task, wait until the session is quiet, and return the result of the task.

    The blocking form, for scripts; ``on_event`` gets every event as it happens. If the turn ended
    at the account's usage limit and the session waited for the reset, this is the result of the
    last turn.

    Raises what `dispatch` and entering its block raise, and `InvalidOption` inside an event loop.
    A task that fails is a `Result` with the status ``failed``, not an exception. The options:
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(_run(task, on_event, images, options))
    raise InvalidOption("run", "an event loop is running here", "use: async with dispatch(…)")


async def _run(
    task: str,
    on_event: Callable[[Event], object] | None,
    images: Iterable[ImageSource],
    options: SessionOptions,
) -> Result:
    options.setdefault("attended", None if on_event or options.get("on_request") else False)
    session = dispatch(task, images=images, **options)
    ended: Result | None = None
    async with session:
        async for event in session.stream():
            if isinstance(event, TurnEnded):
                ended = event.result
            if on_event is not None:
                on_event(event)
        if session.first is None:  # the message is sent on entering the block
            raise AssertionError
        result = await session.first.result()
        return ended if ended and result.reason == USAGE_LIMIT else result

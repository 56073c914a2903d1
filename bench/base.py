"""What a side of a comparison is, and what a probe measures: how much, and what comes out."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol, Self

OnText = Callable[[str], None]

Samples = dict[str, list[float]]
"""Figure → samples, in seconds or bytes."""


class Size(NamedTuple):
    """How much is done in a round: repetitions, deltas, sessions.

    ``live`` is high because a server takes 10 ms or 50, as it happens: few would show the luck.
    ``edits`` are those of one turn.

    ``warm_up`` is unset for a try, whose figures mean nothing: sessions that only warm a process
    up are left out then, and so is the wait until it has settled.

    Of many machines: sessions that wait, and files in a repository.

    Of the server and the page: readers of one session, and the deltas of an hour.

    Of the journal and hosts: events written, by how many at once, and read by another process;
    sessions in lists, their turns, the turns of the long one; seconds of doing nothing, and
    sessions at rest in such a host.
    """

    warm_up: bool
    starts: int
    warm: int
    live: int
    cpu: int
    delay: int
    memory: int
    sessions: int
    servers: int
    edits: int
    writes: int
    writers: int
    drips: int
    listed: int
    turns: int
    long: int
    idle: float
    rest: int
    readers: int
    lapse: int
    waiting: int
    files: int


class Side(Protocol):
    """One live conversation, an async context manager that says its first words on entering."""

    ended: float

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *error: object) -> None: ...

    async def say(self, text: str) -> None: ...

    async def listen(self, on_text: OnText) -> None:
        """Pass on the text of one turn; ``ended`` is then when its end was seen."""
        ...

    async def interrupt(self) -> None: ...


MakeSide = Callable[[str], Side]
"""Takes the first words."""


class First:
    """Notes when the first text comes."""

    def __init__(self) -> None:
        self.began = time.perf_counter()
        self.took = 0.0

    def __call__(self, text: str) -> None:
        if not self.took:
            self.took = time.perf_counter() - self.began


async def followed_up(talk: Side) -> float:
    """Say one thing more, and return how long the first text took."""
    first = First()
    await talk.say("pong")
    await talk.listen(first)
    return first.took

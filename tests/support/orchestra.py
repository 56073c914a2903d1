"""An orchestrator, its crew, and what has been said to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from midflight import events as e
from midflight.host import Host
from midflight.options import Options
from midflight.orchestrate.child import Child
from midflight.orchestrate.children import Children
from midflight.session.session import Session
from midflight.testing import FakeModel


class Stage:
    def __init__(self, model: FakeModel, host: Host, boss: Session, crew: Children) -> None:
        self.model = model
        self.host = host
        self.boss = boss
        self.crew = crew
        self.heard = asyncio.Event()
        crew.followers.append(lambda _child, _event: self.heard.set())

    async def dispatch(self, name: str, parent: str | None = None, **options: Any) -> Session:
        """Begin a child as the tool does: the orchestrator is its parent."""
        given = Options.build(
            agent="fake",
            cwd=self.boss.options.cwd,
            name=name,
            env=self.boss.options.env,
            **options,
        )
        return await self.host.begin(name, given, parent=parent or self.boss.id)

    def child(self, name: str) -> Child:
        (found,) = [child for child in self.crew.children if child.name == name]
        return found

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something is true that events of the children lead to."""
        async with asyncio.timeout(20):
            while not true():
                self.heard.clear()
                await self.heard.wait()

    async def news(self, number: int) -> list[str]:
        """Return the lines of the orchestrator's news of this number, once it has been sent."""
        found = 0
        async with asyncio.timeout(20):
            async for event in self.boss.events():
                if isinstance(event, e.MessageAccepted) and event.text.startswith("[midflight]"):
                    found += 1
                    if found == number:
                        return event.text.splitlines()[1:]
        raise AssertionError

    @property
    def told(self) -> list[str]:
        """All the news so far, as read from the model's requests."""
        texts = [request.last_user_text for request in self.model.requests]
        return [text for text in texts if text.startswith("[midflight]")]

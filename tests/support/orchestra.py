"""An orchestrator, its children, and the updates that it got."""

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


class Orchestra:
    def __init__(self, model: FakeModel, host: Host, boss: Session, children: Children) -> None:
        self.model = model
        self.host = host
        self.boss = boss
        self.children = children
        self._changed = asyncio.Event()
        children.followers.append(lambda _child, _event: self._changed.set())

    async def dispatch(self, name: str, parent: str | None = None, **options: Any) -> Session:
        """Begin a child as the tool does: the orchestrator is its parent."""
        settings = Options.build(
            agent="fake",
            cwd=self.boss.options.cwd,
            name=name,
            env=self.boss.options.env,
            **options,
        )
        return await self.host.begin(name, settings, parent=parent or self.boss.id)

    def child(self, name: str) -> Child:
        (child,) = [child for child in self.children.children if child.name == name]
        return child

    async def until(self, true: Callable[[], Any]) -> None:
        """Wait until something is true that events of the children lead to."""
        async with asyncio.timeout(60):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def update(self, number: int) -> list[str]:
        """Return the lines of the orchestrator's update of this number, once it has been sent."""
        count = 0
        async with asyncio.timeout(60):
            async for event in self.boss.events():
                if isinstance(event, e.MessageAccepted) and event.text.startswith("[midflight]"):
                    count += 1
                    if count == number:
                        return event.text.splitlines()[1:]
        raise AssertionError

    @property
    def updates(self) -> list[str]:
        """All updates so far, as the model was asked them."""
        texts = [request.last_user_text for request in self.model.requests]
        return [text for text in texts if text.startswith("[midflight]")]

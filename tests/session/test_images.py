"""Images with a message: the model gets them, events tell what they are, and they are not kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.support.events import of, read

import midflight
from midflight import commands as c
from midflight import events as e
from midflight.images import Image, ImageInfo
from midflight.testing import FakeAgent, FakeModel, Text, ToolCall, Wait
from midflight.testing.conformance.rows.options import PIXEL
from midflight.values import Support

pytestmark = pytest.mark.usefixtures("no_agent_left", "patience")

Start = Callable[..., Any]
SENT = [("image/png", PIXEL)]
BASH = ToolCall("Bash", {"command": "true"})


def kept_of(session: midflight.Session) -> set[str]:
    """Return the messages whose images are in memory."""
    return session._images.messages  # noqa: SLF001 - nothing else shows what is not needed any more


async def test_images_come_with_the_task_and_with_each_kind_of_message(
    fake_model: Start, tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(PIXEL)
    model: FakeModel = await fake_model(
        [Wait("began"), BASH], Text("a"), [Wait("held"), Text("b")], Text("c")
    )
    options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
    images = [tmp_path / "a.png"]
    async with midflight.dispatch(
        "one", images=images, allowed_tools=["Bash"], **options
    ) as session:
        await model.reached("began")
        assert model.requests[0].images == SENT
        await session.send("two", images=[PIXEL])
        model.signal("began")
        events = await read(session)
        assert len(model.requests[1].images) == 2
        await session.send("three", "queue", images=[Image(data=PIXEL, name="b.png")])
        await model.reached("held")
        await session.redirect("four", images=[PIXEL])
        model.signal("held")
        events += await read(session)
        assert len(model.requests[-1].images) == 4
    info = ImageInfo(name="", media_type="image/png", bytes=len(PIXEL))
    assert [event.images for event in of(e.MessageAccepted, events)] == [
        (msgspec.structs.replace(info, name="a.png"),),
        (info,),
        (msgspec.structs.replace(info, name="b.png"),),
        (info,),
    ]


async def test_images_of_a_message_are_forgotten_when_it_is_read_or_ends(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("a")], Text("b"))
    async with session:
        await session.send("one", images=[PIXEL])
        await model.reached("go")
        waits = await session.send("two", "queue", images=[PIXEL])
        gone = await session.send("three", "queue", images=[PIXEL])
        assert kept_of(session) == {waits.id, gone.id}
        await gone.cancel()
        assert kept_of(session) == {waits.id}
        model.signal("go")
        await waits.result()
        assert not kept_of(session)


async def test_same_id_with_another_image_is_another_message(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("a")], Text("b"))
    async with session:
        await session.send("one")
        await model.reached("go")
        await session.send("two", "queue", id="m2", images=[PIXEL])
        assert (await session.send("two", "queue", id="m2", images=[PIXEL])).id == "m2"
        for images in ([], [Image(data=PIXEL, name="other")]):
            with pytest.raises(midflight.Conflict, match="another text or other images"):
                await session.send("two", "queue", id="m2", images=images)
        model.signal("go")
        await read(session)
    assert model.requests[1].images == SENT


async def test_edited_message_keeps_its_images(fake: Start) -> None:
    model, session = await fake([Wait("go"), Text("a")], Text("b"))
    async with session:
        await session.send("one")
        await model.reached("go")
        await session.send("two", "queue", id="m2", images=[PIXEL])
        await session.command(c.Edit(message="m2", text="otherwise"))
        model.signal("go")
        await read(session)
    assert (model.requests[1].last_user_text, model.requests[1].images) == ("otherwise", SENT)


async def test_message_that_comes_back_has_its_images_again(fake: Start) -> None:
    """It was handed over, and an earlier one's redirect took it back."""
    model, session = await fake([Wait("go"), Text("a")], Text("b"), Text("c"))
    async with session:
        await session.send("one")
        await model.reached("go")
        await session.send("two", images=[PIXEL])
        await session.redirect("three")
        model.signal("go")
        await read(session)
    assert [request.images for request in model.requests] == [[], [], SENT]


class Blind(FakeAgent):
    capabilities: Mapping[str, Support] = {**FakeAgent.capabilities, "images": "not"}
    limits: Mapping[str, str] = {**FakeAgent.limits, "images": "it is blind"}


class Old(FakeAgent):
    """A driver that was written before there were images."""

    capabilities: Mapping[str, Support] = {
        row: support for row, support in FakeAgent.capabilities.items() if row != "images"
    }

    async def send(  # type: ignore[override]
        self, message: str, text: str, *, steer: bool, typed: bool
    ) -> None:
        await super().send(message, text, steer=steer, typed=typed)


@pytest.mark.parametrize("agent", [Blind, Old])
async def test_agent_that_takes_no_images_is_given_none(
    fake_model: Start, tmp_path: Path, agent: Any
) -> None:
    model: FakeModel = await fake_model(Text("a"))
    options = midflight.Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    image = Image(data=PIXEL)
    with pytest.raises(midflight.UnsupportedOption, match="images: "):
        async with midflight.Session(options, "look", agent, images=(image,)):
            raise AssertionError
    async with midflight.Session(options, "without", agent) as session:
        await read(session)
        with pytest.raises(midflight.UnsupportedOption) as refused:
            await session.send("look", images=[PIXEL])
        assert "name a file" in refused.value.hint
        assert await read(session) == []
    assert len(model.requests) == 1


async def test_agent_that_tells_late_has_its_message_fail(
    fake_model: Start, tmp_path: Path
) -> None:
    """As one whose session a host begins: it starts when the message has been accepted."""
    model: FakeModel = await fake_model()
    options = midflight.Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
    session = midflight.Session(
        options, "look", Blind, images=(Image(data=PIXEL),), await_agent=False
    )
    async with session:
        assert session.first is not None
        assert (await session.first.result()).reason == "agent_error"
        notices = [event.text for event in of(e.Notice, await read(session))]
    assert any("send failed: images: it is blind" in text for text in notices)

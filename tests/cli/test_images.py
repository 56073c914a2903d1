"""Images on the command line and at the terminal."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Begin, Say
from tests.support.program import Program
from tests.support.terminal import Terminal

from midflight.testing import ScriptedModel, Text, Wait
from midflight.testing.conformance.rows.options import PIXEL

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

Model = Callable[..., Awaitable[ScriptedModel]]
Midflight = Callable[..., Awaitable[Program]]
Open = Callable[..., Awaitable[Terminal]]

ONE = ("image/png", PIXEL)


@pytest.fixture
def picture(project: Path) -> Path:
    path = project / "a b.png"
    path.write_bytes(PIXEL)
    return path


@pytest.mark.parametrize("more", [(), ("--no-journal",), ("--json",)])
async def test_images_go_with_the_task_of_a_run(
    model: Model, fake_midflight: Midflight, picture: Path, more: tuple[str, ...]
) -> None:
    scripted = await model(Text("red"))
    images = ("--image", picture.name, "--image", str(picture))
    program = await fake_midflight(scripted, "run", "which colour?", *images, *more)
    done = await program.done()
    assert (done.code, done.err) == (0, "")
    assert scripted.requests[0].images == [ONE, ONE]
    if not more:
        log = (await (await fake_midflight(scripted, "logs")).done()).out
        assert "> which colour? [image: a b.png PNG 1 kB] [image: a b.png PNG 1 kB]" in log


async def test_file_that_is_no_image_is_one_line(
    model: Model, fake_midflight: Midflight, project: Path
) -> None:
    (project / "notes.png").write_text("notes")
    scripted = await model()
    for name, expected in (
        ("notes.png", "notes.png is no image that a model takes"),
        ("none.png", "none.png cannot be read: No such file or directory"),
        ("/dev/zero", "/dev/zero is not a file"),
    ):
        done = await (await fake_midflight(scripted, "run", "look", "--image", name)).done()
        first, hint = done.err.splitlines()
        assert (done.code, first, hint[:6]) == (2, f"midflight: {expected}", "hint: ")


@pytest.mark.parametrize("verb", ["send", "queue", "redirect"])
async def test_image_goes_with_a_message_from_another_terminal(
    begin: Begin, say: Say, picture: Path, verb: str
) -> None:
    model, session = await begin(Text("one"), Text("red"))
    assert session.first is not None
    await session.first.result()
    done = await say(verb, "which colour?", "--image", picture.name, "--wait")
    assert (done.code, done.err) == (0, "")
    assert model.requests[1].images == [ONE]
    done = await say(verb, "which colour?", "--image", "nothing.png")
    assert (done.code, done.err.split(":")[1]) == (2, " nothing.png cannot be read")


async def test_image_at_the_terminal_goes_with_the_next_message(
    model: Model, fake_terminal: Open, picture: Path
) -> None:
    scripted = await model(
        Text("Ready."), [Wait("go"), Text("Red.")], Text("Again."), Text("None.")
    )
    shell = await fake_terminal(scripted, "be ready")
    await shell.sees("turn 1 completed")
    shell.types("/image nothing.png")
    await shell.sees("nothing.png cannot be read: No such file or directory")
    shell.types("/image a b.png")
    await shell.sees("with the next message: a b.png PNG 1 kB")
    shell.types(f"/image '{picture}'")
    await shell.sees("with the next message: a b.png PNG 1 kB, a b.png PNG 1 kB")
    shell.types("which colour?")
    await shell.sees("> which colour? [image: a b.png PNG 1 kB] [image: a b.png PNG 1 kB]")
    await scripted.reached("go")
    shell.types("/image a b.png")
    await shell.sees("with the next message")
    shell.types("/queue and now?")
    await shell.sees("[queued]")
    scripted.signal("go")
    await shell.sees("Again.")
    await shell.sees("turn 3 completed")
    shell.types("/image a b.png")
    await shell.sees("with the next message")
    shell.types("/image none")
    await shell.sees("the next message has no image")
    shell.types("and without?")
    await shell.sees("turn 4 completed")
    await shell.quits()
    assert [len(request.images) for request in scripted.requests] == [0, 2, 3, 3]

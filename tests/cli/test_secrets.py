"""A key is never shown: not in the output, the events, an error, or the list of processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest
from tests.faults.manifest import fault
from tests.support.program import Program

from midflight.testing import HttpError, ScriptedModel, Wait, Words

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_agent_left")]

SECRET = "sk-ant-dummy-that-opens-nothing"

Model = Callable[..., Awaitable[ScriptedModel]]
Midflight = Callable[..., Awaitable[Program]]


@fault("S4")
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
async def test_a_refused_key_is_not_in_the_output(
    model: Model, midflight: Midflight, form: tuple[str, ...]
) -> None:
    refused = HttpError(403, message="no access")
    program = await midflight(await model(refused), "run", "work", *form, ANTHROPIC_API_KEY=SECRET)
    code, out, err = await program.done()
    assert code == 1
    assert SECRET not in out + err
    assert "no access" in out


@fault("S4")
async def test_a_key_is_not_in_the_arguments_of_any_process(
    model: Model, midflight: Midflight, tmp_path: Path
) -> None:
    scripted = await model([Words("working"), Wait("go")])
    program = await midflight(scripted, "run", "work", ANTHROPIC_API_KEY=SECRET)
    await program.reads("working")
    ours = psutil.Process(program.process.pid)
    arguments = [" ".join(each.cmdline()) for each in (ours, *ours.children(recursive=True))]
    assert len(arguments) > 1
    assert not [line for line in arguments if SECRET in line]
    scripted.signal("go")
    assert (await program.done()).code == 0
    assert scripted.requests[0].headers["x-api-key"] == "(removed)"

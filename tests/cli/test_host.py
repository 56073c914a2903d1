"""``midflight host``, and the host that ``run`` is, in the test's own process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.faults.manifest import fault

from midflight.cli.commands.host import _host
from midflight.cli.foreground import hosted, park_after
from midflight.cli.main import execute
from midflight.client.client import Client, connect
from midflight.client.spawn import Ready
from midflight.errors import InvalidInput, StoreFailed
from midflight.host import Host
from midflight.host.host import PARK_AFTER_S
from midflight.journal import Journal
from midflight.options import Options
from midflight.session.session import Session
from midflight.testing import FakeModel, Text

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("patience")]


async def test_a_host_reports_once_and_then_leaves_the_descriptor_alone(
    state: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    other = os.open(tmp_path / "other", os.O_RDWR | os.O_CREAT)

    async def fail(self: Host) -> None:
        os.dup2(other, writing)  # as any file may get the number that is free
        raise StoreFailed("the disk is gone")

    monkeypatch.setattr(Host, "wake", fail)
    with pytest.raises(StoreFailed):
        await _host(argparse.Namespace(park_after=None, ready=writing, work=None))
    with os.fdopen(reading, "rb") as pipe:
        assert msgspec.json.decode(pipe.read(), type=Ready).address
    assert (tmp_path / "other").read_bytes() == b""
    os.close(other)
    os.close(writing)


async def test_a_second_signal_while_a_run_ends_leaves_no_host_behind(
    state: None, tmp_path: Path, no_agent_left: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    close, cut = Session.close, False

    async def be_cut(self: Session, reason: Any = "closed") -> None:
        nonlocal cut
        if not cut:
            cut = True
            raise asyncio.CancelledError
        await close(self, reason)

    async def run(options: Options) -> None:
        async with hosted("make it", options, door="command") as begun:
            assert begun.session.first is not None
            await begun.session.first.result()

    monkeypatch.setattr(Session, "close", be_cut)
    async with FakeModel([Text("done")]) as model:
        options = Options.build(agent="fake", cwd=tmp_path, env=model.env(tmp_path))
        with pytest.raises(asyncio.CancelledError):
            await run(options)
    async with Journal() as journal:
        assert await journal.hosts() == []
        (row,) = await journal.sessions()
        assert row.host is None


@pytest.fixture
def ready(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Return what is set when a host has an agent ready."""
    ready, keep_warm = asyncio.Event(), Host.keep_warm

    async def tell(self: Host, **options: Any) -> None:
        await keep_warm(self, **options)
        ready.set()

    monkeypatch.setattr(Host, "keep_warm", tell)
    return ready


@contextlib.asynccontextmanager
async def warm_host(
    tmp_path: Path, ready: asyncio.Event
) -> AsyncIterator[tuple[Client, dict[str, Any], asyncio.Task[int]]]:
    """Run a host that keeps a fake agent ready, and end it as a person does."""
    async with FakeModel([Text("done")]) as model:
        options: dict[str, Any] = {"agent": "fake", "cwd": tmp_path, "env": model.env(tmp_path)}
        given = argparse.Namespace(park_after=None, ready=None, work=None)
        serving = asyncio.create_task(_host(given, options))
        await ready.wait()
        async with connect() as client:
            yield client, options, serving
        assert not serving.done()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving == 0


async def test_a_warm_host_gives_its_agent_to_the_next_task_and_stays(
    state: None,
    tmp_path: Path,
    ready: asyncio.Event,
    no_agent_left: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("midflight.cli.commands.host.UNUSED_S", 0.0)
    async with warm_host(tmp_path, ready) as (client, options, _):
        (host,) = await client.hosts()
        async with await client.dispatch("go", **options) as session:
            assert (await client.info(session.id)).host == host.address
            async for _ in session.stream():
                pass
            await session.close()


async def test_the_park_time_comes_from_the_option_or_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here, nothing = argparse.Namespace(park_after=60.0), argparse.Namespace(park_after=None)
    monkeypatch.delenv("MIDFLIGHT_PARK_AFTER", raising=False)
    assert park_after(nothing) == PARK_AFTER_S
    monkeypatch.setenv("MIDFLIGHT_PARK_AFTER", "5m")
    assert park_after(nothing) == 300
    assert park_after(here) == 60


async def test_the_park_time_of_run_reaches_its_host_and_no_agent(
    state: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It travels on the command line of the host: an agent inherits no variable of it."""
    monkeypatch.delenv("MIDFLIGHT_PARK_AFTER", raising=False)
    started: list[Sequence[str]] = []

    def run(command: Sequence[str], *, env: Mapping[str, str], **_: object) -> None:
        assert "MIDFLIGHT_PARK_AFTER" not in env
        started.append(command)
        raise OSError("enough is known")

    monkeypatch.setattr("midflight.client.spawn.subprocess.run", run)
    words = ["run", "-d", "--park-after", "15m", "--agent", "fake", "go"]
    assert await asyncio.to_thread(execute, words) == 1
    (command,) = started
    assert command[command.index("--park-after") + 1] == "900.0"
    assert "enough is known" in capsys.readouterr().err
    assert "MIDFLIGHT_PARK_AFTER" not in os.environ


@fault("S4")
@pytest.mark.parametrize("typed", [True, False])
async def test_journal_reaches_a_host_by_its_environment_alone(
    state: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: bool
) -> None:
    journal = tmp_path / "journal"
    monkeypatch.setenv("MIDFLIGHT_JOURNAL", "" if typed else str(journal))
    started: list[Sequence[str]] = []

    def run(command: Sequence[str], *, env: Mapping[str, str], **_: object) -> None:
        assert env["MIDFLIGHT_JOURNAL"] == str(journal)
        started.append(command)
        raise OSError("enough is known")

    monkeypatch.setattr("midflight.client.spawn.subprocess.run", run)
    words = ["run", "-d", "--agent", "fake", "go", *(["--journal", str(journal)] if typed else [])]
    assert await asyncio.to_thread(execute, words) == 1
    (command,) = started
    assert str(journal) not in command
    assert (journal / "journal.sqlite").exists()


async def test_a_time_that_is_none_is_an_error_by_name(
    state: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIDFLIGHT_PARK_AFTER", "soon")
    with pytest.raises(InvalidInput, match="MIDFLIGHT_PARK_AFTER"):
        await _host(argparse.Namespace(park_after=None, ready=None, work=None))


async def test_what_an_agent_is_like_goes_with_warm(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["host", "--model", "sonnet"]) == 2
    assert "--warm" in capsys.readouterr().err

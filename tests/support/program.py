"""The real program as a process of its own, over pipes, and its commands in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest
from tests.support.events import PATIENCE_S

from midflight._util.own_variables import JOURNAL
from midflight.cli.main import execute

COMMAND = (sys.executable, "-m", "midflight.cli.main")
AT_ONCE = (sys.executable, str(Path(__file__).parent / "programs" / "midflight_at_once.py"))
"""The same for a person at a terminal who needs no moment to read what is asked."""

WITH_FAKE = (sys.executable, str(Path(__file__).parent / "programs" / "midflight_fake.py"))
"""That one, with a fake agent that asks the scripted model of the test: no agent has to start."""

IN_ITS_TERMINAL = (sys.executable, str(Path(__file__).parent / "programs" / "in_its_terminal.py"))
"""What stands in front of a program that is told when its terminal is closed."""


def watched() -> dict[str, str]:
    """Return the variables by which its coverage is measured, and the agents are kept from it."""
    names = [name for name in os.environ if name.startswith("COVERAGE") or name == "PYTHONPATH"]
    return {name: os.environ[name] for name in names}


def unwatched() -> dict[str, str]:
    """Return the environment of a program whose coverage is not measured.

    That takes 0.1 s for each start, and comes to nothing where the program is killed.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}


class Done(NamedTuple):
    code: int
    out: str
    err: str


class Program:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    @classmethod
    async def start(
        cls,
        arguments: Sequence[str],
        env: dict[str, str],
        cwd: Path,
        command: Sequence[str] = COMMAND,
        *,
        listens: bool | None = None,
    ) -> Self:
        """``listens`` has it read a pipe, as with ``--json`` it does anyway."""
        if listens is None:
            listens = "--json" in arguments
        process = await asyncio.create_subprocess_exec(
            *command,
            *arguments,
            env=env,
            cwd=cwd,
            stdin=asyncio.subprocess.PIPE if listens else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=2**26,
        )
        return cls(process)

    async def done(self, given: bytes = b"") -> Done:
        """Give it all its input, and wait until it has ended."""
        async with asyncio.timeout(PATIENCE_S):
            out, err = await self.process.communicate(given if self.process.stdin else None)
        assert self.process.returncode is not None
        return Done(self.process.returncode, out.decode(), err.decode())

    async def until(self, kind: str) -> dict[str, Any]:
        """Read JSON events up to the next of this type."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            while True:
                line = await self.process.stdout.readline()
                assert line, f"the program ended before a {kind}; it said {self.seen}"
                event = json.loads(line)
                self.seen.append(event)
                if event["type"] == kind:
                    return event  # type: ignore[no-any-return]

    async def reads(self, text: str, seconds: float = PATIENCE_S) -> str:
        """Read the output until it contains a text."""
        assert self.process.stdout is not None
        out = ""
        async with asyncio.timeout(seconds):
            while text not in out:
                chunk = await self.process.stdout.read(4096)
                assert chunk, f"the program ended before {text!r}; it said {out!r}"
                out += chunk.decode()
        return out

    def tell(self, **command: object) -> None:
        self.write(json.dumps(command).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def stop_reading(self) -> None:
        """Close our end of its output, as ``| head`` does."""
        self.process.stdout._transport.close()  # type: ignore[union-attr]  # noqa: SLF001

    async def kill(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        with contextlib.suppress(ValueError):
            await self.process.communicate()


class _Captured(io.TextIOWrapper):
    """Standard output of one command."""

    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)

    @property
    def whole(self) -> str:
        return self.bytes.getvalue().decode()


def in_this_process(arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> Done:
    """Carry out a command as a program with this environment would, in a fraction of its time."""
    out, err = _Captured(), _Captured()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ.keys() - env.keys():
            patch.delenv(name)
        for name, value in env.items():
            patch.setenv(name, value)
        patch.chdir(cwd)
        patch.setattr(sys, "stdin", io.StringIO())
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = execute(arguments)
    return Done(code, out.whole, err.whole)


async def in_a_thread(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Done:
    """Carry out a command as its own process would, in a thread beside the test."""
    out, err = _Captured(), _Captured()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv(JOURNAL, os.environ.get(JOURNAL, ""))  # which --journal sets
        code = await asyncio.to_thread(execute, arguments)
    return Done(code, out.whole, err.whole)


def events(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]

"""Which version a program is, by its own word."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
from pathlib import Path

from midflight._util.own_variables import for_others
from midflight._util.programs import with_search_path
from midflight.errors import AgentUnavailable

TIMEOUT_S = 15.0
BYTES = 4096


async def version(path: Path, hint: str) -> str:
    """Return what a program answers to ``--version``, as ``1.2.3``.

    Raises `AgentUnavailable` with ``hint`` when it says none.
    """
    return number_in(await _ask(path, hint), path, hint)


def number_in(text: str, path: Path, hint: str) -> str:
    """Return the version in what a program says. Raises `AgentUnavailable` if there is none."""
    number = re.search(r"\b(\d+)\.(\d+)\.(\d+)\b", text)
    if not number:
        raise AgentUnavailable(f"{path} does not say its version, but {text.strip()[:80]!r}", hint)
    return number.group()


async def _ask(path: Path, hint: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            path,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
            env=with_search_path(for_others(os.environ)),
        )
    except OSError as error:
        raise AgentUnavailable(f"{path} cannot be run: {error.strerror}", hint) from error
    assert process.stdout is not None  # noqa: S101 - it was asked for
    out = b""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while len(out) < BYTES and (more := await process.stdout.read(BYTES)):
                out += more
            if len(out) < BYTES:
                await process.wait()
    except TimeoutError:
        raise AgentUnavailable(f"{path} --version does not answer", hint) from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # asyncio takes note of an end only when all output has been read.
            while await process.stdout.read(BYTES):
                pass
            await process.wait()
    return out.decode(errors="replace")

"""What tests see of a host from inside, in one place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from tests.support.events import PATIENCE_S

from midflight import commands as c
from midflight.address import Address
from midflight.client.http import call as call_host
from midflight.client.spawn import host_environment
from midflight.environment import HostKind
from midflight.host import Host
from midflight.host.service import SessionService
from midflight.host.sessions import SessionTable
from midflight.journal import Journal
from midflight.journal.inbox import CommandResult
from midflight.options import Options

__all__ = [
    "close",
    "have",
    "is_warm",
    "journal_of",
    "post",
    "result_in",
    "service_of",
    "share_environment",
    "share_secrets",
    "table_of",
]


def have(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> None:
    """Put these variables into the environment of this process.

    An agent can give another one only those that its program has.
    """
    for name, value in env.items():
        monkeypatch.setenv(name, value)


def share_environment(host: Host) -> None:
    """Have the warm agents of a host be for who has the environment of this process as it is."""
    service_of(host).kind = HostKind(host_environment(), None)


def journal_of(host: Host) -> Journal:
    """Return the journal that a host writes to."""
    return host._journal  # noqa: SLF001 - only a test looks into it


def table_of(host: Host) -> SessionTable:
    """Return what a host knows of its sessions."""
    return host._sessions  # noqa: SLF001 - as above


def service_of(host: Host) -> SessionService:
    """Return what answers other processes."""
    return host._service  # noqa: SLF001 - as above


def is_warm(host: Host, **options: Any) -> bool:
    """Tell whether an agent is ready for a task with these options."""
    return host._warm.fits(Options.build(**options))  # noqa: SLF001 - as above


def share_secrets(host: Host, other: Host) -> None:
    """Have another host know the values that are never stored."""
    table_of(other).secrets = table_of(host).secrets


async def post(host: Host, path: str, body: bytes) -> bytes:
    """Have a host do something, as a client does. Raises the error that it answers."""
    return await call_host(Address.parse(host.address()), "POST", path, body)


async def close(host: Host, session: str) -> None:
    """Have a host close a session."""
    await post(host, f"/sessions/{session}/commands", c.encode(c.Close()))


async def result_in(journal: Journal, session: str, id: str) -> CommandResult:
    """Wait until a host has carried out what was left in the inbox."""
    async with asyncio.timeout(PATIENCE_S):
        while (result := await journal.inbox.result(session, id)) is None:
            pass
    return result

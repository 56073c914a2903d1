"""The fixtures of hosts: a client is nothing without one."""

from __future__ import annotations

from tests.host.conftest import attach, begin, client, fake_model, host, open_host, patient, state

__all__ = ["attach", "begin", "client", "fake_model", "host", "open_host", "patient", "state"]

"""This process, as other machines and later boots can tell it from every other one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec

from midflight._util.process_id import born, space

MACHINE_VARIABLE = "MIDFLIGHT_MACHINE"
"""The environment variable with the name of this machine, where its own would not do."""


class ProcessIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """This process, as others can tell it from every other one.

    Process ids mean something only in their own ``space``: a container has one of its own. On a
    server ``machine`` is needed as well: two may have come from one image, in the same boot.
    """

    machine: str
    boot: str
    space: str
    pid: int
    born: float

    @classmethod
    def find(cls) -> ProcessIdentity:
        """Look."""
        pid = os.getpid()
        return cls(
            machine=os.environ.get(MACHINE_VARIABLE) or platform.node(),
            boot=_boot(),
            space=str(space()),
            pid=pid,
            born=born(pid) or 0.0,
        )


def _boot() -> str:
    """Return what no other boot, of this machine or another one, has."""
    if sys.platform == "linux":
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

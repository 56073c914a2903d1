"""Machines on one machine: each has processes, a network, a host name and mounts of its own.

They hang on a switch, which is a network of its own as well, so that nothing of this is to be seen
from outside, and a cable can be pulled without either side hearing of it. A machine lives as long
as its first process, which reads from a pipe of ours: when we die, however that may be, the system
ends everything that runs there, and takes network, mounts and what was in memory with it. Who has
gone in for a program stands still when that does, and is killed when we die. A folder is all that
can stay; the next `Network` removes it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import pytest

from midflight._util.process_id import born, lives

__all__ = ["Machine", "Network", "need_machines"]

ALL = os.environ.get("MIDFLIGHT_TEST_MACHINES") == "1"

SWITCH_S = 60.0
"""How long a program that sets something up may take."""

_PREFIX = "midflight-net-"
_SUBNET = "10.77.0"

# What is orphaned on a machine becomes a child of its first process, which leaves no zombies.
_FIRST = "echo; exec env --ignore-signal=CHLD cat"
_OWN = ("--net", "--mount", "--pid", "--ipc", "--uts")
_DIES_WITH_US = ("setpriv", "--pdeathsig=KILL")


def need_machines() -> None:
    """Skip a test where machines cannot be made; fail it where they are known to be possible."""
    missing = _missing()
    if missing and ALL:
        pytest.fail(missing, pytrace=False)
    if missing:
        pytest.skip(missing)


def _missing() -> str:
    if os.uname().sysname != "Linux" or os.geteuid() != 0:
        return "machines of their own are made by root on Linux only"
    for program in ("ip", "unshare", "nsenter", "setpriv"):
        if shutil.which(program) is None:
            return f"the program {program!r} is missing: apt-get install iproute2 util-linux"
    link = ["ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]
    bridge = ["ip", "link", "add", "three", "type", "bridge"]
    for try_out in (link, bridge, ["mount", "-t", "tmpfs", "none", "/mnt"]):
        tried = subprocess.run(
            ["unshare", *_OWN, "--fork", "--mount-proc", *try_out],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SWITCH_S,
            check=False,
        )
        if tried.returncode:
            return f"machines of their own are not allowed here: {tried.stderr.strip()}"
    return ""


class Machine:
    """One machine. Made by `Network.machine`."""

    def __init__(self, name: str, number: int) -> None:
        """Start its first process; it has no cable yet."""
        self.name = name
        self.address = f"{_SUBNET}.{number}"
        self._holder = subprocess.Popen(
            ["unshare", *_OWN, "--fork", "--mount-proc", "/bin/sh", "-c", _FIRST],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == b"\n", f"the machine {name} does not start"
        self._holder.stdout.close()
        self._gone_in: list[subprocess.Popen[bytes]] = []
        (first,) = psutil.Process(self._holder.pid).children()
        self.first = first.pid
        self.run("hostname", name)
        self.run("ip", "link", "set", "lo", "up")

    def enter(self, *command: str, user: str = "") -> list[str]:
        """Return the command that runs one there; it ends when the machine does."""
        inside = [*_DIES_WITH_US, "nsenter", f"--target={self.first}", *_OWN]
        return [
            *inside,
            *(["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user else []),
            *command,
        ]

    def run(self, *command: str, user: str = "", **more: Any) -> str:
        """Run a program there to its end, which must be a good one; return what it says."""
        done = subprocess.run(
            self.enter(*command, user=user),
            **{"stdin": subprocess.DEVNULL, "timeout": SWITCH_S, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command} on {self.name}: {done.stdout}"
        return str(done.stdout)

    def start(
        self, *command: str, env: Mapping[str, str], errors: Path, **more: Any
    ) -> subprocess.Popen[bytes]:
        """Start a program there; what it says comes by a pipe."""
        with errors.open("ab") as file:
            outside = subprocess.Popen(
                self.enter(*command),
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=file,
                **more,
            )
        self._gone_in.append(outside)
        return outside

    def wake(self) -> None:
        """Wake who has gone in for a program: they stand still when that does."""
        for outside in self._gone_in:
            outside.send_signal(signal.SIGCONT)

    def processes(self) -> list[psutil.Process]:
        """Return all that runs there, beside its first process."""
        here = _space(self.first)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                alive = process.status() != psutil.STATUS_ZOMBIE
                if alive and process.pid != self.first and _space(process.pid) == here:
                    found.append(process)
        return found

    def end(self) -> None:
        """Switch it off: nothing of it is left when this returns."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self.wake()  # the system waits until each has taken leave of its program
        try:
            self._holder.wait(SWITCH_S)
        except subprocess.TimeoutExpired:
            psutil.Process(self.first).kill()
            self._holder.wait(SWITCH_S)


def _space(pid: int) -> int:
    return Path(f"/proc/{pid}/ns/pid").stat().st_ino


class Network:
    """Machines on one switch, and a folder that all of them see. A context manager."""

    def __init__(self) -> None:
        """Nothing is made."""
        self.machines: dict[str, Machine] = {}
        self.folder = Path()

    def __enter__(self) -> Self:
        """Make the switch and the folder; remove those of runs that were killed."""
        folders = Path(tempfile.gettempdir())
        for left in folders.glob(f"{_PREFIX}*"):
            with contextlib.suppress(ValueError):
                pid, birth = map(int, left.name.removeprefix(_PREFIX).split("-")[:2])
                if not lives(pid, birth / 100):
                    shutil.rmtree(left, ignore_errors=True)
        me = os.getpid()
        self.folder = Path(
            tempfile.mkdtemp(prefix=f"{_PREFIX}{me}-{round((born(me) or 0) * 100)}-")
        )
        self.folder.chmod(0o755)  # a server's own user goes in, too
        self._switch = Machine("switch", 1)
        self._switch.run("ip", "link", "add", "cables", "type", "bridge")
        self._switch.run("ip", "link", "set", "cables", "up")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        """Switch everything off, and remove the folder."""
        for machine in (*self.machines.values(), self._switch):
            machine.end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def machine(self, name: str) -> Machine:
        """Add a machine, with its cable."""
        machine = self.machines[name] = Machine(name, len(self.machines) + 2)
        link = ("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0")
        # The process id is that of the outside: only the network is the switch's.
        subprocess.run(
            [
                "nsenter",
                f"--target={self._switch.first}",
                "--net",
                *link,
                "netns",
                str(machine.first),
            ],
            check=True,
            timeout=SWITCH_S,
        )
        machine.run("ip", "addr", "add", f"{machine.address}/24", "dev", "eth0")
        machine.run("ip", "link", "set", "eth0", "up")
        self._switch.run("ip", "link", "set", name, "up")
        self.mend(name)
        return machine

    def cut(self, name: str) -> None:
        """Pull a machine's cable out of the switch: nobody is told."""
        self._switch.run("ip", "link", "set", name, "nomaster")

    def mend(self, name: str) -> None:
        """Put it in again."""
        self._switch.run("ip", "link", "set", name, "master", "cables")

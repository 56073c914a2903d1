"""The machines that other tests are played on are apart from each other, and leave nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from tests.support.machines import Network, need_machines

CONNECT = "import socket; socket.create_connection(('{}', 22), {}).close()"

KILLED = """
import os, psutil, signal
from tests.support.machines import Network
network = Network().__enter__()
machine = network.machine("one")
outside = machine.start("sleep", "1000", env={}, errors=network.folder / "errors")
while not (inside := psutil.Process(outside.pid).children()):
    pass
inside[0].suspend()
while psutil.Process(outside.pid).status() != psutil.STATUS_STOPPED:
    pass
print(network.folder, outside.pid, *(process.pid for process in machine.processes()))
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def network() -> Iterator[Network]:
    need_machines()
    with Network() as network:
        yield network


def test_cut_between_machines_is_silent(network: Network) -> None:
    """Neither side is told: a connection is not refused, and its machine keeps its address."""
    one, two = network.machine("one"), network.machine("two")

    def connect(seconds: float) -> str:
        code = CONNECT.format(two.address, seconds)
        with pytest.raises(AssertionError) as caught:
            one.run(sys.executable, "-c", code)
        return str(caught.value)

    assert "ConnectionRefusedError" in connect(60)
    network.cut("two")
    assert "TimeoutError" in connect(0.2)
    network.mend("two")
    assert "ConnectionRefusedError" in connect(60)


def test_nothing_of_a_machine_outlives_its_network() -> None:
    need_machines()
    with Network() as network:
        machine = network.machine("one")
        with machine.start("setsid", "sleep", "1000", env={}, errors=Path("/dev/null")) as outside:
            while not (left := machine.processes()):
                pass
            machine.end()
            assert not psutil.wait_procs(left, 60)[1]
            outside.wait(60)
    assert not network.folder.exists()


def test_nothing_but_a_folder_is_left_where_its_maker_is_killed() -> None:
    """Nor does who stands still, inside, and outside for it."""
    need_machines()
    killed = subprocess.run(
        [sys.executable, "-c", KILLED], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    folder, *left = killed.stdout.split()
    psutil.wait_procs([psutil.Process(int(pid)) for pid in left if psutil.pid_exists(int(pid))], 60)
    assert not [pid for pid in left if psutil.pid_exists(int(pid))]
    with Network():
        assert not Path(folder).exists()

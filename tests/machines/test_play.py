"""Sessions outlive what befalls the machines that they are on; see `tests.machines.play`.

``MIDFLIGHT_TEST_FAULTS`` says how many faults `scripts/check long` plays.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest
from tests.machines.cluster import chance_of
from tests.machines.play import KINDS, Fault, Play
from tests.support.database_machine import need_database_machine
from tests.support.machines import Network, need_machines

MANY = int(os.environ.get("MIDFLIGHT_TEST_FAULTS", "12"))

REAL = [pytest.param(agent, marks=pytest.mark.agent) for agent in ("claude", "opencode")]

FEW: list[Fault] = [
    {"kind": "kill -9", "phase": "in a tool"},
    {"kind": "restart", "mode": "immediate", "seconds": 0.0},
    {"kind": "drop a client"},
]


@pytest.fixture
def network() -> Iterator[Network]:
    need_machines()
    need_database_machine()
    with Network() as network:
        yield network


async def _play(network: Network, agent: str, faults: list[Fault] | None) -> None:
    seed = random.SystemRandom().randrange(2**32)
    chance = chance_of(seed)
    some = faults or [{"kind": chance.choice(list(KINDS))} for _ in range(MANY)]
    play = Play(network, chance, agent=agent, **({"workers": 2, "sessions": 2} if faults else {}))

    wrong = await play.run([dict(fault) for fault in some])

    assert not wrong, f"python -m tests.machines.play --seed {seed} --agent {agent}: {play.faults}"


@pytest.mark.timeout(600)
async def test_sessions_outlive_faults_of_their_machines(network: Network) -> None:
    await _play(network, "fake", FEW)


@pytest.mark.long
@pytest.mark.timeout(max(600, MANY * 120))
@pytest.mark.parametrize("agent", ["fake", *REAL])
async def test_sessions_outlive_many_faults_at_random(network: Network, agent: str) -> None:
    await _play(network, agent, None)

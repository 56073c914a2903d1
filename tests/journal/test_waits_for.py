"""What a session waits for is said from the rows alone: the first thing that is missing."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.journal import waiting_session as session

from midflight.info import RepositoryInfo
from midflight.journal import HostRow, SessionRow
from midflight.journal.waits_for import waits_for
from midflight.state.session import MOST_LOST


def worker(id: str = "w", **given: Any) -> HostRow:
    """Return a worker with the label gpu and one place."""
    fields: dict[str, Any] = {"machine": "m", "pid": 1, "address": "", "started": 0.0, "wire": 1}
    fields |= {"alive": True, "labels": ("gpu",), "capacity": 1}
    return HostRow(id=id, **{**fields, **given})


NEEDY = session(options={"env": ["NPM_TOKEN"], "mcp_servers": {}})
WITH_SERVER = session(
    options={"env": [], "mcp_servers": {"db": {"withheld": ["url"], "headers": ["KEY"]}}}
)
NEWER = session(wire=3)
KEPT = session(kept_on="m")
UNSENT = session(kept_on="m", repository=RepositoryInfo(remote="r", problem="refused"))
ELSEWHERE = worker(machine="n")
BUSY = worker(at_work=("talk",))
FULL = [worker("a", at_work=("x", "y", "bob/z"), capacity=3), worker("b", at_work=("w",))]


@pytest.mark.parametrize(
    ("waiting", "workers", "ahead", "said"),
    [
        (session(), [], 0, "a worker with the label gpu: there is none"),
        (session(), [worker(alive=False), worker(labels=("cpu",))], 0, "there is none"),
        (session(), [worker(person="bob", for_all=False)], 0, "there is none"),
        (session(), [worker(for_all=False)], 0, "one is about to take it"),
        (session(), [worker(person="builder1")], 0, "one is about to take it"),
        (session(), [worker(draining=True)], 0, "gpu: 1 is there, draining"),
        (NEEDY, [worker(), worker("b", variables=("A",))], 0, "gpu that offers NPM_TOKEN, whose"),
        (NEEDY, [worker(), worker("b", variables=("NPM_TOKEN",))], 0, "one is about to take it"),
        (NEWER, [worker(), worker("b", wire=2)], 0, "gpu of a newer midflight (this session needs"),
        (NEWER, [worker(wire=2)], 0, "version 3 of its protocol, and 2 is the newest there): upgr"),
        (
            NEWER,
            [worker(wire=2), worker("b", wire=3, at_work=("x",))],
            0,
            "place of 1 worker with the",
        ),
        (NEWER, [worker(), worker("b", wire=4)], 0, "one is about to take it"),
        (WITH_SERVER, [worker()], 0, "that offers db.url, db.headers.KEY, whose"),
        (WITH_SERVER, [worker(servers=("db",))], 0, "one is about to take it"),
        (
            KEPT,
            [ELSEWHERE],
            0,
            "gpu on its machine m, which alone has what its agent remembers: th",
        ),
        (UNSENT, [ELSEWHERE], 0, "on its machine m, which alone has its last work: there is none"),
        (KEPT, [ELSEWHERE, worker()], 0, "what its agent remembers: one is about to take it"),
        (session(), FULL, 0, "a place: all 4 places of 2 workers with the label gpu are taken"),
        (session(), FULL, 2, " taken by x, y, bob/z and 1 more; 2 sessions wait before it"),
        (session(), [BUSY], 0, "the only place of 1 worker with the label gpu is taken by talk"),
        (
            session(),
            [worker(capacity=2, at_work=("talk",))],
            1,
            "a place of 1 worker with the label gpu: 1 session waits before it",
        ),
        (session(waiting_since=None, lost=MOST_LOST), [worker()], 0, "a message: 3 hosts in a row"),
    ],
)
def test_what_is_missing_is_said(
    waiting: SessionRow, workers: list[HostRow], ahead: int, said: str
) -> None:
    assert said in waits_for(waiting, workers, ahead)


@pytest.mark.parametrize(
    "at_ease", [session(label=None), session(waiting_since=None), session(host="w")]
)
def test_session_that_does_not_wait_says_nothing(at_ease: SessionRow) -> None:
    assert waits_for(at_ease, [], 0) == ""

"""`midflight workers`: the list, and which worker is meant."""

from __future__ import annotations

from typing import Any

import pytest

from midflight.cli.commands.workers import table
from midflight.errors import Conflict, InvalidOption, NotFound
from midflight.info import WorkerInfo
from midflight.journal.workers import choose_worker
from midflight.worker import Worker


def worker(machine: str, id: str, **given: Any) -> WorkerInfo:
    fields: dict[str, Any] = {"pid": 1, "labels": ("gpu",), "capacity": 2, "taken": 0}
    fields |= {"version": "0.1.0", "alive": True, "draining": False, "silent_s": 3.0}
    return WorkerInfo(**{"machine": machine, "id": id, "started": 0.0, **fields, **given})


BIG, BIGGER = worker("big", "aaaa"), worker("bigger", "bbbb", taken=2)
TWIN = worker("big", "cccc", draining=True, drain_s=840.0)
DEAD = worker("gone", "dddd", alive=False)


def test_list_says_who_is_there_and_what_they_do() -> None:
    lines = [text.split() for _, text in table([BIG, BIGGER, TWIN, DEAD], 100)]
    assert lines[0] == ["MACHINE", "ID", "PLACES", "VERSION", "BEAT", "STATUS", "LABELS"]
    assert lines[1] == ["big", "aaaa", "0/2", "0.1.0", "3s", "ready", "gpu"]
    assert [line[5] for line in lines[2:]] == ["full", "draining,", "dead"]
    assert lines[3][6:8] == ["14m", "left"]


def test_row_that_somebody_has_made_up_is_one_inert_line() -> None:
    evil = "\n\x1b[2J\u202e"
    hostile = worker(evil, evil, labels=(evil,), version=evil)
    ((_, _), (_, line)) = table([hostile], 100)
    assert line.removesuffix("\n").isprintable()


@pytest.mark.parametrize("hidden", ["\u202e", "\u200b", "\x1b[0m", " " * 300 + "x", "\r", "\n"])
def test_machine_is_not_made_to_look_like_another_one(hidden: str) -> None:
    (_, _), (_, line), (_, real) = table([worker(f"big{hidden}", "eeee"), BIG], 200)
    assert line.split()[0] != real.split()[0]


def test_long_name_hides_nobody() -> None:
    lines = [
        text for _, text in table([worker("x" * 5_000, "eeee", version="y" * 5_000), BIG], 100)
    ]
    assert all("ready" in line for line in lines[1:])


def test_worker_is_named_by_its_machine_or_how_that_or_its_id_begins() -> None:
    assert choose_worker("big", [BIG, BIGGER]) == BIG
    assert choose_worker("bigg", [BIG, BIGGER]) == BIGGER
    assert choose_worker("cc", [BIG, TWIN]) == TWIN


def test_worker_that_is_not_meant_alone_or_dead_is_none() -> None:
    with pytest.raises(Conflict, match="2 workers are called 'big'"):
        choose_worker("big", [BIG, TWIN])
    with pytest.raises(NotFound, match="no worker is called 'gone'"):
        choose_worker("gone", [BIG, DEAD])


@pytest.mark.parametrize(
    ("name", "wrong"), [("PGPASSWORD", "midflight's own"), ("NO_SUCH_NAME", "no variable")]
)
def test_variable_that_cannot_be_given_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, wrong: str
) -> None:
    monkeypatch.setenv("PGPASSWORD", "x")
    with pytest.raises(InvalidOption, match=wrong):
        Worker("postgresql:///nowhere", labels=["gpu"], variables=[name])

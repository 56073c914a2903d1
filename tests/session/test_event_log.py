from __future__ import annotations

import asyncio

import pytest

from midflight import events as e
from midflight.errors import EventsExpired
from midflight.session.event_log import EventLog, Reader


def log_of(kept: int, *kinds: str) -> EventLog:
    """Return a log of texts (``t``) and deltas (``d``), each named by its place."""
    log = EventLog(kept)
    add(log, *kinds)
    return log


def add(log: EventLog, *kinds: str) -> None:
    for kind in kinds:
        if kind == "t":
            seq = log.last_seq + 1
            log.append(e.Text(text=f"text {seq}", seq=seq))
        else:
            log.append(e.TextDelta(text=f"delta after {log.last_seq}"))


def texts(reader: Reader) -> list[str]:
    seen = []
    while (event := reader.take()) is not None:
        assert isinstance(event, (e.Text, e.TextDelta))
        seen.append(event.text)
    return seen


def test_reader_gets_every_event_in_order() -> None:
    log = log_of(10, "t", "d")
    reader = log.reader()
    assert texts(reader) == ["text 1", "delta after 1"]
    add(log, "d", "t")
    assert texts(reader) == ["delta after 1", "text 2"]
    assert texts(reader) == []


def test_reader_that_comes_back_gets_the_durable_events_it_missed() -> None:
    log = log_of(10, "t", "d", "t", "t")
    assert texts(log.reader(after=1)) == ["text 2", "text 3"]
    assert texts(log.reader(after=3)) == []
    assert texts(log.reader(after=99)) == []


def test_reader_that_has_caught_up_sees_deltas_again() -> None:
    log = log_of(10, "t")
    reader = log.reader(after=1)
    assert texts(reader) == []
    add(log, "d")
    assert texts(reader) == ["delta after 1"]


def test_slow_reader_misses_only_deltas() -> None:
    log = log_of(4, "t", "d", "d", "d", "d", "t", "d", "d")
    assert texts(log.reader()) == ["text 1", "text 2"]


def test_log_is_bounded_and_says_which_events_are_gone() -> None:
    log = log_of(4, *"t" * 10)
    with pytest.raises(EventsExpired, match="after 2") as caught:
        texts(log.reader(after=2))
    assert (caught.value.after, caught.value.oldest) == (2, 7)
    assert texts(log.reader(after=6)) == ["text 7", "text 8", "text 9", "text 10"]


def test_reader_that_was_overtaken_raises_events_expired() -> None:
    log = log_of(4, "t")
    reader = log.reader()
    assert texts(reader) == ["text 1"]
    add(log, *"t" * 5)
    with pytest.raises(EventsExpired, match="after 1"):
        texts(reader)


async def test_reading_waits_for_more_and_ends_with_the_log() -> None:
    log = log_of(10, "t")
    seen: list[e.Event] = []

    async def read() -> None:
        seen.extend([event async for event in log.reader().read(lambda: False)])

    reading = asyncio.create_task(read())
    await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that it waits
    add(log, "t")
    log.end()
    async with asyncio.timeout(60):
        await reading
    assert [event.seq for event in seen] == [1, 2]
    assert log.was_read


async def test_reading_again_continues_where_it_stopped() -> None:
    log = log_of(10, "t", "t", "t")
    reader = log.reader()
    async for event in reader.read(lambda: True):
        assert event.seq == 1
        break
    assert [event.seq async for event in reader.read(lambda: True)] == [2, 3]


async def test_cancelled_wait_leaves_nothing_behind() -> None:
    log = log_of(10)
    waiting = asyncio.create_task(log.changed())
    await asyncio.sleep(0)  # noqa: TID251 - one turn of the loop, so that it waits
    waiting.cancel()
    await asyncio.wait({waiting})
    assert waiting.cancelled()
    log.wake()


def streamed(*texts: str, log: EventLog) -> EventLog:
    """Return the log, in which a text streams now."""
    for text in texts:
        log.append(e.TextDelta(text=text))
    return log


def test_reader_who_comes_in_mid_sentence_gets_it_from_its_beginning() -> None:
    log = log_of(100, "t")
    reader = streamed("half a ", "sen", log=log).reader(after=1)
    assert [reader.take(), reader.take()] == [e.TextDelta(text="half a sen", so_far=True), None]
    streamed("tence", log=log)
    assert texts(reader) == ["tence"]
    late = log.reader(after=1)
    log.append(e.Text(text="half a sentence", seq=2))
    assert texts(late) == ["half a sentence"]


def test_text_that_readers_may_not_see_yet_is_not_begun_twice() -> None:
    log = EventLog(100, hold_back=True)
    log.append(e.Text(text="before", seq=1))
    log.show(1)
    streamed("one", log=log)
    log.append(e.Text(text="one", seq=2))
    streamed("two", log=log)
    reader = log.reader(after=1)
    assert texts(reader) == ["one"]
    log.show(2)
    assert texts(reader) == ["one", "two"]
    assert texts(log.reader(after=2)) == ["two"]


def test_reader_who_comes_while_all_that_is_kept_is_held_back_waits() -> None:
    log = EventLog(3, hold_back=True)
    log.append(e.Text(text="before", seq=1))
    log.show(1)
    log.append(e.Text(text="one", seq=2))  # the disk takes its time
    streamed("a", "b", "c", "d", log=log)
    reader = log.reader(after=1)
    assert texts(reader) == []
    log.show(2)
    assert texts(reader)[0] == "one"


def test_reader_that_knows_more_than_is_shown_gets_no_text_again() -> None:
    log = EventLog(100, hold_back=True)
    streamed("one", log=log)
    log.append(e.Text(text="one", seq=1))
    assert texts(log.reader(after=1)) == []

"""Measures the page in Chromium: when a delta is painted, and what a phone makes of long sessions.

Where a figure is a ratio of two of the page's own, the raw side is the smaller one: a session of a
hundred events for one of a hundred thousand.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from bench.base import Samples, Size
from bench.browser import opened_page
from bench.host_work import LAST_WORDS, LONG, fill
from bench.server import Sessions, ages, of_fake
from bench.serving import Server, serve

__all__ = ["PROBES"]

SHORT = "session-0"
SHORT_TURNS = 2
"""Of 45 events each."""

STATE = Path("state-of-page").absolute()

STREAMS = 8
WORDS_A_STEP = 1_000


async def painted(server: Server, sessions: Sessions, text: str, count: int) -> list[float]:
    """See `Hear`: the page, which shows the first of the sessions."""
    async with opened_page(server) as tab:
        await tab.go(f"#/s/{sessions.ids[0]}", ".stream[aria-busy=false]")
        await tab.page.evaluate(WATCH)
        # The page tells the time since 1970, and a stamp the time since the machine was started.
        began = time.time_ns() - time.monotonic_ns()
        await sessions.say(text)
        await tab.page.wait_for_function("n => seen.length >= n", arg=count, polling=200)
        seen = await tab.page.evaluate("seen")
    return [(at - (int(stamp) + began) / 1e6) / 1e3 for at, stamp in seen]


WATCH = r"""() => {
  window.seen = [];
  let block = null, known = 0;
  const painted = new MessageChannel();  // what it tells comes behind the frame
  painted.port1.onmessage = () => {
    const now = performance.timeOrigin + performance.now();
    const last = [...document.querySelectorAll('.stream .prose')].at(-1);
    if (last !== block) [block, known] = [last, 0];
    for (const [stamp] of (block?.textContent ?? '').slice(known).matchAll(/\d{19}/g)) {
      seen.push([now, stamp]);
      known = block.textContent.indexOf(stamp, known) + stamp.length;
    }
  };
  new MutationObserver(() => painted.port2.postMessage(0)).observe(
    document.body, {subtree: true, childList: true, characterData: true});
}"""


# Long sessions ------------------------------------------------------------------------------


async def _filled(size: Size) -> None:
    os.environ["XDG_STATE_HOME"] = str(STATE)
    if not STATE.exists():
        await fill(STATE / "midflight", STREAMS, SHORT_TURNS, size.long)


async def opened(side: str, size: Size) -> Samples:
    """How long it takes a slow phone from the press until a session's last words are painted."""
    await _filled(size)
    name = SHORT if side == "raw" else LONG
    took: list[float] = []
    async with serve() as server, opened_page(server) as tab:
        await tab.slow_down()
        for number in range(size.starts + 1):
            took.append(await tab.page.evaluate(OPEN, [f"#/s/{name}", LAST_WORDS]) / 1e3)
            await tab.go("#/", "main.overview")
            if not number and size.warm_up:
                took.clear()  # the first one compiles
    return {"opened": took}


OPEN = """([path, words]) => new Promise((resolve) => {
  const began = performance.now();
  const painted = new MessageChannel();
  painted.port1.onmessage = () => resolve(performance.now() - began);
  const look = new MutationObserver(() => {
    if (!document.querySelector('.stream')?.textContent.includes(words)) return;
    look.disconnect();
    painted.port2.postMessage(0);
  });
  look.observe(document.body, {subtree: true, childList: true, characterData: true});
  location.hash = path;
})"""


async def scrolled(side: str, size: Size) -> Samples:
    """The longest time without a frame while a finger scrolls up, through what has to be loaded."""
    assert side == "midflight"
    await _filled(size)
    pixels = 30_000 if size.warm_up else 1_000
    async with serve() as server, opened_page(server) as tab:
        asked: list[str] = []
        await tab.go(f"#/s/{LONG}", f".stream >> text={LAST_WORDS}")
        await tab.slow_down()
        tab.page.on("request", lambda request: asked.append(request.url))
        await asyncio.sleep(1)
        await tab.page.evaluate(FRAMES)
        for way in (pixels, -pixels // 3):
            await tab.ask(
                "Input.synthesizeScrollGesture",
                {"x": 195, "y": 300, "yDistance": way, "speed": 3_000, "preventFling": True},
            )
        gaps = await tab.page.evaluate("gaps")
        nodes = (await tab.held())[1]
    assert any("/events?after" in url for url in asked) or not size.warm_up
    return {"scrolled": [round(max(gaps)) / 1e3], "scrolled_nodes": [nodes]}


FRAMES = """() => {
  window.gaps = [];
  let last = null;
  const frame = (now) => {
    if (last !== null) gaps.push(now - last);
    last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


# Streams ------------------------------------------------------------------------------------


async def streams(side: str, size: Size) -> Samples:
    """What the page takes of a processor while eight sessions stream and one is open.

    Chromium slows a page down by keeping the processor busy: one at rest would take most of it.
    """
    assert side == "midflight"
    count, seconds = (STREAMS, 8.0) if size.warm_up else (1, 1.0)
    async with of_fake(count) as sessions, serve() as server, opened_page(server) as tab:
        await tab.go(f"#/s/{sessions.ids[0]}", ".stream[aria-busy=false]")
        await sessions.say(f"prose {int(seconds * 100) + 500} 10")
        await tab.page.wait_for_selector(".stream .prose.caret")
        await asyncio.sleep(2 if size.warm_up else 0)  # what it took to open is another figure
        began, before = time.perf_counter(), await tab.used()
        await asyncio.sleep(seconds)
        used = (await tab.used() - before) / (time.perf_counter() - began)
    return {"streams": [used]}


async def lapse(side: str, size: Size) -> Samples:
    """What the page holds after an hour's deltas, which come faster, beside a quarter of them."""
    assert side == "midflight"
    steps = max(4, size.lapse // WORDS_A_STEP)
    async with of_fake(1) as sessions, serve() as server, opened_page(server) as tab:
        await tab.go(f"#/s/{sessions.ids[0]}", ".stream[aria-busy=false]")
        held: list[tuple[float, float]] = []
        for turn, share in ((2, steps // 4), (3, steps - steps // 4)):
            await sessions.say(f"hour {share} {min(WORDS_A_STEP, size.lapse // 4)}")
            await tab.page.wait_for_selector(f".stream >> text=Turn {turn} done")
            held.append(await tab.held())
    (quarter, _), (end, nodes) = held
    return {"lapse": [max(0.0, end - quarter)], "lapse_nodes": [nodes]}


# Its bytes ----------------------------------------------------------------------------------


async def arrived(side: str, size: Size) -> Samples:
    """What is sent before the page is painted for the first time."""
    assert side == "midflight"
    await _filled(size)
    async with serve() as server, opened_page(server) as tab:
        return {"bytes": [await tab.page.evaluate(BYTES)]}


BYTES = """() => {
  const [first] = performance.getEntriesByName('first-contentful-paint');
  const sent = ['navigation', 'resource'].flatMap((type) => performance.getEntriesByType(type));
  return sent.filter((each) => each.responseEnd <= first.startTime)
    .reduce((sum, each) => sum + each.encodedBodySize, 0);
}"""


PROBES: dict[str, Callable[[str, Size], Awaitable[Samples]]] = {
    "painted": partial(ages, hear=painted),
    "opened": opened,
    "scrolled": scrolled,
    "streams": streams,
    "lapse": lapse,
    "arrived": arrived,
}

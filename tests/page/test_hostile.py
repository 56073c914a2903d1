"""Text that somebody else has written is shown, and nothing of it runs: on every screen."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route, expect
from tests.faults.manifest import fault
from tests.page.conftest import OpenPage
from tests.support.events import of, read

from midflight import events as e
from midflight.errors import MidflightError
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall, Words

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]

GOLDEN = Path(__file__).parents[1] / "golden" / "events.json"

HOSTILE = (
    "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    "[a](javascript:document.title='owned') \u202eevil\u2066 \x1b[2J ${1+1} {{1+1}} </textarea>"
)


@fault("S5")
async def test_hostile_text_is_shown_and_runs_nothing(begin: Begin, open_page: OpenPage) -> None:
    question = {
        "question": HOSTILE,
        "header": HOSTILE,
        "options": [{"label": HOSTILE}, {"label": "b"}],
    }
    steps = [
        [Words(HOSTILE), ToolCall("Bash", {"command": HOSTILE})],
        ToolCall("Write", {"file_path": f"{HOSTILE.replace('/', '')}.md", "content": HOSTILE}),
        ToolCall("AskUserQuestion", {"questions": [question]}),
        Text(
            f"# {HOSTILE}\n\n```{HOSTILE}\n{HOSTILE}\n```\n\n| a | b |\n|--|--|\n| {HOSTILE} | c |"
        ),
    ]
    _, session = await begin(*steps, task=HOSTILE, name="hostile")
    page = await open_page("s/hostile")
    log = page.get_by_role("log")
    for shown in (0, 1):
        await expect(page.locator(".request.open .boxed").first).to_be_visible()
        await page.locator(".request.open .buttons .act").click()
        await expect(log.get_by_text("Allowed", exact=True)).to_have_count(shown + 1)
    await page.get_by_text("Or answer").or_(page.locator(".options button").first).first.wait_for()
    await page.locator(".options button").first.click()
    await expect(log.locator("table")).to_be_visible()
    await page.goto(f"{page.url.partition('#')[0]}#/sessions")
    await expect(page.get_by_role("link", name="hostile").first).to_be_visible()
    await nothing_ran(page)
    assert of(e.TurnEnded, await read(session))


UNFOLD = "document.querySelectorAll('[aria-expanded=false]').forEach((one) => one.click())"


BARE = r"""[...document.querySelectorAll('#page *')].flatMap((one) => [...one.childNodes])
  .filter((one) => one.nodeType === Node.TEXT_NODE && /[\u202e\u2066\x1b]/.test(one.data))
  .map((one) => one.parentElement.outerHTML.slice(0, 300))"""
"""The texts with characters that have no visible form and do not stand in a box."""


async def nothing_ran(page: Page) -> None:
    """Look for what markup would have left; the policy's reports are looked at for every page."""
    assert "owned" not in await page.title()
    assert await page.evaluate(BARE) == []
    assert await page.locator("#page script, #page img, #page a[href^=javascript]").count() == 0


def hostile(value: Any) -> Iterator[Any]:
    """Yield a value again and again, with one more of the texts in it replaced each time."""
    if isinstance(value, str):
        yield HOSTILE
    elif isinstance(value, dict):
        for name, inner in value.items():
            for changed in hostile(inner):
                yield value | {name: changed}
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            for changed in hostile(inner):
                yield [*value[:place], changed, *value[place + 1 :]]


def whole(event: dict[str, Any]) -> dict[str, Any]:
    """Return an event with every text of it replaced that can be any text."""
    number = 0
    while len(variants := list(hostile(event))) > number:
        changed = variants[number]
        number += 1
        kept = all(changed[name] == event[name] for name in ("type", "session"))
        try:
            e.decode(json.dumps(changed).encode())
        except (MidflightError, ValueError):
            continue
        event = changed if kept else event
    return event


def every_event() -> list[dict[str, Any]]:
    """Return an event of every kind, in the order of a turn, for the session ``s1``."""
    golden = list(json.loads(GOLDEN.read_text("utf-8")).values())
    last = ("turn.ended", "session.ended")
    golden.sort(key=lambda event: event["type"] in last)
    begun = {"turn": 1, "time": 1.5, "parent": None, "session": "s1"}
    events = [whole(event | begun) for event in golden]
    for seq, event in enumerate(events, 1):
        event["seq"] = None if event["seq"] is None else seq
    return events


@fault("S5")
async def test_hostile_text_in_every_field_of_every_event_runs_nothing(
    open_page: OpenPage,
) -> None:
    events = every_event()
    assert {event["type"] for event in events} == e.TYPES
    asked = [event for event in events if event["type"].endswith(".requested")]
    info: dict[str, Any] = {
        "id": "s1",
        "name": HOSTILE,
        "agent": HOSTILE,
        "model": HOSTILE,
        "cwd": HOSTILE,
    }
    info |= {"status": "waiting", "pending": asked, "last": HOSTILE, "rules": [HOSTILE]}
    info |= {"turns": 1, "total_cost_usd": None, "limits": {}, "created": 1.0, "updated": 1.0}
    info |= {"host": HOSTILE, "parent": None, "seq": 100, "label": HOSTILE, "waits_for": HOSTILE}
    info["repository"] = {"remote": HOSTILE, "ref": HOSTILE, "machine": HOSTILE, "problem": HOSTILE}
    changes: dict[str, Any] = {"commit": HOSTILE, "files": HOSTILE, "left_out": 0}
    name = HOSTILE.replace("\n", " ")
    changes["diff"] = (
        f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -1 +1 @@\n-{name}\n+{name}\n"
    )
    capabilities = {"capabilities": {HOSTILE: "not"}, "permission_mode": HOSTILE}
    answers: dict[str, Any] = {
        "": [info],
        "/s1": info,
        "/s1/agent": capabilities,
        "/s1/diff": changes,
    }

    async def answer(route: Route) -> None:
        path = route.request.url.partition("/sessions")[2].partition("?")[0]
        durable = [event for event in events if event["seq"] is not None]
        found = durable if path == "/s1/events" and "after=0" in route.request.url else []
        await route.fulfill(json=answers.get(path, found))

    async def stream(route: Route) -> None:
        frames = ["event: begin\nid: 1\ndata: {}\n\n"]
        if "live=" in route.request.url:
            frames += [f"data: {json.dumps(event)}\n\n" for event in events]
        await route.fulfill(content_type="text/event-stream", body="".join(frames))

    page = await open_page()
    await page.context.route("**/sessions*", answer)
    await page.context.route("**/sessions/**", answer)
    await page.context.route("**/events?*", stream)
    await page.reload()
    await expect(page.get_by_text("onerror").first).to_be_visible()
    await nothing_ran(page)
    for place in ("sessions", "s/s1", "s/s1/diff"):
        await page.evaluate("place => { location.hash = '/' + place }", place)
        await expect(page.get_by_role("main").get_by_text("onerror").first).to_be_visible()
        await nothing_ran(page)
        await page.evaluate(UNFOLD)
        await nothing_ran(page)

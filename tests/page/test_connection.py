"""Tabs, devices and servers come and go: every page misses nothing and has nothing twice."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect
from tests.faults.manifest import fault
from tests.page.conftest import OpenPage
from tests.server.conftest import Server
from tests.support.events import PATIENCE_S, until
from tests.support.program import Program, watched

from midflight import events as e
from midflight.client.client import Client
from midflight.host.http.logins import Logins
from midflight.journal import JournalLocation
from midflight.session.session import Session
from midflight.testing import FakeModel, Text, ToolCall

Begin = Callable[..., Awaitable[tuple[FakeModel, Session]]]


@pytest.fixture(autouse=True)
def patient() -> None:
    """Leave many pages their time: each wait here has a bound of its own."""


HIDES = """
window.isHidden = false;
window.hide = (hidden) => {
  window.isHidden = hidden;
  document.dispatchEvent(new Event('visibilitychange'));
};
Object.defineProperty(document, 'visibilityState', {get: () => isHidden ? 'hidden' : 'visible'});
const frame = requestAnimationFrame;
window.requestAnimationFrame = (paint) => isHidden ? 0 : frame(paint);
"""
"""A driven browser hides no tab by itself. A hidden one is drawn no frames."""

ONCE = """texts => texts.every((text) =>
  document.querySelector('[role=log]').innerText.split(text).length === 2)"""

NOTIFIED = """async (text) => {
  const worker = await navigator.serviceWorker.ready;
  const shown = await worker.getNotifications();
  return shown.length === 1 && shown[0].title === text;
}"""


async def say(page: Page, name: str, text: str) -> None:
    """Send a text to the session that is open, and see it there."""
    box = page.get_by_role("textbox", name=f"Message to {name}")
    await box.fill(text)
    await box.press("Enter")
    await expect(page.get_by_role("log")).to_contain_text(text)


def age(state: Path, session: str) -> None:
    """Have a session rest for long: no cursor tells then that it was removed."""
    with contextlib.closing(sqlite3.connect(state / "journal.sqlite")) as journal, journal:
        journal.execute("update sessions set updated = 0 where id = ?", [session])


@pytest.mark.timeout(120)
async def test_seven_tabs_share_a_few_streams_and_one_tells_while_all_are_hidden(
    begin: Begin,
    open_page: OpenPage,
    server: Server,
    client: Client,
    state: Path,
) -> None:
    await begin(lambda _: Text("done"), name="seven")
    _, gone = await begin(name="gone")
    await asyncio.to_thread(age, state, gone.id)
    first = await open_page("s/seven")
    await first.context.grant_permissions(["notifications"])
    await first.context.add_init_script(HIDES)
    await first.reload()
    tabs = [first, *[await first.context.new_page() for _ in range(6)]]
    said = [f"from tab {number}" for number, _ in enumerate(tabs)]
    for tab, text in zip(tabs, said, strict=True):
        if tab is not first:
            await tab.goto(f"{server.url}/#/s/seven")
        await say(tab, "seven", text)
    for tab in tabs:
        await tab.wait_for_function(ONCE, arg=said)
        await tab.evaluate("hide(true)")
    await client.remove(gone.id)
    await begin(ToolCall("Bash", {"command": "touch it"}), task="go", name="asks")
    await first.wait_for_function(NOTIFIED, arg="asks asks: run a command")
    await expect(first).to_have_title("(1) midflight")
    last = tabs[-1]
    await last.evaluate("hide(false)")
    await expect(last).to_have_title("(1) midflight")
    await say(last, "seven", "after all")
    await last.wait_for_function(ONCE, arg=[*said, "after all"])
    rail = last.get_by_role("navigation", name="Sessions")
    await expect(rail.get_by_role("link", name="asks")).to_be_visible()
    await expect(rail.get_by_role("link", name="gone")).to_have_count(0)


BANNER = """begun = Date.now();
shownAfter = null;
new MutationObserver((_, me) => {
  if (!document.querySelector('.banner')) return;
  shownAfter = Date.now() - begun;
  me.disconnect();
}).observe(document.body, {subtree: true, childList: true});"""


@contextlib.asynccontextmanager
async def served(state: Path, folder: Path, port: int = 0) -> AsyncIterator[str]:
    """Run ``midflight serve`` as a program, and kill it at the end."""
    env = {"HOME": str(folder), **watched()}
    words = ["serve", "--port", str(port), "--journal", str(state)]
    program = await Program.start(words, env, folder)
    try:
        assert program.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            line = await program.process.stdout.readline()
        assert line.startswith(b"serving at "), line
        yield line.split()[-1].decode()
    finally:
        program.process.kill()
        await program.done()


@fault("N1", "N7")
@pytest.mark.timeout(120)
async def test_page_outlives_a_cut_and_a_server_that_is_killed_and_started_anew(
    begin: Begin, open_page: OpenPage, state: Path, tmp_path: Path
) -> None:
    _, session = await begin(lambda _: Text("done"), name="cut")
    banner = "No connection since"
    async with served(state, tmp_path) as url:
        page = await open_page("s/cut", url=url)
        box = page.get_by_role("textbox", name="Message to cut")
        await say(page, "cut", "before")
        await page.context.set_offline(True)
        await page.evaluate("dispatchEvent(new Event('online'))")  # what was open is cut too
        await session.send("while it is cut")
        await expect(page.get_by_role("status")).to_contain_text(banner)
        await box.fill("typed into the gap")
        await box.press("Enter")
        await expect(page.locator(".queue")).to_contain_text("Not sent yet")
        await page.context.set_offline(False)
        said = ["before", "while it is cut", "typed into the gap"]
        await page.wait_for_function(ONCE, arg=said)
        await box.fill("half a thought")
        await expect(page.get_by_role("status")).to_have_count(0)
        await page.evaluate(BANNER)
    await session.send("while it is dead")
    await expect(page.get_by_role("status")).to_contain_text(banner)
    assert await page.evaluate("shownAfter") > 3_000
    async with served(state, tmp_path, int(url.rpartition(":")[2])):
        await page.wait_for_function(ONCE, arg=[*said, "while it is dead"])
        assert await page.evaluate("shownAfter")  # it is the same page
        await expect(box).to_have_value("half a thought")


PRESENT = """[location.href, document.referrer, String(history.length), ...performance
  .getEntriesByType('resource').map((one) => one.name)].join(' ')"""


@fault("S1", "S4")
async def test_withdrawn_device_is_shown_the_door_and_finds_back_by_a_new_link(
    begin: Begin, open_page: OpenPage, state: Path
) -> None:
    write = ToolCall("Bash", {"command": "touch it"})
    _, session = await begin(write, Text("done"), Text("more"), task="go", name="asks")
    asked = await until(session, e.PermissionRequested)
    desk = await open_page()
    phone = await open_page(f"s/{session.id}?request={asked.request}", device="phone")
    for page in (desk, phone):
        await expect(page.get_by_text("Run a command?")).to_be_visible()
    logins = Logins(JournalLocation(state))
    logins.forget("phone")
    await session.send("next", delivery="queue")
    await expect(phone.get_by_role("main")).to_contain_text("This device was withdrawn")
    assert "touch it" not in await phone.inner_text("body")
    code = logins.link("phone")
    await phone.get_by_role("textbox", name="The link, or its code").fill(code)
    await phone.get_by_role("button", name="Open").click()
    await expect(phone.get_by_text("Run a command?")).to_be_visible()
    await desk.get_by_role("button", name="Allow y").click()
    await expect(phone.get_by_role("log")).to_contain_text("done")
    secret = await phone.evaluate("localStorage.getItem('midflight.secret')")
    present = await phone.evaluate(PRESENT)
    assert secret not in present
    assert code not in present
    assert "#code=" not in present

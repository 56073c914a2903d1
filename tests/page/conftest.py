"""A real browser over a server of this process, with the fixtures of servers and hosts."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect
from playwright.async_api import TimeoutError as PlaywrightTimeout
from tests.server.conftest import (
    Server,
    attach,
    begin,
    client,
    fake_model,
    host,
    open_host,
    patient,
    server,
    state,
)
from tests.support.events import PATIENCE_S

from midflight.agents.process.reaper import MARKER, Reaper
from midflight.host.http.logins import Logins
from midflight.journal import JournalLocation

__all__ = [
    "attach",
    "begin",
    "client",
    "fake_model",
    "host",
    "open_host",
    "patient",
    "server",
    "state",
]

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")

DESK, PHONE = (1440, 900), (390, 844)

expect.set_options(timeout=PATIENCE_S * 1000)  # its own five seconds are few on a busy machine

FIRST_MS = 15_000
"""How long the browser may take at the first try; a busy one takes ten seconds at most."""

OpenPage = Callable[..., Awaitable[Page]]

_WATCH = """
window.violations = [];
addEventListener('securitypolicyviolation', (event) =>
  window.violations.push(event.violatedDirective + ' ' + event.blockedURI));
"""


@pytest.fixture(scope="session")
def browser_address() -> Iterator[str]:
    """Run one Chromium for all tests; return where it can be driven."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        if os.environ.get("MIDFLIGHT_TEST_ALL_AGENTS"):
            pytest.fail("Chromium is missing: scripts/test installs it")
        pytest.skip("Chromium is missing")
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        marker = uuid.uuid4().hex
        command = [program, *OPTIONS, f"--user-data-dir={profile}"]
        browser, address = _detached(command, profile, marker)
        reaper = Reaper(os.getpgid(browser.pid), marker, Path(profile))  # if the tests are killed
        try:
            yield address
        finally:
            tree = [*browser.children(recursive=True), browser]
            for process in tree:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(tree, timeout=PATIENCE_S)
            reaper.let_go()


def _detached(command: list[str], home: str, marker: str) -> tuple[psutil.Process, str]:
    """Start a browser that is nobody's child, for it outlives the test that needs it first.

    Returns where it can be driven, too: it says so itself when it can.
    """
    env = {"HOME": home, "PATH": os.environ["PATH"], "LANG": "C.UTF-8", MARKER: marker}
    reading, writing = os.pipe()
    with os.fdopen(reading) as said:
        subprocess.run(
            ["/bin/sh", "-c", '"$@" >/dev/null </dev/null & echo $! >&2', "sh", *command],
            env=env,
            start_new_session=True,
            stderr=writing,
            check=True,
        )
        os.close(writing)
        lines = iter(said.readline, "")
        number = next(line for line in lines if line.strip().isdigit())
        address = next(found[1] for line in lines if (found := _LISTENS.search(line)))
    return psutil.Process(int(number)), f"http://{address}"


_LISTENS = re.compile(r"DevTools listening on ws://([^/]+)/")


@pytest.fixture
async def browser(browser_address: str) -> AsyncIterator[Browser]:
    """Drive the browser from this test's event loop."""
    async with async_playwright() as playwright:
        try:
            browser = await playwright.chromium.connect_over_cdp(browser_address, timeout=FIRST_MS)
        except PlaywrightTimeout:  # it waits in vain for a target that went just then
            browser = await playwright.chromium.connect_over_cdp(browser_address)
        yield browser


@pytest.fixture
async def open_page(server: Server, browser: Browser, state: Path) -> AsyncIterator[OpenPage]:
    """Return a function that opens the page on a new device; nothing may go wrong on any."""
    wrong: list[str] = []
    pages: list[Page] = []
    logins = Logins(JournalLocation(state))
    async with contextlib.AsyncExitStack() as stack:

        async def start(
            path: str = "",
            size: tuple[int, int] = DESK,
            scheme: Any = "light",
            device: str = "a desk",
            url: str = server.url,
            **options: Any,
        ) -> Page:
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]},
                color_scheme=scheme,
                is_mobile=size[0] < DESK[0],
                has_touch=size[0] < DESK[0],
                **options,
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(PATIENCE_S * 1000)
            await context.add_init_script(_WATCH)
            page = await context.new_page()
            page.on("pageerror", lambda error: wrong.append(str(error)))
            await page.goto(f"{url}/#code={logins.link(device)}")
            await expect(page.get_by_role("main")).not_to_contain_text("once for each device")
            await page.evaluate("path => { location.hash = '/' + path }", path)
            pages.append(page)
            return page

        yield start
        for page in pages:
            wrong += await page.evaluate("window.violations")
        assert not wrong

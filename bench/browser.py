"""Chromium with the page in it, as a phone that is four times as slow as this machine."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import AsyncIterator, Mapping
from typing import Any

from playwright.async_api import Page, ViewportSize, async_playwright

from bench.serving import PATIENCE_S, Server

__all__ = ["Tab", "opened_page"]

PHONE: ViewportSize = {"width": 390, "height": 844}
SLOWED = 4


class Tab:
    """One tab of a browser."""

    def __init__(self, page: Page, own: Any, browser: Any) -> None:
        self.page = page
        self._own = own
        self._browser = browser

    async def ask(self, method: str, given: Mapping[str, Any] | None = None) -> Any:
        """Have the tab do something by Chromium's own protocol."""
        return await self._own.send(method, dict(given or {}))

    async def slow_down(self) -> None:
        """Be as slow as a phone."""
        await self.ask("Emulation.setCPUThrottlingRate", {"rate": SLOWED})

    async def used(self) -> float:
        """Return the processor time of what runs and paints the page, in seconds."""
        told = await self._browser.send("SystemInfo.getProcessInfo")
        each_used = (each["cpuTime"] for each in told["processInfo"] if each["type"] == "renderer")
        return float(sum(each_used))

    async def held(self) -> tuple[float, float]:
        """Return the bytes of the page's objects, and how many nodes it has."""
        await self.ask("HeapProfiler.collectGarbage")
        told = await self.ask("Performance.getMetrics")
        found = {each["name"]: each["value"] for each in told["metrics"]}
        return found["JSHeapUsedSize"], found["Nodes"]

    async def go(self, path: str, shows: str) -> None:
        """Go to a screen, and wait until it shows something."""
        await self.page.evaluate("path => { location.hash = path }", path)
        await self.page.wait_for_selector(shows)


@contextlib.asynccontextmanager
async def opened_page(server: Server) -> AsyncIterator[Tab]:
    """Open the page of a server on a device of its own."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is missing: scripts/test installs it"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", "--disable-gpu"]
        )
        page = await browser.new_page(viewport=PHONE, is_mobile=True, has_touch=True)
        page.set_default_timeout(PATIENCE_S * 1000)
        own = await page.context.new_cdp_session(page)
        await own.send("Performance.enable")
        await page.goto(await server.link())
        await page.wait_for_selector("main.overview, main.narrow:not([aria-busy])")
        yield Tab(page, own, await browser.new_browser_cdp_session())
        await browser.close()

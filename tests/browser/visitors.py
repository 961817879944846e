"""People with a browser, watched: what their browsers ask for, and what they complain about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response

CHROMIUM = os.environ.get("COINS_TEST_CHROMIUM") or shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    # The same letters on every computer.
    "--font-render-hinting=none",
    "--disable-lcd-text",
]
HEADER, POLICY = "content-security-policy", "default-src 'self'"
PATIENCE = 20_000
PHONE = {"width": 320, "height": 640}
DESKTOP = {"width": 1280, "height": 900}


@contextmanager
def launch() -> Iterator[Browser]:
    """Debian's Chromium, or the one that COINS_TEST_CHROMIUM names."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Visitor:
    """Somebody with a browser profile of their own, on the site at ``url``."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.context, self.url = context, url
        self.asked: list[str] = []
        self.complaints: list[str] = []
        context.on("request", lambda request: self.asked.append(request.url))
        context.on("response", self._note_response)
        context.on("console", self._note_message)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def _note_response(self, response: Response) -> None:
        asked_for = response.request.resource_type
        if asked_for == "document" and POLICY not in response.headers.get(HEADER, ""):
            self.complaints.append(f"no policy for {response.url}")
        if response.status >= 500 or (
            response.status >= 400 and asked_for not in ("document", "fetch", "xhr")
        ):
            self.complaints.append(f"{response.status} for {response.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        # A refusal's status is told here too; _note_response knows which of them are none.
        refusal = message.text.startswith("Failed to load resource: the server responded")
        if message.type in ("error", "warning") and not refusal:
            self.complaints.append(message.text)

    def open(self, path: str) -> Page:
        """A new tab with the page at ``path``."""
        page = self.context.new_page()
        page.goto(self.url + path)
        return page

    def pay(self, *reasons: str) -> None:
        """On the plain host: be paid 10 coins for each of ``reasons``, without a page."""
        form = {"reasons": " ".join(reasons), "stay": "yes"}
        assert self.context.request.post(f"{self.url}/pay", form=form).ok

    def judge(self) -> None:
        """Fail if any page asked another host for something, or if the browser complained.

        What a strict policy forbids is among its complaints: no page came without one.
        """
        elsewhere = {
            each
            for each in self.asked
            if urlsplit(each).scheme != "data" and not each.startswith(self.url + "/")
        }
        assert not elsewhere, elsewhere
        assert not self.complaints, self.complaints


@contextmanager
def visitor(browser: Browser, url: str, **options: Any) -> Iterator[Visitor]:
    """A visitor until the ``with`` block ends; ``options`` are those of ``browser.new_context``."""
    context = browser.new_context(
        **{"viewport": DESKTOP, "locale": "en-GB", "timezone_id": "UTC", **options}
    )
    context.set_default_timeout(PATIENCE)
    someone = Visitor(context, url)
    try:
        yield someone
    finally:
        context.close()
    someone.judge()

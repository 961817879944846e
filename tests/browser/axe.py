"""What axe-core finds wrong with a page for people who cannot see it, or cannot use a mouse."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

RULES = {
    "runOnly": [
        "wcag2a",
        "wcag2aa",
        "wcag21a",
        "wcag21aa",
        "wcag22aa",
        "best-practice",
    ],
    "resultTypes": ["violations"],
}


def violations(page: Page) -> list[str]:
    """One line for each element that breaks a rule: the rule, and the element's tag."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {node['html'][:200]}"
        for each in found
        for node in each["nodes"]
    ]


def faults(page: Page, url: str) -> Iterator[str]:
    """What is wrong with the page at ``url``: axe's findings, and a width that needs scrolling."""
    page.goto(url)
    yield from (f"{url} {each}" for each in violations(page))
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        yield f"{url} is wider than the window"

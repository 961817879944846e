"""A page without a mouse: where the Tab key leads, and whether one sees where one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Marks what a keyboard must reach, and counts it.
MARK = """() => {
    const wanted = [...document.querySelectorAll(
        "a[href], button:enabled, input:enabled:not([type=hidden]), select:enabled," +
        " textarea:enabled, summary, [tabindex='0']"
    )].filter(each => each.checkVisibility({visibilityProperty: true}));
    wanted.forEach((each, number) => each.dataset.tab = number);
    return wanted.length;
}"""
WHERE = """() => {
    const here = document.activeElement, style = getComputedStyle(here);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return {
        number: here.dataset.tab ?? null,
        seen: outlined || style.boxShadow !== "none",
        html: here.outerHTML.slice(0, 120),
    };
}"""


def obstacles(page: Page) -> Iterator[str]:
    """What the Tab key does not reach, and what does not show that it has the focus."""
    wanted, reached = page.evaluate(MARK), []
    for _ in range(wanted + 2):
        page.keyboard.press("Tab")
        here = page.evaluate(WHERE)
        if here["number"] is None:
            continue
        reached.append(int(here["number"]))
        if not here["seen"]:
            yield f"no focus to be seen: {here['html']}"
    if missed := set(range(wanted)) - set(reached):
        yield from (
            "not reached: "
            + page.locator(f'[data-tab="{number}"]').evaluate(
                "each => each.outerHTML.slice(0, 120)"
            )
            for number in sorted(missed)
        )

"""A page without a mouse: where the Tab key leads, and whether one sees where one is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# Marks what the Tab key must reach, and counts it. Arrows lead from one radio button to the next.
MARK = """() => {
    const wanted = [...document.querySelectorAll(
        "a[href], button:enabled, input:enabled:not([type=hidden], [type=radio]:not(:checked)), select:enabled," +
        " textarea:enabled, summary, [tabindex='0']"
    )].filter(each => each.checkVisibility({visibilityProperty: true}));
    wanted.forEach((each, number) => each.dataset.tab = number);
    return wanted.length;
}"""
# A date is entered in parts, and the browser itself marks the one that has the focus.
WHERE = """() => {
    const here = document.activeElement, style = getComputedStyle(here);
    const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return {
        number: here.dataset.tab ?? null,
        seen: outlined || style.boxShadow !== "none" || here.type === "date",
        html: here.outerHTML.slice(0, 120),
    };
}"""


def obstacles(page: Page) -> Iterator[str]:
    """What the Tab key does not reach, and what does not show that it has the focus."""
    missed = set(range(page.evaluate(MARK)))
    for _ in range(5 * len(missed)):
        page.keyboard.press("Tab")
        here = page.evaluate(WHERE)
        if here["number"] is None:
            break
        missed.discard(int(here["number"]))
        if not here["seen"]:
            yield f"no focus to be seen: {here['html']}"
    for number in sorted(missed):
        yield "not reached: " + page.evaluate(
            "number => document.querySelector(`[data-tab='${number}']`).outerHTML.slice(0, 120)",
            number,
        )

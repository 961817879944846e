"""Everybody can use each page: by eye or ear, at night, on a phone, with an enlarged font."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from .axe import violations
from .visitors import DESKTOP, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

STRANGERS = ["/", "/signup", "/login"]
OWN = ["/", "/goals/", "/exams/", "/exams/1", "/paragraphs/", "/bosses/", "/account"]


@pytest.mark.parametrize("viewport", [DESKTOP], ids=["desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    visit: Callable[..., Visitor], viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme)
    stranger = visitor.open("/")
    found = [fault for path in STRANGERS for fault in faults(visitor, stranger, path)]
    page = visitor.sign_up()
    found += [fault for path in OWN for fault in faults(visitor, page, path)]
    assert not found


def faults(visitor: Visitor, page: Page, path: str) -> Iterator[str]:
    """What is wrong with the page at ``path``: axe's findings, and whether it is too wide."""
    page.goto(visitor.url + path)
    yield from (f"{path} {each}" for each in violations(page))
    if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        yield f"{path} is wider than the window"

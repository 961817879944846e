"""The pages as they come, in a host that has no layout of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from flask import Flask

from .axe import faults
from .keyboard import obstacles
from .plain import PAGES
from .site import Site
from .visitors import DESKTOP, PHONE, Visitor

pytestmark = pytest.mark.browser
NO_PAGES = {
    "coins.static",
    "coins.admin_entries_csv",
    "coins.history_csv",
    "coins.leaderboard_hidden",
}


def test_every_page_is_looked_at(plain_site: Site) -> None:
    assert set(PAGES) == set(pages_of(plain_site.app))


def pages_of(app: Flask) -> set[str]:
    return {
        rule.endpoint
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("coins.")
        and not rule.endpoint.startswith("coins.api_")
        and "GET" in (rule.methods or ())
    } - NO_PAGES


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize(("scheme", "locale"), [("light", "en-GB"), ("dark", "de-DE")])
def test_axe_finds_nothing(
    visit_plain: Callable[..., Visitor], viewport: dict[str, int], scheme: str, locale: str
) -> None:
    visitor = visit_plain("root", viewport=viewport, color_scheme=scheme, locale=locale)
    page = visitor.open("/")
    found = [each for path in PAGES.values() for each in faults(page, visitor.url + path)]
    assert not found


def test_the_tab_key_reaches_everything_and_shows_where_it_is(
    visit_plain: Callable[..., Visitor],
) -> None:
    visitor = visit_plain("root")
    page, found = visitor.open("/"), []
    for path in PAGES.values():
        page.goto(visitor.url + path)
        found += [f"{path}: {each}" for each in obstacles(page)]
    assert not found

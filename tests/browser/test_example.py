"""Every page of the example app, for everybody."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .axe import faults
from .keyboard import obstacles
from .learning import Learner
from .site import Site
from .visitors import DESKTOP, PHONE, Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
STRANGERS = {
    "home.dashboard": "/",
    "auth.signup": "/signup",
    "auth.login": "/login",
    "none": "/nowhere",
}
LEARNERS = {
    "home.dashboard": "/",
    "home.account": "/account",
    "goals.index": "/goals/",
    "exams.index": "/exams/",
    "exams.show": "/exams/1",
    "paragraphs.index": "/paragraphs/",
    "bosses.index": "/bosses/",
    "streaks.index": "/streak/",
    "shop.index": "/shop/",
    "friends.index": "/friends/",
    "coins.wallet": "/coins/",
    "coins.leaderboard": "/coins/leaderboard",
}
"""The pages by their endpoints."""
NO_PAGES = {
    "static",
    "coins.static",
    "home.history",
    "health.check",
    "coins.leaderboard_hidden",
    "coins.history_csv",
}


@pytest.fixture
def ann(learner: Callable[..., Learner]) -> Learner:
    """A learner who has something on each page."""
    ann = learner()
    ann.answer("math9: Variant 1")
    ann.is_given(100)
    ann.open("/shop/")
    ann.press("Reserve Observatory night")
    return ann


def test_every_page_is_looked_at(site: Site) -> None:
    pages = {
        rule.endpoint
        for rule in site.app.url_map.iter_rules()
        if "GET" in (rule.methods or ())
        and not rule.endpoint.startswith(("coins.api", "coins.adm"))
    }
    assert pages - NO_PAGES == (STRANGERS | LEARNERS).keys() - {"none"}


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    visit: Callable[..., Visitor], ann: Learner, viewport: dict[str, int], scheme: str
) -> None:
    visitor = visit(viewport=viewport, color_scheme=scheme)
    ann.page.set_viewport_size(viewport)
    ann.page.emulate_media(color_scheme=scheme)
    stranger = visitor.open("/")
    found = [each for path in STRANGERS.values() for each in faults(stranger, visitor.url + path)]
    found += [each for path in LEARNERS.values() for each in faults(ann.page, visitor.url + path)]
    assert not found


def test_the_tab_key_reaches_everything_and_shows_where_it_is(
    visit: Callable[..., Visitor], ann: Learner
) -> None:
    stranger = visit().open("/")
    found = [each for path in STRANGERS.values() for each in hindrances(stranger, ann, path)]
    found += [each for path in LEARNERS.values() for each in hindrances(ann.page, ann, path)]
    assert not found


def hindrances(page: Page, learner: Learner, path: str) -> list[str]:
    page.goto(learner.site.url + path)
    return [f"{path}: {each}" for each in obstacles(page)]

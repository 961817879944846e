"""However often a button is pressed, and in however many tabs: it is paid once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .site import Site
from .visitors import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = pytest.mark.browser


def test_two_tabs_that_collect_at_once_are_paid_once(
    site: Site, visit: Callable[..., Visitor]
) -> None:
    visitor = visit()
    tabs = [visitor.sign_up(), visitor.open("/")]
    visitor.learn(site, tabs[0], answers=1)
    at_once(visitor, tabs, "/goals/", "/goals/daily")
    assert visitor.entries(site)["daily_goal"] == [15]


def test_a_double_click_collects_once(site: Site, visit: Callable[..., Visitor]) -> None:
    visitor = visit()
    page = visitor.sign_up()
    visitor.learn(site, page, answers=1)
    page.goto(visitor.url + "/goals/")
    page.locator('form[action="/goals/daily"] button').dblclick()
    page.wait_for_load_state("networkidle")
    assert visitor.entries(site)["daily_goal"] == [15]


def at_once(visitor: Visitor, tabs: list[Page], path: str, action: str) -> None:
    """Submit the form for ``action`` of the page at ``path`` in all ``tabs``, held until all have."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visitor.context.route("**" + action, hold)
    for tab in tabs:
        tab.goto(visitor.url + path)
    for tab in tabs:
        tab.locator(f'form[action="{action}"] button').click(no_wait_after=True)
    while len(held) < len(tabs):
        tabs[0].wait_for_timeout(10)
    for route in held:
        route.continue_()
    for tab in tabs:
        tab.wait_for_load_state("networkidle")

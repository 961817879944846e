"""However often a button is pressed, and in however many tabs: it is paid once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from .learning import Learner

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser
# What an impatient finger does, whether or not the browser lets go of the first request.
SEND_TWICE = """form => {
    const body = new URLSearchParams(new FormData(form));
    const send = () => fetch(form.action, {method: "POST", body}).then(answer => answer.text());
    return Promise.all([send(), send()]);
}"""


@pytest.fixture
def ann(learner: Callable[..., Learner]) -> Learner:
    """A learner whose goal of the day waits to be collected."""
    ann = learner()
    ann.answer("math9: Variant 1", 1)
    return ann


def test_two_tabs_that_collect_at_once_are_paid_once(ann: Learner) -> None:
    submit_at_once(ann, [ann.page, ann.visitor.open("/")], "/goals/", "form[action='/goals/daily']")
    assert ann.paid()["daily_goal"] == [15]


def test_two_tabs_that_buy_at_once_cannot_spend_the_same_coins(ann: Learner) -> None:
    ann.is_given(25)  # and 10 for the login: enough for one of the two
    item = "form[action$='/buy'] >> nth=1"
    submit_at_once(ann, [ann.page, ann.visitor.open("/")], "/shop/", item)
    assert ann.paid()["shop"] == [-30]


def test_a_double_click_collects_once(ann: Learner) -> None:
    ann.open("/goals/")
    ann.main.get_by_role("button", name="Collect").first.dblclick()
    expect(ann.main).to_contain_text("✓ collected")
    assert ann.paid()["daily_goal"] == [15]


def test_a_form_that_is_sent_twice_buys_once(ann: Learner) -> None:
    ann.is_given(100)
    ann.open("/shop/").locator("form[action$='/buy']").nth(1).evaluate(SEND_TWICE)
    assert ann.paid()["shop"] == [-30]


def test_reloading_and_going_back_send_no_form_again(ann: Learner) -> None:
    ann.open("/goals/")
    ann.press("Collect")
    expect(ann.main).to_contain_text("✓ collected")
    for move in (ann.page.reload, ann.page.go_back, ann.page.go_forward, ann.page.reload):
        move()
    expect(ann.main).to_contain_text("✓ collected")
    assert ann.paid()["daily_goal"] == [15]


def submit_at_once(learner: Learner, tabs: list[Page], path: str, form: str) -> None:
    """Submit ``form`` of the page at ``path`` in all ``tabs``; none is sent until all are."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        if route.request.method == "POST":
            held.append(route)
        else:
            route.continue_()

    for tab in tabs:
        tab.goto(learner.site.url + path)
    learner.visitor.context.route("**/*", hold)
    for tab in tabs:
        tab.locator(form).get_by_role("button").click(no_wait_after=True)
    while len(held) < len(tabs):
        tabs[0].wait_for_timeout(10)
    with ExitStack() as answers:
        for tab in tabs:
            answers.enter_context(tab.expect_navigation())
        for route in held:
            route.continue_()

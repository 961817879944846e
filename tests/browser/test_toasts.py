"""A coin flies in: on pages, behind redirects, and for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from .axe import violations
from .visitors import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

FETCH = """reasons => fetch("/pay", {
    method: "POST", body: new URLSearchParams({reasons, stay: "yes"}),
}).then(response => response.text())"""
# What htmx does: a request by XMLHttpRequest, and an event that has it.
HTMX = """reasons => {
    const xhr = new XMLHttpRequest();
    xhr.onload = () => document.body.dispatchEvent(
        new CustomEvent("htmx:afterRequest", {bubbles: true, detail: {xhr}})
    );
    xhr.open("POST", "/pay");
    xhr.setRequestHeader("HX-Request", "true");
    xhr.send(new URLSearchParams({reasons, stay: "yes"}));
}"""
MOVES = "document.getAnimations().map(each => each.animationName || 'flight')"


@pytest.fixture
def ann(request: pytest.FixtureRequest, visit_plain: Callable[..., Visitor]) -> Page:
    """The start page of a user of this test's own."""
    return visit_plain(request.node.name[:64]).open("/")


def toasts(page: Page) -> Locator:
    return page.locator(".coins-toast")


def submit(page: Page, reasons: str) -> None:
    page.get_by_label("Reasons").fill(reasons)
    page.get_by_role("button", name="Pay").click()


def test_a_form_that_redirects_shows_its_toast_once(ann: Page) -> None:
    submit(ann, "weekly_goal")
    expect(toasts(ann)).to_have_count(1)
    expect(toasts(ann)).to_contain_text("+10 coins")
    expect(toasts(ann)).to_contain_text("Weekly goal")
    ann.reload()
    expect(ann.get_by_role("heading", name="Home")).to_be_visible()
    expect(toasts(ann)).to_have_count(0)


@pytest.mark.parametrize("script", [FETCH, HTMX], ids=["fetch", "htmx"])
def test_a_script_that_is_paid_shows_its_toast_and_the_new_balance(ann: Page, script: str) -> None:
    ann.evaluate(script, "weekly_goal daily_goal")
    expect(toasts(ann)).to_contain_text(["Weekly goal", "Daily goal"])
    expect(ann.locator("[data-coins-balance]")).to_have_text("20")


def test_a_flood_becomes_three_and_a_number(ann: Page) -> None:
    ann.evaluate(FETCH, " ".join(f"reason_{number}" for number in range(12)))
    expect(toasts(ann)).to_have_count(4)
    expect(toasts(ann).last).to_contain_text("+9 more")


def test_a_flood_behind_a_redirect_becomes_three_and_a_number(ann: Page) -> None:
    submit(ann, " ".join(f"reason_{number}" for number in range(12)))
    expect(toasts(ann)).to_have_count(4)
    expect(ann.locator("[data-coins-toasts]")).to_contain_text("+9 more")


def test_a_toast_goes_when_it_is_dismissed_by_key_or_by_click(ann: Page) -> None:
    ann.evaluate(FETCH, "weekly_goal daily_goal")
    expect(toasts(ann)).to_have_count(2)
    toasts(ann).first.get_by_role("button").focus()
    ann.keyboard.press("Escape")
    expect(toasts(ann)).to_have_count(1)
    toasts(ann).get_by_role("button").click()
    expect(toasts(ann)).to_have_count(0)


def test_a_toast_goes_by_itself_but_not_from_under_the_pointer(ann: Page) -> None:
    ann.clock.install()
    ann.goto(ann.url)
    ann.evaluate(FETCH, "weekly_goal")
    toasts(ann).hover()
    ann.clock.run_for(30_000)
    expect(toasts(ann)).to_have_count(1)
    ann.mouse.move(0, 0)
    ann.clock.run_for(30_000)
    expect(toasts(ann)).to_have_count(0)


def test_a_coin_flies_unless_less_motion_is_wanted(ann: Page) -> None:
    ann.evaluate(FETCH, "weekly_goal")
    assert ann.evaluate(MOVES)
    ann.emulate_media(reduced_motion="reduce")
    ann.goto(ann.url)
    ann.evaluate(FETCH, "weekly_goal")
    expect(toasts(ann)).to_have_count(1)
    assert ann.evaluate(MOVES) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_a_toast(ann: Page, scheme: str) -> None:
    ann.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    ann.evaluate(FETCH, "a b c d e")
    expect(toasts(ann)).to_have_count(4)
    assert not violations(ann)


def test_what_is_in_a_reason_stays_text(ann: Page) -> None:
    ann.evaluate(FETCH, "<img/src=x/onerror=alert(1)> größe")
    expect(toasts(ann).first).to_contain_text("<img/src=x/onerror=alert(1)>")
    expect(toasts(ann).last).to_contain_text("Größe")


def test_a_reason_may_be_called_like_what_every_object_has(ann: Page) -> None:
    ann.evaluate(FETCH, "constructor")
    expect(toasts(ann)).to_contain_text("Constructor")
    expect(toasts(ann)).not_to_contain_text("function")

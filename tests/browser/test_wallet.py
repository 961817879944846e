"""The wallet: looked through without a mouse, without scripts, in German, and after the session."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .learning import Learner
from .site import Site
from .visitors import Visitor

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser

WEIGHT = """() => ["navigation", "resource"]
    .flatMap(kind => performance.getEntriesByType(kind))
    .reduce((sum, each) => sum + each.decodedBodySize, 0)"""


def test_history_is_filtered_by_keyboard(visit_plain: Callable[..., Visitor]) -> None:
    page = visit_plain("root").open("/coins/")
    page.get_by_text("Filter", exact=True).press("Enter")
    page.get_by_label("Earned or spent").press("S")
    page.get_by_role("button", name="Show", exact=True).press("Enter")
    history = page.get_by_role("region", name="History").get_by_role("table")
    expect(history).to_contain_text("−40")
    expect(history).not_to_contain_text("Daily goal")
    assert "show=spent" in page.url


def test_history_is_turned_over_by_keyboard(visit_plain: Callable[..., Visitor]) -> None:
    page = visit_plain("root").open("/coins/")
    history = page.get_by_role("region", name="History").get_by_role("table")
    expect(history).to_contain_text("Adjustment")
    page.get_by_role("link", name="Older").press("Enter")
    expect(history).not_to_contain_text("Adjustment")
    page.get_by_role("link", name="Newer").press("Enter")
    expect(history).to_contain_text("Adjustment")


def test_the_chart_is_a_table_too(visit_plain: Callable[..., Visitor]) -> None:
    page = visit_plain("root").open("/coins/")
    page.get_by_text("As a table").click()
    rows = page.get_by_role("region", name="Over time").get_by_role("row")
    expect(rows).to_have_count(1 + 30)


def test_a_full_wallet_weighs_no_more_than_60_kilobytes(
    visit_plain: Callable[..., Visitor],
) -> None:
    page = visit_plain("root").open("/coins/")
    page.wait_for_load_state("networkidle")
    assert page.evaluate(WEIGHT) <= 60_000


def test_it_speaks_german(visit_plain: Callable[..., Visitor]) -> None:
    page = visit_plain("root", locale="de-DE").open("/coins/")
    expect(page.locator("html")).to_have_attribute("lang", "de")
    expect(page.get_by_role("heading", level=1)).to_have_text("Deine Münzen")
    expect(page.get_by_role("region", name="Verlauf")).to_contain_text("+1.234.567")


def test_everything_works_without_scripts(learner: Callable[..., Learner]) -> None:
    ann = learner(java_script_enabled=False)
    expect(ann.toasts).to_contain_text("+10 coins")
    ann.answer("math9: Variant 1")
    expect(ann.toasts).to_contain_text("+30 coins")
    ann.follow("Shop")
    ann.press("Buy Streak freeze")
    expect(ann.main).to_contain_text("Streak freeze is yours.")
    ann.follow("Wallet")
    ann.main.get_by_text("Filter", exact=True).click()
    ann.main.get_by_label("Earned or spent").select_option("Spent")
    ann.press("Show")
    expect(ann.main.get_by_role("table", name="Coins earned")).to_contain_text("−20")
    expect(ann.main.get_by_role("table", name="Coins earned")).not_to_contain_text("variant")


def test_after_the_session_a_login_leads_back(site: Site, learner: Callable[..., Learner]) -> None:
    ann = learner()
    ann.visitor.context.clear_cookies()
    page = ann.open("/coins/?days=90")
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")
    ann.log_in()
    expect(page).to_have_url(f"{site.url}/coins/?days=90")


def test_a_form_of_an_ended_session_changes_nothing(learner: Callable[..., Learner]) -> None:
    ann = learner()
    ann.follow("Paragraphs")
    ann.visitor.context.clear_cookies()
    ann.press("I have read it")
    expect(ann.main).not_to_contain_text("✓ closed")
    assert "paragraph_close" not in ann.paid()

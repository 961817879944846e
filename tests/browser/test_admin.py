"""Who looks after the economy: finds a user, adjusts, takes back, and takes the log home."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .visitors import Visitor

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


@pytest.fixture
def ledger(request: pytest.FixtureRequest, visit_plain: Callable[..., Visitor]) -> Page:
    """An admin's page of a user of this test's own, who was paid 30 coins for three goals."""
    user = f"user of {request.node.name}"
    visit_plain(user).pay("daily_goal", "daily_goal", "weekly_goal")
    page = visit_plain("root").open("/coins/admin/")
    page.get_by_label("Find a user by id").fill(user)
    page.keyboard.press("Enter")
    expect(page.get_by_role("row")).to_have_count(2 + 4)
    return page


def test_a_payment_is_shown_before_it_is_made_and_made_once(ledger: Page) -> None:
    pay(ledger, "25", "Lost in a crash")
    expect(ledger.get_by_role("cell", name="55", exact=True)).to_be_visible()
    ledger.get_by_role("button", name="Yes, do it").dblclick()
    expect(ledger.get_by_role("main")).to_contain_text("root: Lost in a crash")
    ledger.reload()
    expect(ledger.get_by_text("Lost in a crash")).to_have_count(1)
    expect(balance(ledger)).to_have_text("55")


def test_part_of_an_entry_is_taken_back_and_then_the_rest(ledger: Page) -> None:
    for amount, left in (("4", "6 left"), ("6", "Taken back")):
        ledger.get_by_role("link", name="Take back entry").last.click()
        ledger.get_by_label("How much").fill(amount)
        ledger.get_by_label("Why?").fill("Was a mistake")
        ledger.get_by_role("button", name="Show what this does").click()
        ledger.get_by_role("button", name="Yes, do it").click()
        expect(ledger.get_by_role("row").last).to_contain_text(left)
    expect(balance(ledger)).to_have_text("20")


def test_more_than_there_is_cannot_be_taken(ledger: Page) -> None:
    ledger.get_by_role("link", name="Pay or take coins").click()
    ledger.get_by_label("Take coins").check()
    ledger.get_by_label("Amount").fill("31")
    ledger.get_by_label("Why?").fill("Too much")
    ledger.get_by_role("button", name="Show what this does").click()
    expect(ledger.get_by_role("alert")).to_contain_text("30")


def test_the_log_comes_as_a_file_for_a_spreadsheet(ledger: Page, tmp_path: Path) -> None:
    with ledger.expect_download() as download:
        ledger.get_by_role("link", name="CSV").click()
    download.value.save_as(tmp_path / "log.csv")
    with (tmp_path / "log.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["amount"] for row in rows] == ["10", "10", "10"]


def test_nobody_else_gets_in(visit_plain: Callable[..., Visitor]) -> None:
    page = visit_plain("ann").open("/")
    response = page.goto(page.url + "coins/admin/")
    assert response
    assert response.status == 403


def pay(page: Page, amount: str, note: str) -> None:
    """Fill in a payment, up to the page that shows what it does."""
    page.get_by_role("link", name="Pay or take coins").click()
    page.get_by_label("Pay coins").check()
    page.get_by_label("Amount").fill(amount)
    page.get_by_label("Why?").fill(note)
    page.get_by_role("button", name="Show what this does").click()


def balance(page: Page) -> Locator:
    """The cell that has the user's balance."""
    return page.get_by_role("table").first.get_by_role("cell").first

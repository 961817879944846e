"""The economy on one page: what moved, what is there, and what goes beyond its budget."""

from __future__ import annotations

from typing import Any

import pytest
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, CoinsError

from .admins import Office, words
from .apps import Clock


@pytest.fixture
def office(db: SQLAlchemy, coins: Coins) -> Office:
    return Office(db, coins)


def test_an_empty_economy_has_a_page(office: Office) -> None:
    said = words(office.get(""))
    assert "In circulation 0" in said
    assert "Nothing has moved." in said
    assert "Nobody has earned any." in said


def test_it_shows_what_moved_and_what_is_there(office: Office, clock: Clock) -> None:
    office.coins.user_names_loader(lambda ids: {"7": "Ann"})
    office.move("award", 7, 1000, "daily_goal")
    clock.forward(days=2)
    office.move("award", 8, 100, "daily_login")
    office.move("spend", 7, 300, "hint")
    office.move("transfer", 7, 8, 25)
    office.move("hold", 8, 40, "reserved")
    said = words(office.get("", days=7))
    assert "In circulation 800 Held 40 Users who have any 2" in said
    assert "Since 18 November 2026" in said
    assert "Minted 1,100 Burned 300" in said
    assert "Sent between users 25" in said
    assert "Daily goal 1,000 0 1 1,000" in said
    assert "Hint 0 300 0 −300" in said
    assert "1 Ann 7 1,000 2 8 100" in said


def test_every_day_has_a_row_and_a_place_on_the_chart(office: Office, clock: Clock) -> None:
    office.move("award", 7, 10, "r")
    clock.forward(days=2)
    office.move("award", 7, 20, "r")
    page = office.get("", days=7)
    said = words(page)
    assert "24 November 2026 20 0 20 23 November 2026 0 0 0 22 November 2026 10 0 10" in said
    assert "Minted (up) and burned (down) by day: 30 and 0 in all." in page.text
    assert page.text.count('class="coins-chart-up"') == 2


def test_days_are_those_of_the_app(db: SQLAlchemy, coins: Coins) -> None:
    office = Office(db, coins, COINS_TIMEZONE="Pacific/Auckland")  # UTC+13: it is the 23rd there
    office.move("award", 7, 10, "r")
    assert "23 November 2026 10 0 10" in words(office.get(""))


def test_a_period_and_a_currency_are_chosen(office: Office, clock: Clock) -> None:
    office.move("award", 7, 10, "long_ago")
    office.move("award", 7, 5, "found", currency="gems")
    clock.forward(days=8)
    assert "Long ago" not in words(office.get("", days=7))
    assert "Long ago" in words(office.get("", days=9))
    assert "Minted 5" in words(office.get("", currency="gems"))
    for wrong in ({"days": "0"}, {"days": "366"}, {"days": "x"}, {"currency": "x" * 17}):
        assert office.get("", **wrong).status_code == 400


def test_the_csv_is_of_the_same_days(office: Office) -> None:
    link = "/coins/admin/entries.csv?currency=coins&amp;since=2026-11-16&amp;until=2026-11-22"
    assert link in office.get("", days=7).text


# -- alerts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paid", "told"),
    [
        (79, ""),
        (80, "Daily goal: the budget is nearly used up, 80 of 100 today."),
        (100, "Daily goal: the budget is used up, 100 of 100 today. More is refused."),
    ],
)
def test_a_budget_is_told_of_before_it_is_used_up_and_then(
    db: SQLAlchemy, coins: Coins, paid: int, told: str
) -> None:
    budget = {"most": 100, "window": "day", "per": "app", "reason": "daily_goal"}
    office = Office(db, coins, COINS_BUDGETS=[budget])
    office.move("award", 7, paid, "daily_goal")
    page = office.get("")
    assert told in words(page)
    assert ("coins-note" in page.text) == bool(told)
    assert ("coins-bad" in page.text) == (paid == 100)


def test_more_than_is_expected_is_told_of_and_not_refused(
    db: SQLAlchemy, coins: Coins, clock: Clock
) -> None:
    office = Office(db, coins, COINS_EXPECTED_PER_DAY={"daily_goal": 100, "login": 5})
    office.move("award", 7, 100, "daily_goal")
    assert "you expect" not in words(office.get(""))
    office.move("award", 8, 1, "daily_goal")
    assert "Daily goal: 101 paid today, and you expect 100 at most." in words(office.get(""))
    assert "you expect" not in words(office.get("", currency="gems"))
    clock.forward(days=1)
    assert "you expect" not in words(office.get(""))


@pytest.mark.parametrize("wrong", [5, ["daily_goal"], {"daily_goal": "5"}, {"": 5}, {"r": -1}])
def test_an_expectation_is_a_number_of_coins(db: SQLAlchemy, coins: Coins, wrong: Any) -> None:
    with pytest.raises(CoinsError, match="COINS_EXPECTED_PER_DAY must be a dict of reasons"):
        Office(db, coins, COINS_EXPECTED_PER_DAY=wrong)


# -- compared -------------------------------------------------------------------------------------


def compared(office: Office, **query: str) -> str:
    """What the page says of this period and the one before."""
    said = words(office.get("", **query))
    return said[said.index("Compared with") : said.index("By reason")]


def test_a_period_is_compared_with_as_much_of_the_one_before(office: Office, clock: Clock) -> None:
    office.move("award", 6, 1000, "long_ago")
    clock.forward(days=1, hours=-12)  # the first moment of the seven days before
    office.move("award", 7, 500, "quest")
    office.move("award", 8, 300, "quest")
    clock.forward(days=7, hours=-1)
    office.move("award", 9, 7000, "too_late_in_the_day")
    clock.forward(hours=1)  # the first moment of these seven days
    office.move("award", 7, 1000, "quest")
    office.move("spend", 7, 40, "hint")
    office.move("award", 7, 9, "found", currency="gems")
    clock.forward(days=6, hours=12)
    office.move("award", 7, 100, "quest")
    said = compared(office, days="7")
    assert "before counts up to 29 November 2026, 12:00." in said
    assert "Minted 1,100 800 +300 (+38%)" in said
    assert "Burned 40 0 +40" in said
    assert "Active users 1 2 −1 (−50%)" in said


def test_who_only_sends_or_is_taken_back_from_is_not_active(office: Office, clock: Clock) -> None:
    entry = office.move("award", 7, 100, "quest").entry
    clock.forward(days=1, hours=1)
    office.move("transfer", 7, 8, 25)
    office.move("reverse", entry, amount=10)
    said = compared(office, days="1")
    assert "Compared with the day before" in said
    assert "Minted 0 100 −100 (−100%)" in said
    assert "Active users 0 1 −1 (−100%)" in said


def test_a_quiet_economy_has_nothing_to_compare(office: Office) -> None:
    assert "Minted 0 0 0 Burned 0 0 0 Active users 0 0 0" in compared(office)

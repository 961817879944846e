"""What coins are for: buying, being refused, and changing one's mind."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import update

from example_app.extensions import db
from example_app.models import Item

from .learning import Learner
from .site import Site

expect = pytest.importorskip("playwright.sync_api").expect
pytestmark = pytest.mark.browser


@pytest.fixture
def ann(learner: Callable[..., Learner]) -> Learner:
    """A learner with 100 coins, in the shop."""
    ann = learner()
    ann.is_given(90)
    ann.follow("Shop")
    return ann


def test_what_is_bought_is_paid_and_shown(ann: Learner) -> None:
    ann.press("Buy Rocket badge")
    expect(ann.main).to_contain_text("Rocket badge is yours.")
    expect(ann.badge).to_have_text("70")
    expect(ann.page.get_by_role("heading", name="Rocket badge")).to_have_count(2)
    ann.follow("Wallet")
    expect(ann.main).to_contain_text("Rocket badge")
    expect(ann.main).to_contain_text("−30")


def test_what_costs_too_much_is_refused_in_words(ann: Learner) -> None:
    ann.press("Buy Golden owl")
    expect(ann.main).to_contain_text("Not enough coins")
    expect(ann.badge).to_have_text("100")
    assert "shop" not in ann.paid()


def test_the_last_one_goes_to_whoever_was_first(site: Site, ann: Learner) -> None:
    set_stock(site, 0)
    ann.press("Buy Rocket badge")
    expect(ann.main).to_contain_text("sold out")
    expect(ann.badge).to_have_text("100")
    ann.follow("Shop")
    expect(ann.main.get_by_role("button", name="Buy Rocket badge")).to_be_disabled()
    set_stock(site, 50)


def test_a_reservation_sets_coins_aside_until_it_is_confirmed(ann: Learner) -> None:
    ann.press("Reserve Observatory night")
    expect(ann.main).to_contain_text("60 coins are set aside")
    ann.press("Confirm Observatory night")
    expect(ann.main).to_contain_text("Observatory night is yours.")
    assert ann.paid()["shop"] == [-60]


def test_a_reservation_that_is_cancelled_costs_nothing(ann: Learner) -> None:
    ann.press("Reserve Observatory night")
    ann.press("Cancel Observatory night")
    expect(ann.main).to_contain_text("your coins are free again")
    assert "shop" not in ann.paid()


def set_stock(site: Site, number: int) -> None:
    with site.app.app_context():
        db.session.execute(update(Item).where(Item.name == "Rocket badge").values(stock=number))
        db.session.commit()

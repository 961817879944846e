"""Several currencies side by side: no call mixes them; and what somebody had at a moment."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import (
    Coins,
    IdempotencyConflict,
    InsufficientCoins,
    InvalidInput,
    NoUserError,
    Outcome,
)
from flask_coins._models import log
from flask_coins._verify import faults

from .apps import NOON, Clock

UTC = timezone.utc
TICK = timedelta(microseconds=1)


def amounts(coins: Coins, currency: str, user: str = "ann") -> list[int]:
    return [entry.amount for entry in coins.history(user, currency=currency)]


def test_each_movement_stays_in_its_currency(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award("ann", 100)
    coins.award("ann", 50, currency="gems")
    coins.award_once("ann", 3, "goal", currency="gems")
    coins.award_xp("ann", 40, currency="gems")
    coins.spend("ann", 20, "shop", currency="gems")
    coins.transfer("ann", "bob", 10, currency="gems")
    coins.capture(coins.hold("ann", 5, "shop", currency="gems"))
    coins.reverse(coins.spend("ann", 1, "shop", currency="gems"))
    coins.award_many(
        [{"user": "ann", "amount": 2, "currency": "gems"}, {"user": "ann", "amount": 1}]
    )
    db.session.commit()
    assert amounts(coins, "coins") == [1, 100]
    assert amounts(coins, "gems") == [2, 1, -1, -5, -10, -20, 4, 3, 50]
    assert (coins.balance("ann"), coins.balance("ann", "gems")) == (101, 24)
    assert (coins.balance("bob"), coins.balance("bob", "gems")) == (0, 10)
    assert list(faults(db.session.connection())) == []


def test_what_is_there_of_one_currency_buys_nothing_in_another(ctx: None, coins: Coins) -> None:
    coins.award("ann", 100)
    coins.award("ann", 5, currency="gems")
    calls: list[Callable[..., Any]] = [coins.spend, coins.hold]
    for call in calls:
        with pytest.raises(InsufficientCoins) as error:
            call("ann", 6, "shop", currency="gems")
        assert (error.value.balance, error.value.currency) == (5, "gems")
    with pytest.raises(InsufficientCoins):
        coins.transfer("ann", "bob", 6, currency="gems")
    coins.hold("ann", 5, "shop", currency="gems")
    assert (coins.available("ann"), coins.available("ann", "gems")) == (100, 0)
    assert (len(coins.holds("ann")), len(coins.holds("ann", "gems"))) == (0, 1)
    assert coins.spend("ann", 100, "shop")


def test_windows_are_used_up_in_each_currency_apart(
    ctx: None, db: SQLAlchemy, coins: Coins
) -> None:
    for currency in ("coins", "gems", "Gems"):
        for window in ("day", timedelta(days=1)):
            pays = [
                bool(coins.award_once("ann", 1, f"goal {window}", window, currency=currency))
                for _ in range(2)
            ]
            assert pays == [True, False]
    db.session.commit()


def test_a_key_belongs_to_one_currency_of_a_user(ctx: None, coins: Coins) -> None:
    coins.award("ann", 1, "gift", idempotency_key="k", currency="gems")
    assert (
        coins.award("ann", 1, "gift", idempotency_key="k", currency="gems").outcome
        is Outcome.REPLAYED
    )
    with pytest.raises(IdempotencyConflict):
        coins.award("ann", 1, "gift", idempotency_key="k")


def test_reads_are_of_one_currency(ctx: None, db: SQLAlchemy, coins: Coins) -> None:
    coins.award("ann", 1)
    coins.award("ann", 20, currency="gems")
    coins.award("bob", 300, currency="gems")
    assert coins.balances(["ann", "bob"]) == {"ann": 1, "bob": 0}
    assert coins.balances(["ann", "bob"], "gems") == {"ann": 20, "bob": 300}
    names = [sa.select(sa.literal(name, sa.String(8)).label("id")) for name in ("ann", "bob")]
    users = sa.union_all(*names).subquery("users")
    own = [coins.balance_of(users.c.id), coins.balance_of(users.c.id, "gems")]
    found = db.session.execute(sa.select(users.c.id, *own).order_by(users.c.id)).all()
    assert [tuple(each) for each in found] == [("ann", 1, 20), ("bob", 0, 300)]
    assert coins.balance_at("ann", NOON) == 1
    assert coins.balance_at("ann", NOON, "gems") == 20


def test_a_receipt_and_a_hold_name_their_currency(ctx: None, coins: Coins) -> None:
    paid = coins.award_once("ann", 7, "goal", currency="gems")
    refused = coins.award_once("ann", 7, "goal", currency="gems")
    assert (paid.currency, refused.currency, refused.balance) == ("gems", "gems", 7)
    assert paid.entry
    assert paid.entry.currency == "gems"
    assert coins.hold("ann", 1, "shop", currency="gems").currency == "gems"
    assert coins.reverse(coins.spend("ann", 1, "shop", currency="gems")).currency == "gems"


# -- at a moment -----------------------------------------------------------------------------


@pytest.fixture
def ann(ctx: None, db: SQLAlchemy, coins: Coins, clock: Clock) -> Coins:
    """Coins of ann: +10 at noon, -4 a second later, +1 the day after; gems: +7 at noon."""
    coins.award("ann", 10)
    coins.award("ann", 7, currency="gems")
    clock.forward(seconds=1)
    coins.spend("ann", 4, "shop")
    clock.forward(days=1)
    coins.award("ann", 1)
    coins.award("bob", 1000)
    db.session.commit()
    return coins


@pytest.mark.parametrize(
    ("when", "had"),
    [
        (NOON - TICK, 0),
        (NOON, 10),
        (NOON + timedelta(seconds=1) - TICK, 10),
        (NOON + timedelta(seconds=1), 6),
        (NOON + timedelta(days=1, seconds=1) - TICK, 6),
        (NOON + timedelta(days=1, seconds=1), 7),
        (NOON + timedelta(days=9), 7),
        (datetime(1001, 1, 1, tzinfo=UTC), 0),
        (datetime(9998, 12, 31, tzinfo=timezone(timedelta(hours=-14))), 7),
    ],
)
def test_what_moved_at_the_very_moment_counts(ann: Coins, when: datetime, had: int) -> None:
    assert ann.balance_at("ann", when) == had


def test_the_moment_may_be_told_in_any_zone(ann: Coins) -> None:
    tokyo = timezone(timedelta(hours=9))
    assert ann.balance_at("ann", NOON.astimezone(tokyo)) == 10
    assert ann.balance_at("ann", (NOON - TICK).astimezone(tokyo)) == 0


def test_it_is_an_int_and_of_one_user_and_currency(ann: Coins) -> None:
    assert type(ann.balance_at("ann", NOON)) is int
    assert ann.balance_at("ann", NOON + timedelta(days=9), "gems") == 7
    assert ann.balance_at("nobody", NOON) == 0


def test_an_entry_that_was_imported_later_counts_from_its_own_time(
    ann: Coins, db: SQLAlchemy
) -> None:
    row = {"user_id": "ann", "currency": "coins", "amount": 5, "balance_after": 12}
    row |= {"reason": "old", "subject": "", "created_at": NOON - timedelta(days=400)}
    db.session.connection().execute(sa.insert(log), row)
    assert ann.balance_at("ann", NOON - timedelta(days=400)) == 5
    assert ann.balance_at("ann", NOON) == 15


@pytest.mark.parametrize(
    "when",
    [
        datetime(2026, 1, 1),
        "2026-01-01",
        NOON.date(),
        0,
        None,
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime(1000, 12, 31, tzinfo=UTC),
        datetime(9999, 1, 1, tzinfo=UTC),
    ],
)
def test_a_moment_that_is_none_is_refused(app: Flask, coins: Coins, when: Any) -> None:
    with app.app_context(), pytest.raises(InvalidInput, match="when"):
        coins.balance_at("ann", when)


def test_nobody_had_nothing_at_no_time(ctx: None, coins: Coins) -> None:
    with pytest.raises(NoUserError):
        coins.balance_at(None, NOON)

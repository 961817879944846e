"""Eight processes at once, on every engine: exactly once, no overdraft, and books that add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy

from flask_coins import Coins, Receipt

from .races import Answer, Call, Racers, reconcile

USERS = [f"racer:{number}" for number in range(15)]

Race = Callable[..., dict[str, int]]


def hour(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "hour")


def day(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "day")


def week(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "week")


def forever(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "forever")


def rolling(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", timedelta(hours=24))


def subject(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "forever", subject="variant-7")


def three_a_day(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", "day", limit=3)


def three_in_a_row(coins: Coins, user: str) -> Receipt:
    return coins.award_once(user, 15, "prize", timedelta(hours=1), limit=3)


def gift(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 10, "gift", idempotency_key="gift-1")


def larger_gift(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 11, "gift", idempotency_key="gift-1")


def order(coins: Coins, user: str) -> Receipt:
    return coins.spend(user, 10, "shop", idempotency_key="order-1")


def bonus(coins: Coins, user: str) -> Receipt:
    return coins.award(user, 3, "bonus")


def purchase(coins: Coins, user: str) -> Receipt:
    return coins.spend(user, 3, "shop")


@pytest.fixture
def race(app: Flask, db: SQLAlchemy, racers: Racers) -> Iterator[Race]:
    """``race(call, …)``: how often what was said, the same to every user; then the books."""

    def run(*calls: Call) -> dict[str, int]:
        url = app.config["SQLALCHEMY_DATABASE_URI"]
        return _the_same_for_all(racers.race(url, calls, USERS))

    yield run
    with app.app_context(), db.engine.connect() as connection:
        assert reconcile(connection) == []


def _the_same_for_all(answers: list[Answer]) -> dict[str, int]:
    each = {user: Counter(said for of, said in answers if of == user) for user in USERS}
    first = each[USERS[0]]
    assert {user: said for user, said in each.items() if said != first} == {}
    return dict(first)


def _give(app: Flask, db: SQLAlchemy, coins: Coins, amount: int) -> None:
    with app.app_context():
        for user in USERS:
            coins.award(user, amount, "start")
        db.session.commit()


@pytest.mark.parametrize("call", [hour, day, week, forever, rolling, subject])
def test_a_window_pays_once(race: Race, call: Call) -> None:
    assert race(call) == {"awarded": 1, "already": 7}


@pytest.mark.parametrize("call", [three_a_day, three_in_a_row])
def test_a_limit_is_met_exactly(race: Race, call: Call) -> None:
    assert race(call) == {"awarded": 3, "already": 5}


@pytest.mark.parametrize("calls", [(day, forever), (day, week), (hour, rolling)])
def test_two_windows_of_one_reason_pay_once_between_them(
    race: Race, calls: tuple[Call, Call]
) -> None:
    assert race(*calls) == {"awarded": 1, "already": 7}


@pytest.mark.parametrize("call", [three_a_day, three_in_a_row])
def test_neighbours_do_not_get_in_each_others_way(app: Flask, racers: Racers, call: Call) -> None:
    said = Counter(racers.rush(app.config["SQLALCHEMY_DATABASE_URI"], [call], USERS))
    assert said == {
        (user, outcome): times
        for user in USERS
        for outcome, times in [("awarded", 3), ("already", 5)]
    }


def test_a_key_moves_coins_once(race: Race) -> None:
    assert race(gift) == {"awarded": 1, "replayed": 7}


def test_a_key_with_two_meanings_moves_coins_once(
    app: Flask, db: SQLAlchemy, racers: Racers
) -> None:
    answers = racers.race(app.config["SQLALCHEMY_DATABASE_URI"], [gift, larger_gift], USERS)
    said = Counter(said for _, said in answers)
    each = {"awarded": 1, "replayed": 3, "IdempotencyConflict": 4}
    assert said == {what: times * len(USERS) for what, times in each.items()}


def test_an_order_is_charged_once(race: Race, app: Flask, db: SQLAlchemy, coins: Coins) -> None:
    _give(app, db, coins, 15)
    assert race(order) == {"spent": 1, "replayed": 7}


def test_nobody_spends_what_is_not_there(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    _give(app, db, coins, 14)
    assert race(purchase) == {"spent": 4, "InsufficientCoins": 4}


def test_earning_and_spending_at_once_adds_up(
    race: Race, app: Flask, db: SQLAlchemy, coins: Coins
) -> None:
    _give(app, db, coins, 12)
    assert race(bonus, purchase) == {"awarded": 4, "spent": 4}
